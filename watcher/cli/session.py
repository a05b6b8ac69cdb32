"""What every command is given: where the settings are, the way out, and the app built from them."""

from __future__ import annotations

import functools
import getpass
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.cli.output import Output
from watcher.text import plain

if TYPE_CHECKING:
    from watcher.ports import Line
    from watcher.wiring import App

DEFAULT = Path("watch.yaml")


def make_app(config: Path, tell: Callable[[Line], None] | None) -> App:
    """Build everything from the settings file. The one seam through which tests hand in fakes."""
    from watcher import wiring

    return wiring.load(config, tell=tell)


def sleep(seconds: float, stop: threading.Event | None) -> None:
    """Sleep for so long, or until `stop` is set. The seam through which tests pass time."""
    if stop is None:
        time.sleep(seconds)
    else:
        stop.wait(seconds)


@dataclass
class Session:
    """One command, from its options to its answer."""

    config: Path = DEFAULT
    out: Output = field(default_factory=Output)
    tell: Callable[[Line], None] | None = None
    """Called with every line that is written to the history."""

    @functools.cached_property
    def app(self) -> App:
        """Raises UserError for a mistake in the settings."""
        with self.out.busy("Reading the settings"):
            return make_app(self.config, self.tell)

    @functools.cached_property
    def who(self) -> str:
        """The name of the person at the keyboard."""
        try:
            return plain(getpass.getuser(), 80)
        except (KeyError, OSError):
            return f"user {os.getuid()}"

    def pause(self, seconds: float, stop: threading.Event | None = None) -> None:
        sleep(seconds, stop)

    def end(self) -> None:
        """What the ledger found out about its file is told once the command is through."""
        if "app" in self.__dict__:
            for note in self.app.notes:
                self.out.warn(note)
