"""The page to look at: always drawn, never broken by a name, nothing from elsewhere."""

import re
from html.parser import HTMLParser

import numpy as np
from observe.helpers import board, report

from streamlearn.observe.board import Board
from streamlearn.observe.page import Page


class Checked(HTMLParser):
    """Counts elements, and sees that each one that is opened is closed in order."""

    VOID = ("meta", "input", "br", "!doctype")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is opened and where it points."""
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """See that it is the one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self.text.append(data)


def drawn(page: Page, reason: str = "") -> str:
    """Draw a page, check its elements, give its text."""
    return " ".join(" ".join(Checked(page.render(reason)).text).split())


def test_before_the_first_row() -> None:
    """A fresh daemon's page is drawn, says what it waits for, and shows no error as 0."""
    text = drawn(Page(board()), "compiling")
    assert "compiling" in text
    assert "0.00 %" not in text
    assert "none yet" in text


def test_an_empty_board() -> None:
    """Without stages, layers, heads or classes there is still a page."""
    assert "learning" in drawn(Page(Board()))


def test_figures_are_seen() -> None:
    """Errors, rows, rate, latency, checkpoint, refusals and the confusion matrix are on it."""
    now = [100.0]
    shown = board()
    page = Page(shown, clock=lambda: now[0], today=lambda: 1000.0)
    drawn(page)
    shown.add("samples_learned_total", 5000)
    shown.add("samples_rejected_total", 3, "nonfinite")
    shown.set("checkpoint_last_success_timestamp_seconds", 970)
    shown.set("checkpoint_rows", 4000)
    shown.set("checkpoint_failures_total", 2)
    shown.observe_block(np.full(100, 0.0007))
    shown.show_figures({"softmax": report(), "least_squares": report()})
    shown.show_figures({"softmax": report(labelled=8), "least_squares": report()})
    now[0] += 2
    text = drawn(page)
    for figure in ("50.00 %", "25.00 %", "2 500 rows/s", "30 s ago", "2 failed", "nonfinite 3"):
        assert figure in text.replace("\N{NARROW NO-BREAK SPACE}", " "), figure
    assert "Confusion" in text
    assert "<polyline" in page.render("")


def test_a_checkpoint_from_before_the_start_counts() -> None:
    """After a restart something would survive, though nothing was written yet."""
    shown = board()
    shown.set("checkpoint_rows", 40)
    text = drawn(Page(shown))
    assert "from before the start at row 40" in text
    assert "none yet" not in text


def test_what_is_never_told_is_left_out() -> None:
    """Steps that a layer does not tell have no line once it tells others; 16 comes after 2."""
    gauges = [f"loss_k{k}" for k in (1, 2, 4, 16)]
    shown = Board(layers={"layer1": gauges})
    assert "loss k4" in drawn(Page(shown))
    shown.show_gauges("layer", "layer1", {"loss_k16": 0.16, "loss_k1": 0.1, "loss_k2": 0.2})
    text = drawn(Page(shown))
    assert "loss k4" not in text
    assert text.index("loss k1 ") < text.index("loss k2") < text.index("loss k16")


def test_names_cannot_become_elements() -> None:
    """A name with markup in it is shown as it is written."""
    shown = Board(stages=["<script>alert(1)</script>"], heads={"<b>": []}, layers={"<i>": ["x"]})
    text = drawn(Page(shown), "<img src=x>")
    for name in ("<script>alert(1)</script>", "<b>", "<i>", "<img src=x>"):
        assert name in text


def test_nothing_comes_from_elsewhere() -> None:
    """The page loads nothing but itself, so that it works on a machine without a network."""
    text = Page(board()).render("")
    assert not re.search(r"https?://|@import|url\(", text)
    assert Checked(text).links == ["/metrics"]


def test_many_classes_leave_the_matrix_out() -> None:
    """A matrix too large to read is not drawn."""
    shown = board(200)
    ones = [0.5] * 200
    confusion = [[1] * 200] * 200
    shown.show_figures({"softmax": report(confusion=confusion, recall=ones, precision=ones)})
    text = Page(shown).render("")
    assert "Confusion" not in text
    assert len(text) < 20_000
