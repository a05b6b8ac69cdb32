"""How often one model was compared on one holdout: kept in order, only ever added to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from evaluation.store import Store, held, read_json, write_json


def look(store: Store, model: str, data: str, challenger: str, remembered: int) -> int:
    """Which look this challenger's is, from 1. The same challenger again is the same look.

    `remembered` is the highest that the caller knows of: where this folder's count was lost, it goes on above that.
    """
    path = store.looks(hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:32])
    with held(path.with_suffix(".lock"), wait=True):
        found = read_json(path)
        known: dict[str, dict[str, int]] = found if isinstance(found, dict) else {}
        taken: Mapping[str, int] = known.get(data, {})
        if challenger in taken:
            return taken[challenger]
        number = max([remembered, *taken.values()]) + 1
        write_json(path, known | {data: {**taken, challenger: number}})
        return number
