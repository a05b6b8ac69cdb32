"""A demo in a process of its own, as a person runs it, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "demo", "--folder", str(folder), *arguments]


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that tells its story into a pipe; whatever a test does to it, nothing of it is left afterwards."""
    process = subprocess.Popen(
        command(folder, *arguments),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        subprocess.run(command(folder, "--stop"), cwd=CHECKOUT, check=True, timeout=60)


def read_until(process: subprocess.Popen[str], words: str) -> list[str]:
    """The lines up to the one that holds `words`; fails where the demo ends before."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if words in line:
            return lines
    raise AssertionError("\n".join([f"the demo ended without {words!r}:", *lines]))


def of_folder(folder: Path) -> list[str]:
    """Every process whose command, working folder or open log lies in the folder, itself apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            places = [words, *(str((entry / name).readlink()) for name in ("cwd", "fd/1"))]
            if any(str(folder) in place for place in places):
                found.append(f"{entry.name}: {words}")
    return found


def left_over(folder: Path, patience: float = 5.0) -> list[str]:
    """What still runs of a demo that has ended; the system may need an instant to bury the last."""
    deadline = time.monotonic() + patience
    while (found := of_folder(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
