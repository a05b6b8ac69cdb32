"""`python -m evaluation HOME KEY`: carry out one evaluation that `evaluation.local` wrote down."""

from __future__ import annotations

import sys
from pathlib import Path

from evaluation.running import run

if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
