"""Ctrl-C and SIGTERM: the first ends the steps under way, the second ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from watcher.cli.exits import Exit
from watcher.cli.output import Output


@contextlib.contextmanager
def stopping(out: Output, stop: threading.Event, halt: Callable[[], None]) -> Iterator[None]:
    """Until the block ends, a first signal calls `halt`, which sets `stop`; one after that ends the process.

    Signals reach the main thread only; in another one nothing is changed.
    """

    def take(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(Exit.INTERRUPTED)
        halt()
        out.warn("Stopping after the steps under way; what serves goes on. Ctrl-C again stops at once.")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
