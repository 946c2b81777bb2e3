"""Receptive fields out of a checkpoint: what the units of a layer respond to, as images."""

from pathlib import Path

import msgspec

from streamlearn.config import Config, parse
from streamlearn.errors import ChangedError, UsageError
from streamlearn.live import given
from streamlearn.part import F32
from streamlearn.picture import as_images, draw_fields
from streamlearn.pipeline.stage import fill
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
    # Only what stands below the layer decides how it was built.
    below = config.layer[: names.index(name) + 1]
    part, _ = Plan(msgspec.structs.replace(config, layer=below, head=())).parts[-1]
    arrays = {f"{column}/{key}": array for key, array in part.arrays().items()}
    if wrong := fill(arrays, snapshot.arrays):
        raise ChangedError(f"{wrong[0]}: not in the checkpoint; it is of another version")
    part.restored()
    fields = getattr(part, "receptive_fields", None)
    return as_images(fields()) if fields else None


def draw_checkpoint(folder: Path, checkpoint: str | None, layer: str, picture: Path) -> int:
    """Draw a layer out of a checkpoint of a state folder, by name; returns how many units.

    Raises
    ------
    UsageError
        Where there is no checkpoint, no such layer, or nothing that is an image.

    """
    if checkpoint is None:
        raise UsageError(f"{folder}: no whole checkpoint; let the daemon save one")
    snapshot = Checkpoints(folder).read(checkpoint)
    config = parse(given(snapshot.config), CATALOGUE, str(folder))
    fields = receptive_fields(config, snapshot, layer)
    if fields is None:
        raise UsageError(f"{folder}: layer {layer or 'first'} has no weights that are images")
    name = layer or config.layer[0].name
    draw_fields(fields, f"{name} after {snapshot.rows_learned:,} rows", picture)
    return len(fields)
