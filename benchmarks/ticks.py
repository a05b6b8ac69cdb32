"""`python -m benchmarks.ticks MODELS TICKS LEDGER`: an idle watcher under a virtual clock; prints its memory as JSON.

A tick is a change poll, a marks sweep and the question what is due; the feed is the fake one, the ledger a real one.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from pathlib import Path

from benchmarks.procfs import rss
from benchmarks.winners import World
from watcher.ledger.sqlite import SqliteLedger

TICK = 60.0
"""Virtual seconds."""
RESYNC = 500
"""Ticks between two resyncs, each of which wakes every model."""


def main() -> None:
    """Two numbers of MB: after a tenth of the ticks, and at the end."""
    models, ticks, ledger = int(sys.argv[1]), int(sys.argv[2]), SqliteLedger(Path(sys.argv[3]))
    world = World(models, ledger)
    world.registry.calls = deque(maxlen=0)  # what the fake remembers of its calls is not the watcher's
    world.drain(world.poller.resync())
    found = []
    for tick in range(1, ticks + 1):
        world.now += TICK
        due = world.poller.changes() | world.poller.marks() | world.poller.due(world.now)
        if tick % RESYNC == 0:
            due |= world.poller.resync()
        world.drain(due)
        world.spent.clear()
        if tick in (ticks // 10, ticks):
            found.append(rss(os.getpid()))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
