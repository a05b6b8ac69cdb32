"""The way out: answers to stdout, everything else to stderr, and nothing that a terminal could take for a command."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from watcher.cli.exits import exit_of, kind_of
from watcher.errors import Transient, WatcherError
from watcher.text import plain
from watcher.views.jsonable import to_json

LONGEST = 4_000
"""Characters of one line."""
SLOW = 2.0
"""Seconds after which a person is told what is being waited for."""
PIPE_WIDTH = 240


class ReaderGone(Exception):
    """Nobody reads stdout any more."""


@dataclass
class Output:
    """Lines for a person, or one JSON value for a program. Safe for threads."""

    json: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, line: str = "") -> None:
        """One line of the answer, for a person only."""
        if not self.json:
            self._write(sys.stdout, plain(line, LONGEST))

    def give(self, value: Any) -> None:
        """The answer as JSON on one line, for a program only."""
        if self.json:
            self._write(sys.stdout, to_json(value))

    def warn(self, line: str) -> None:
        """Something beside the answer that a person should know; as JSON on stderr for a program."""
        text = plain(line, LONGEST)
        self._write(sys.stderr, to_json({"warning": text}) if self.json else text)

    def error(self, error: WatcherError) -> None:
        """Why there is no answer: one line a mistake, or one JSON object."""
        mistakes = [plain(line, LONGEST) for line in str(error).splitlines()]
        if self.json:
            told = {"kind": kind_of(error), "message": plain(error, LONGEST), "exit": int(exit_of(error))}
            self._write(sys.stderr, to_json({"error": told}))
            return
        for line in mistakes:
            self._write(sys.stderr, line)

    def report(self, line: str, value: Any) -> bool:
        """A line about work under way, as text or as JSON; False where nobody reads any more.

        The work is recorded elsewhere and goes on, whether or not it can be told: a log's disk may be full.
        """
        try:
            self.give(value)
            self.say(line)
        except ReaderGone:
            return False
        except Transient:
            return True
        return True

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table of plain text, as wide as the terminal."""
        if not self.json:
            for line in _table(head, rows):
                self.say(line)

    @contextlib.contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Say what is being waited for, if it takes long: `doing` is for example `Reading the registry`."""
        timer = threading.Timer(SLOW, lambda: self._write(sys.stderr, f"{plain(doing)} …"))
        timer.daemon = True
        if not self.json:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _write(self, stream: TextIO, line: str) -> None:
        try:
            with self._lock:
                stream.write(line + "\n")
                stream.flush()
        except BrokenPipeError:
            if stream is sys.stdout:
                raise ReaderGone from None
        except OSError as error:
            if stream is sys.stdout:
                raise Transient(f"The answer cannot be written: {error.strerror or type(error).__name__}.") from None


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    import io

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    wide = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(file=out, width=wide, color_system=None, force_terminal=False, legacy_windows=False)
    table = Table(*head, box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(Text(plain(cell, LONGEST)) for cell in row))
    console.print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]
