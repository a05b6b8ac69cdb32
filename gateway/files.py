"""Small files that are either the old or the new, never half of one."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A disk, a quota or a size that takes no more: nothing is wrong with what was to be written."""

ROOM = 64 * 1024
"""Bytes: more than what is left of a block that is in use anyway."""


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Replace the file; with `durable` it survives a power cut once this returns."""
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(spare, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(value, file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        spare.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            spare.unlink()
        raise
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


def is_full(error: BaseException) -> bool:
    """Whether it says that there is no room left."""
    return isinstance(error, OSError) and error.errno in FULL


def has_room(folder: Path) -> bool:
    """Whether the folder takes a small file now. For libraries that do not pass on why they could not write."""
    tried = folder / f".room-{uuid.uuid4().hex}"
    try:
        tried.write_bytes(bytes(ROOM))
    except OSError as error:
        return not is_full(error)
    finally:
        with contextlib.suppress(OSError):
            tried.unlink()
    return True


class _Unheard(io.FileIO):
    """An output of which nobody is told that it could not be written."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def speak_regardless() -> None:
    """From here on a log that takes no more breaks nobody who prints, such as the code of a model."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(_Unheard(handle, "w", closefd=False)), errors="backslashreplace", line_buffering=True
        )
        for handle in (1, 2)
    )


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
