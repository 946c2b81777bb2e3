"""A layer more while the daemon runs: nothing stops, nothing is lost, nothing that was changes."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemons import wait_log

from streamlearn.bench.process import DaemonProcess
from streamlearn.client import Producer
from streamlearn.config import Config, parse
from streamlearn.data import load
from streamlearn.errors import UsageError
from streamlearn.growth import addition, check_turn, grown, resumed, with_added
from streamlearn.live import differences
from streamlearn.plan import CATALOGUE
from streamlearn.store.checkpoint import Checkpoints
from streamlearn.store.describe import describe
from streamlearn.wire.control import request

PATIENCE_S = 60.0

DAEMON = """
[stream]
shape = [8, 8]
dtype = "|u1"
classes = 10
[publish]
metrics_every_s = 0.1
[store]
checkpoint_every_s = 0
[[layer]]
rule = "hebbian"
units = 30
[[head]]
kind = "softmax"
"""


def configuration(**more: object) -> Config:
    """One layer and a head that reads all there are."""
    raw = {
        "stream": {"shape": [8, 8], "classes": 10},
        "layer": [{"rule": "hebbian", "units": 30}],
        "head": [{"kind": "softmax"}],
    }
    return parse(raw | more, CATALOGUE)


def test_heads_go_on_reading_what_they_read() -> None:
    """A new layer stands on the last, with a head of its own if wanted; old heads name theirs."""
    more = grown(configuration(), addition({"rule": "hebbian", "units": 20, "head": "softmax"}))
    assert [layer.name for layer in more.layer] == ["layer1", "layer2"]
    assert [(head.name, head.reads) for head in more.head] == [
        ("softmax", ("layer1",)),
        ("softmax-layer2", ("layer2",)),
    ]
    assert more.publish.embedding == "layer1"


def test_what_cannot_be_added_is_refused_by_name() -> None:
    """Unknown rules, heads and options; nothing is changed by asking."""
    with pytest.raises(UsageError, match=r"rule: expected one of .*, got 'hebian'.*hebbian"):
        addition({"rule": "hebian"})
    with pytest.raises(UsageError, match=r"head: expected one of .*, got 'max'"):
        addition({"rule": "hebbian", "head": "max"})
    with pytest.raises(UsageError, match=r"layer\[1\]\.units: expected 1…\d+, got 0"):
        grown(configuration(), addition({"rule": "hebbian", "units": 0}))
    with pytest.raises(UsageError, match=r"name: 'layer1' is taken"):
        grown(configuration(), addition({"rule": "hebbian", "units": 9, "name": "layer1"}))


def test_a_turn_that_is_over_is_refused() -> None:
    """A layer that would never learn is told which row it could begin at."""
    raw = {"rule": "hebbian", "units": 9, "learns_rows": 200}
    for first, learned in ((0, 0), (0, 199), (900, 1000)):
        check_turn(grown(configuration(), addition(raw | {"learns_from": first})), learned)
    check_turn(grown(configuration(), addition({"rule": "hebbian", "units": 9})), 10**9)
    with pytest.raises(UsageError, match=r"got rows 0…199 .* at row 200; add learns_from=200"):
        check_turn(grown(configuration(), addition(raw)), 200)


def test_a_file_that_has_the_layer_by_now_gets_it_once(tmp_path: Path) -> None:
    """Someone may write what was added into the file; then the file is right as it is."""
    assert resumed(configuration(), Checkpoints(tmp_path).newest_manifest()) == configuration()


def test_a_file_read_again_keeps_what_was_added() -> None:
    """It differs in what was edited alone; one that has the layer by now does not get it twice."""
    added = [{"rule": "hebbian", "units": 20, "head": "softmax"}, {"rule": "pool", "rows": 3}]
    running = configuration()
    for one in added:
        running = grown(running, one)
    edited = configuration(store={"keep": 7})
    assert differences(running, with_added(edited, running, added)) == ["store.keep"]
    assert differences(running, with_added(running, running, added)) == []
    other = configuration(layer=[{"rule": "hebbian", "units": 31}])
    assert differences(running, with_added(other, running, added)) == ["layer"]


def test_a_layer_joins_a_running_daemon_and_outlives_a_restart(
    daemon: Callable[..., DaemonProcess], config_file: Callable[..., Path]
) -> None:
    """Rows sent before, while and after are all learned; the layers below keep every bit.

    A file that is read again, and does not have the layer, takes nothing away.
    """
    digits = load("optdigits").train
    assert digits.y is not None
    file = config_file(DAEMON, "growing.toml")
    one = daemon(file)
    with Producer(one.pull, "digits", timeout_s=PATIENCE_S) as producer:
        producer.send_rows(digits.X[:200], digits.y[:200])
        asked = {"rule": "hebbian", "units": 20, "head": "softmax"}
        told = request(one.control, "add_layer", PATIENCE_S, **asked)
        assert told["added"] == ["layer/layer2", "head/softmax-layer2"]
        assert told["digest_before"] == told["digest_of_what_was"]
        producer.send_rows(digits.X[200:300], digits.y[200:300])
    deadline = time.monotonic() + PATIENCE_S
    while learned(one) < 300:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    page = one.get("/metrics")[1]
    assert "streamlearn_samples_received_total 300.0" in page
    assert 'streamlearn_layer_dead_share{layer="layer2"}' in page
    asked = {"rule": "pool", "rows": 3, "name": "lately"}
    assert request(one.control, "add_layer", PATIENCE_S, **asked)["added"] == ["layer/lately"]
    wrong = request(one.control, "add_layer", PATIENCE_S, rule="hebbian", units=-1)
    assert not wrong["ok"]
    assert "layer[3].units: expected 1" in wrong["error"]
    wrong = request(one.control, "add_layer", PATIENCE_S, rule="pool", learns_rows=300)
    assert "learns_from=300" in str(wrong)
    file.write_text(file.read_text().replace("metrics_every_s = 0.1", "metrics_every_s = 0.2"))
    one.signal(signal.SIGHUP)
    wait_log(one, "key=publish.metrics_every_s")
    assert "restart to change it" not in one.said()
    assert one.stop() == 0
    one.start()
    one.wait_ready(PATIENCE_S)
    assert learned(one) == 300
    assert [layer["name"] for layer in describe(one.state)["config"]["layer"]][-1] == "lately"
    frozen = request(one.control, "freeze", PATIENCE_S, layer="layer2")
    assert frozen["frozen"]


def learned(one: DaemonProcess) -> int:
    """Rows that the daemon says it has learned."""
    return int(request(one.control, "status", PATIENCE_S)["rows_learned"])
