"""Where everything of one gateway lies. Pure functions of its home."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path that every platform takes."""


@dataclass(frozen=True)
class Home:
    """The folder of one gateway."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def limits(self) -> Path:
        return self.path / "limits.json"

    @property
    def log(self) -> Path:
        return self.path / "gateway.log"

    @property
    def envs(self) -> Path:
        return self.path / "envs"

    @property
    def code(self) -> Path:
        """Put on PYTHONPATH: holds a link to this package and nothing else."""
        return self.path / "code"

    @property
    def run(self) -> Path:
        """Sockets and cards of running processes; elsewhere where the home's path is too long for a socket."""
        inside = self.path / "run"
        if len(os.fsencode(inside)) + 20 <= LONGEST_SOCKET:
            return inside
        return self._short / "run"

    @property
    def admin(self) -> Path:
        """May be too long for a socket's address: see `short`."""
        return self.path / "admin.sock"

    @property
    def zygote(self) -> Path:
        return self.run / "zygote.sock"

    @property
    def _short(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path("/tmp") / f"gateway-{os.getuid()}-{digest}"  # noqa: S108 - `make` sees to it that it is ours

    @property
    def releases(self) -> Path:
        return self.path / "releases"

    def release(self, endpoint: str, name: str) -> Path:
        """Folder of one release. Both names are validated before they come here."""
        return self.releases / endpoint / name

    def make(self) -> None:
        """Create the folders, readable by their owner only. Raises OSError, or PermissionError if not ours."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.run.parent == self._short:
            self._short.mkdir(mode=0o700, exist_ok=True)
            found = self._short.lstat()
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise PermissionError(f"{self._short} belongs to somebody else")
        for folder in (self.run, self.envs, self.code, self.releases):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """The same socket under a name that fits into an address, for as long as the context lasts."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def home(path: str | os.PathLike[str]) -> Home:
    """The gateway that lives at `path`."""
    return Home(Path(os.path.realpath(Path(path).expanduser())))
