"""What a state folder holds, for `streamlearn inspect`; looks, changes nothing."""

import time
from pathlib import Path
from typing import Any

from streamlearn.errors import StateError, UsageError
from streamlearn.store import lock
from streamlearn.store.checkpoint import Checkpoints


def describe(folder: str | Path) -> dict[str, Any]:
    """Look through a state folder, whether or not a daemon is using it.

    Returns
    -------
    dict
        `dir`, `process` (who holds it, or None), then of the newest whole checkpoint
        `checkpoint` (its name, or None), `rows_learned`, `position`, `digest`, `config_hash`,
        `time`, `age_s`, `config`, `meta`; and `checkpoints`, newest first, each with `name` and
        either those figures and `bytes`, or `error`.

    Raises
    ------
    UsageError
        There is no such folder.

    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder: name the store.dir of a daemon")
    store = Checkpoints(folder)
    found = [_one(store, name) for name in store.names()]
    # A running daemon may remove the oldest while we look; that one is not there, not damaged.
    found = [one for one in found if (folder / one["name"]).is_dir()]
    newest: dict[str, Any] = next((one for one in found if "error" not in one), {})
    return {
        "dir": str(folder),
        "process": lock.holder(folder),
        "checkpoint": newest.get("name"),
        **{key: newest.get(key) for key in _KEYS},
        "age_s": max(0.0, time.time() - newest["time"]) if newest else None,
        "checkpoints": [
            {k: v for k, v in one.items() if k not in ("config", "meta")} for one in found
        ],
    }


_KEYS = ("rows_learned", "position", "digest", "config_hash", "time", "config", "meta")


def _one(store: Checkpoints, name: str) -> dict[str, Any]:
    try:
        manifest = store.check(name)
    except StateError as error:
        return {"name": name, "error": str(error)}
    fields = {key: getattr(manifest, key) for key in _KEYS}
    return {"name": name, **fields, "bytes": sum(file["bytes"] for file in manifest.files.values())}
