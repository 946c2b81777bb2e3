"""The last rows that came in, so that a label that comes late finds its row."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streamlearn.part import I32, UNLABELLED, Arrays


class _Spans:
    """Where the rows of one source are: spans of evenly spaced seq and consecutive samples."""

    def __init__(self, hop: int) -> None:
        self.hop = hop
        self.first = 0
        self.seqs: list[int] = []
        self.samples: list[int] = []
        self.counts: list[int] = []

    def add(self, seq: int, sample: int, count: int) -> bool:
        """Append a span; True where a new one was begun, False where the last one grew."""
        if self.first < len(self.seqs):
            end = self.seqs[-1] + self.counts[-1] * self.hop
            if seq == end and sample == self.samples[-1] + self.counts[-1]:
                self.counts[-1] += count
                return False
            if seq < end:
                # The producer numbers anew: what it numbered before can no longer be named.
                self.first = 0
                self.seqs.clear()
                self.samples.clear()
                self.counts.clear()
        self.seqs.append(seq)
        self.samples.append(sample)
        self.counts.append(count)
        return True

    def find(self, seq: int) -> int:
        """The sample number of a seq, -1 where it is not there."""
        i = bisect_right(self.seqs, seq, self.first) - 1
        if i < self.first:
            return -1
        steps, between = divmod(seq - self.seqs[i], self.hop)
        return -1 if between or steps >= self.counts[i] else self.samples[i] + steps

    def oldest(self) -> tuple[int, int]:
        """First sample number and count of the oldest span; (-1, 0) where there is none."""
        if self.first == len(self.seqs):
            return -1, 0
        return self.samples[self.first], self.counts[self.first]

    def forget_oldest(self) -> None:
        """Drop the oldest span; the lists are cut back only now and then."""
        self.first += 1
        if 2 * self.first > len(self.seqs):
            gone, self.first = self.first, 0
            del self.seqs[:gone], self.samples[:gone], self.counts[:gone]


class History:
    """A ring of the last fresh rows and their labels; memory is `keep_rows` rows, whatever comes.

    Parameters
    ----------
    keep_rows
        How many rows a label can still reach; 0 keeps nothing.
    width
        D: numbers a row.
    dtype
        Type in which the numbers are kept.

    """

    def __init__(self, keep_rows: int, width: int, dtype: DTypeLike) -> None:
        self.keep_rows = keep_rows
        self.samples = 0
        self._x: NDArray[Any] = np.zeros((keep_rows, width), dtype)
        self._y: I32 = np.full(keep_rows, UNLABELLED, np.int32)
        self._source = np.full(keep_rows, -1, np.int32)
        self._seq = np.zeros(keep_rows, np.uint64)
        self._spans: dict[int, _Spans] = {}
        self._order: deque[tuple[int, int]] = deque()

    def add(self, source: int, seq: int, x: NDArray[Any], y: I32 | None, hop: int = 1) -> None:
        """Keep fresh rows [n, D] with their labels [n]; the oldest make room.

        The first has number `seq`, each after it a number larger by `hop`, the same for all.
        """
        n = len(x)
        if n == 1 and self.keep_rows:
            self._write_one(source, seq, x, UNLABELLED if y is None else y[0])
        else:
            self._write(source, seq, x, y, hop)
        if self.keep_rows:
            self._index(source, seq, self.samples, n, hop)
        self.samples += n

    def _write_one(self, source: int, seq: int, x: NDArray[Any], y: int) -> None:
        """The same for a single row, without slices: most messages of slow sensors are one row."""
        slot = self.samples % self.keep_rows
        self._x[slot] = x
        self._y[slot], self._source[slot], self._seq[slot] = y, source, seq

    def _write(self, source: int, seq: int, x: NDArray[Any], y: I32 | None, hop: int) -> None:
        for begin, end, slot in self._runs(len(x)):
            here = slice(slot, slot + end - begin)
            self._x[here] = x[begin:end]
            self._y[here] = UNLABELLED if y is None else y[begin:end]
            self._source[here] = source
            self._seq[here] = np.arange(seq + begin * hop, seq + end * hop, hop, dtype=np.uint64)

    def _runs(self, n: int) -> Iterator[tuple[int, int, int]]:
        """Rows begin:end go to the slots from `slot` on; only the last `keep_rows` rows go."""
        begin = max(0, n - self.keep_rows)
        while begin < n:
            slot = (self.samples + begin) % self.keep_rows
            end = min(n, begin + self.keep_rows - slot)
            yield begin, end, slot
            begin = end

    def _index(self, source: int, seq: int, sample: int, count: int, hop: int) -> None:
        spans = self._spans.setdefault(source, _Spans(hop))
        if spans.add(seq, sample, count):
            self._order.append((source, sample))
        oldest = sample + count - self.keep_rows
        while self._order and self._is_gone(*self._order[0], oldest):
            self._order.popleft()

    def _is_gone(self, source: int, sample: int, oldest: int) -> bool:
        spans = self._spans[source]
        first, count = spans.oldest()
        if first != sample:
            return True
        if sample + count > oldest:
            return False
        spans.forget_oldest()
        return True

    def find(self, source: int, seq: int) -> int:
        """The sample number of a row that is still kept, else -1."""
        spans = self._spans.get(source)
        sample = -1 if spans is None else spans.find(seq)
        return sample if sample >= self.samples - self.keep_rows else -1

    def label(self, sample: int, y: int) -> NDArray[Any] | None:
        """Note the label of a kept row and return its numbers [D]; None where it had one."""
        slot = sample % self.keep_rows
        if self._y[slot] != UNLABELLED:
            return None
        self._y[slot] = y
        row: NDArray[Any] = self._x[slot]
        return row

    def row(self, sample: int) -> NDArray[Any]:
        """A row that is still kept [D], as a view."""
        row: NDArray[Any] = self._x[sample % self.keep_rows]
        return row

    def arrays(self) -> Arrays:
        """What a checkpoint needs; `restored` builds the index again."""
        return {"x": self._x, "y": self._y, "source": self._source, "seq": self._seq}

    def restored(self, samples: int, hop: int = 1) -> None:
        """Build the index from the arrays, which end at a count of fresh rows."""
        self.samples = samples
        self._spans.clear()
        self._order.clear()
        for sample in range(max(0, samples - self.keep_rows), samples):
            slot = sample % self.keep_rows
            if self._source[slot] >= 0:
                self._index(int(self._source[slot]), int(self._seq[slot]), sample, 1, hop)
