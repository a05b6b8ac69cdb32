"""A stream in a process of its own, as a person runs it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scoring.delta.stream import Options

ROOT = Path(__file__).resolve().parents[2]


def command(options: Options) -> list[str]:
    words = [sys.executable, "-m", "scoring", "stream", "--pointer", options.pointer, "--input", options.input]
    words += ["--output", options.output, "--every", f"{options.every:g}", "--rows", str(options.most)]
    return words


@contextlib.contextmanager
def streaming(options: Options) -> Iterator[subprocess.Popen[str]]:
    """Ended politely at last, whatever happened to it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command(options), env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)
