"""Receptive fields out of a checkpoint: what the units of a layer respond to, as images."""

from pathlib import Path

from streamlearn.config import Config, parse
from streamlearn.errors import ChangedError, StateError, UsageError
from streamlearn.live import given
from streamlearn.part import F32
from streamlearn.picture import as_images, draw_fields
from streamlearn.plan import CATALOGUE, Plan
from streamlearn.store.checkpoint import Checkpoints, Snapshot


def receptive_fields(config: Config, snapshot: Snapshot, layer: str = "") -> F32 | None:
    """A layer's weights as images [H, height, width]; None where its rows are no images.

    Parameters
    ----------
    config
        What the snapshot was made with.
    snapshot
        The state.
    layer
        The layer's name; "" is the first.

    Raises
    ------
    UsageError
        Where there is no such layer.
    ChangedError
        Where the snapshot does not fit the configuration.

    """
    names = [one.name for one in config.layer]
    name = layer or (names[0] if names else "")
    if name not in names:
        raise UsageError(f"--layer {name}: expected one of {', '.join(names) or 'no layer'}")
    column = f"layer/{name}"
    part = next(part for part, wires in Plan(config).parts if wires.writes == column)
    for key, array in part.arrays().items():
        saved = snapshot.arrays.get(f"{column}/{key}")
        if saved is None or saved.shape != array.shape:
            raise ChangedError(f"{column}/{key}: not in the checkpoint; it is of another version")
        array[...] = saved
    part.restored()
    fields = getattr(part, "receptive_fields", None)
    return as_images(fields()) if fields else None


def draw_checkpoint(folder: Path, layer: str, picture: Path) -> int:
    """Draw a layer of the newest whole checkpoint of a state folder; returns how many units.

    Raises
    ------
    UsageError
        Where there is no checkpoint, no such layer, or nothing that is an image.

    """
    store = Checkpoints(folder)
    snapshot = next((store.read(name) for name in store.names() if _whole(store, name)), None)
    if snapshot is None:
        raise UsageError(f"{folder}: no whole checkpoint; let the daemon save one")
    config = parse(given(snapshot.config), CATALOGUE, str(folder))
    fields = receptive_fields(config, snapshot, layer)
    if fields is None:
        raise UsageError(f"{folder}: layer {layer or 'first'} has no weights that are images")
    name = layer or config.layer[0].name
    draw_fields(fields, f"{name} after {snapshot.rows_learned:,} rows", picture)
    return len(fields)


def _whole(store: Checkpoints, name: str) -> bool:
    try:
        store.check(name)
    except StateError:
        return False
    return True
