"""`python -m scoring.spark`: whether Spark starts here, with Delta. Exit code 0, or 1 with the reason."""

from __future__ import annotations

import sys

from scoring.errors import Stop
from scoring.spark import session


def main() -> int:
    """The exit code."""
    try:
        session.get().stop()
    except Stop as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
