"""What a person sees: lines of the history in the watcher's own words, and headings for what people do."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from typing import TextIO

from watcher.history import render
from watcher.ports import Line
from watcher.text import plain
from watcher.values import Verb

SHOWN = frozenset(
    {
        "verdict",
        "live",
        "rollout_started",
        "rolled_back",
        "crowned",
        "order",
        "told",
        "unmet",
        "wrote",
        "failed",
        "ledger_rebuilt",
        "paused",
        "resumed",
    }
)
STEPS = frozenset({Verb.LAUNCH, Verb.PROBE, Verb.RETIRE})
"""Steps that are shown; what the others do is told by a line of its own."""
WIDEST, NARROWEST = 120, 60
LONGEST = 1_000
BOLD, GREEN, RED, YELLOW, FAINT = "1", "32", "31", "33", "2"
_COLOURS = {
    "rolled_back": RED,
    "unmet": RED,
    "failed": YELLOW,
    "order": YELLOW,
    "crowned": GREEN,
    "told": FAINT,
    "done": FAINT,
}
_CALLS = {"wins": GREEN, "loses": RED, "invalid": RED, "waits": YELLOW}


class Screen:
    """Writes to one stream, whole lines at a time, from any thread; in colour where that is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._began = time.time()
        self._coloured = self._stream.isatty() and not os.environ.get("NO_COLOR")

    def tell(self, line: Line) -> None:
        """A line of the history, if it is one worth showing."""
        data = line.data or {}
        if line.event not in SHOWN and not (line.event == "done" and data.get("verb") in STEPS):
            return
        colour = _CALLS.get(str(data.get("call")), "") if line.event == "verdict" else _COLOURS.get(line.event, "")
        text = render(line).removeprefix(f"{plain(line.model)}: ")
        self._write(f"{line.at - self._began:6.1f} s  ", text, colour)

    def act(self, text: str) -> None:
        """What somebody does now: never what comes of it."""
        with self._lock:
            print(file=self._stream)
        self._write("", f"── {text} ".ljust(self._width, "─"), BOLD)

    def say(self, text: str = "", colour: str = "", indent: str = "") -> None:
        """A remark of the demo's own."""
        self._write(indent, text, colour)

    def copy(self, command: str) -> None:
        """A command to be copied: never broken into lines."""
        with self._lock:
            print(f"  {command}", file=self._stream, flush=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as they need to be; the last one is cut to the width."""
        widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
        for number, row in enumerate((head, *rows)):
            text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            shown = text if len(text) <= self._width - 2 else text[: self._width - 3] + "…"
            with self._lock:
                print("  " + self._painted(shown, BOLD if number == 0 else ""), file=self._stream, flush=True)

    @property
    def _width(self) -> int:
        return max(min(shutil.get_terminal_size((100, 24)).columns, WIDEST), NARROWEST)

    def _write(self, prefix: str, text: str, colour: str) -> None:
        wrapped = textwrap.wrap(plain(text, LONGEST), self._width - len(prefix)) or [""]
        with self._lock:
            for number, part in enumerate(wrapped):
                before = prefix if number == 0 else " " * len(prefix)
                print(before + self._painted(part, colour), file=self._stream, flush=True)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self._coloured else text
