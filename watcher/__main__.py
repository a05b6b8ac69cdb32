"""The command line, as `python -m watcher` and as the script `watcher`. Imports nothing heavy by itself."""

import os
import signal
import sys

INTERRUPTED = 130


def main() -> int:
    """Run one command; the exit code."""
    # While everything is imported nothing is under way: Ctrl-C ends it without a word.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from watcher.cli.main import main as command_line

    signal.signal(signal.SIGINT, before)
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
