"""Versions whose models are real, and rows that they score: for evaluators that really evaluate."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.contract.evaluator_suite import BROKEN, STRONG, WEAK
from tests.evaluator.models import does
from tests.evaluator.world import PATIENCE, frame, holdout, logistic
from watcher.values import Identity, Status, Version

MADE: dict[int, Callable[[], Path]] = {
    WEAK: lambda: logistic(0),
    STRONG: lambda: logistic(0, 1),
    3: lambda: logistic(0, 1, 2),
    BROKEN: lambda: does("raises"),
}


def version(number: int) -> Version:
    """A version whose artifacts lie on this machine."""
    path = str(MADE[number]())
    return Version(Identity("churn", number, 1_700 + number, path), Status.READY, path)


def put(rows: Path) -> None:
    """The holdout, at this place."""
    rows.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(holdout(), rows)


def put_others(rows: Path) -> None:
    """Other rows in its place."""
    frame(3_000, 7).to_parquet(rows)


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.1)
