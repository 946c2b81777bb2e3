"""From one learner to another that has a layer more, while the daemon runs.

It happens on the ingest thread, between two messages: senders wait, no row is lost. The old learner
finishes what is in its ring, its state is copied over, and rows go to the new one.
"""

import time
from typing import Any, Final, Protocol

from streamlearn.growth import Addition
from streamlearn.instruments import build_board, connect
from streamlearn.learner import Learner
from streamlearn.observe.board import Board
from streamlearn.pipeline.outlet import Outlet
from streamlearn.store.digest import digest
from streamlearn.wire.gate import Gate
from streamlearn.wire.ingest import Ingest
from streamlearn.wire.publish import Publisher

_PATIENCE_S: Final = 25.0


class Runs(Protocol):
    """What changes hands of a daemon."""

    learner: Learner
    outlet: Outlet
    board: Board
    publisher: Publisher
    gate: Gate
    ingest: Ingest


def change_over(daemon: Runs, new: tuple[Learner, Outlet], added: Addition) -> dict[str, Any]:
    """Let a new learner, assembled and warm, go on where the daemon's is.

    Parameters
    ----------
    daemon
        Its learner and outlet are replaced.
    new
        They have what the old ones have, and the new layer.
    added
        What is new, for the checkpoint.

    Returns
    -------
    dict
        `added`, names of the new stages; `waited_s`, how long rows waited; `digest_before`, and
        `digest_of_what_was`: of the same arrays in the new learner, equal to it.

    """
    began, old, (learner, outlet) = time.perf_counter(), daemon.learner, new
    snapshot = old.finish_snapshot(old.begin_snapshot(), _PATIENCE_S)
    known = tuple(f"{stage.name}/" for stage in old.parts)
    names = [stage.name for stage in learner.parts if f"{stage.name}/" not in known]
    figures = [f"figures/{name.removeprefix('head/')}" for name in names]
    learner.restore(snapshot, tuple(f"{name}/" for name in (*names, *figures)))
    learner.intake.counts, learner.added = old.intake.counts, [*old.added, added]
    old.pipeline.close()
    outlet.events, outlet.anomalies = daemon.outlet.events, daemon.outlet.anomalies
    daemon.learner, daemon.outlet = learner, outlet
    daemon.board.take_shape(build_board(learner.config))
    connect(daemon.board, learner, daemon.publisher, daemon.gate)
    daemon.ingest.deliver_to(learner.intake)
    learner.pipeline.start()
    was = {name: a for name, a in learner.learning_arrays().items() if name.startswith(known)}
    return {
        "added": names,
        "waited_s": time.perf_counter() - began,
        "digest_before": snapshot.digest,
        "digest_of_what_was": digest(was, snapshot.rows_learned),
    }
