"""Small files that are either the old or the new, never half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Replace the file; with `durable` it survives a power cut once this returns."""
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    with open(spare, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(value, file)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    spare.replace(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_json(path: Path) -> Any:
    """The value, None where there is no such file or it holds no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def bound_log(path: Path, most: int) -> None:
    """Keep the newer half of a log that grew beyond `most` bytes. Its writers append, so they need not be told."""
    try:
        size = path.stat().st_size
        if size <= most:
            return
        with path.open("r+b") as file:
            file.seek(size - most // 2)
            rest = file.read(most // 2)
            file.truncate(0)
        with path.open("ab") as file:
            file.write(rest)
    except OSError:
        return


def last_line(path: Path) -> str:
    """The last line of a log that says something, shortened; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "")
