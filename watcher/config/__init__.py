"""The one file a user writes: read, checked whole, and turned into `watcher.settings`.

What checks it is only imported when a file is loaded: who needs nothing but settings does not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from watcher.config.errors import ConfigError, Mistake
from watcher.config.kinds import SHAPES, place
from watcher.config.matching import is_watched, shared_places, watched
from watcher.config.ways import PlaceOf, Shapes
from watcher.settings import Settings

__all__ = ["SHAPES", "ConfigError", "Mistake", "is_watched", "load", "place", "schema", "shared_places", "watched"]


def load(path: Path, environ: Mapping[str, str], shapes: Shapes = SHAPES, place: PlaceOf = place) -> Settings:
    """Read the file at `path`; `${NAME}` in it comes from `environ`.

    `shapes` names the target kinds there are, `place` says what makes two targets the same place. Raises ConfigError
    with every mistake there is.
    """
    from watcher.config.loading import load_file

    return load_file(path, environ, shapes, place)


def schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors; `python -m watcher.config.json_schema` prints it."""
    from watcher.config.json_schema import schema as made

    return made()
