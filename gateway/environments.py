"""Environments for models that need other libraries than the gateway's own: built once, whole, and used again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import uuid
from pathlib import Path

from gateway.errors import NoRoom, StartFailed
from gateway.files import has_room, last_line
from gateway.suitable import Place

WORKER_NEEDS = ("httptools", "uvloop")


def uv() -> str | None:
    """The program that builds: beside the running Python, or on the PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")


class Environments:
    """All environments of one gateway, by what must be in them."""

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder = folder
        self.limit = limit
        self._locks: dict[str, asyncio.Lock] = {}
        for spare in folder.glob(".*"):
            shutil.rmtree(spare, ignore_errors=True)

    async def python(self, place: Place, log: Path) -> str:
        """The interpreter of an environment that meets the place's requirements.

        Raises StartFailed with what is missing, and OSError. Output of the builder goes to `log`.
        """
        done = self.folder / place.digest
        async with self._locks.setdefault(place.digest, asyncio.Lock()):
            if not done.exists():
                await self._build(place, done, log)
        return str(done / "bin" / "python")

    async def _build(self, place: Place, done: Path, log: Path) -> None:
        program = uv()
        because = f"The model needs an environment of its own ({place.why})"
        if program is None:
            raise StartFailed(f"{because}, and uv, which builds it, is not installed.")
        spare = self.folder / f".{place.digest}-{uuid.uuid4().hex[:8]}"
        wanted = self.folder / f".{place.digest}-{uuid.uuid4().hex[:8]}.txt"
        try:
            wanted.write_text("\n".join((*place.requirements, *WORKER_NEEDS)) + "\n")
            if not await _run(
                log, self.limit, program, "venv", "--no-config", "--relocatable", "-p", place.python, str(spare)
            ):
                raise StartFailed(f"{because}, and there is no Python {place.python} on this machine.")
            python = str(spare / "bin" / "python")
            if not await _run(
                log,
                self.limit,
                program,
                "pip",
                "install",
                "--compile-bytecode",
                "-p",
                python,
                "-r",
                str(wanted),
            ):
                raise StartFailed(f"{because}, and building it failed: {last_line(log)}")
            spare.rename(done)
        except StartFailed as error:
            if not has_room(self.folder):
                raise NoRoom(last_line(log)) from error
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                wanted.unlink()
            shutil.rmtree(spare, ignore_errors=True)


async def _run(log: Path, limit: float, *command: str) -> bool:
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    env.pop("VIRTUAL_ENV", None)
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env=env
        )
    try:
        return await asyncio.wait_for(process.wait(), limit) == 0
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
