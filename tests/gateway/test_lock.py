"""Whose gateway it is stands in its lock: a signal goes to that process and to no other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import control, processes
from gateway.errors import GatewayError
from gateway.paths import home as home_of
from gateway.supervisor import take_lock


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """What would have been sent: to send it for real could end every process there is."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(control, "NAMED", 0.1)
    yield sent
    monkeypatch.undo()


@pytest.mark.parametrize(
    "text",
    ["", "-1", "0", "1", f"{os.getpid()}", f"{os.getpid()} 1", "nonsense"],
    ids=["nothing", "every process", "the group", "the first", "no start", "an earlier process", "nonsense"],
)
def test_a_lock_that_does_not_name_its_holder_ends_nobody(
    tmp_path: Path, signals: list[tuple[int, int]], text: str
) -> None:
    with (tmp_path / "lock").open("w") as held:
        held.write(text)
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(GatewayError, match="lock is held"):
            control.stop(tmp_path)
        with pytest.raises(GatewayError, match="lock is held"):
            control.status(tmp_path)
    assert signals == []


def test_whoever_takes_the_lock_says_who_it_is(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    with take_lock(home):
        assert home.lock.read_text() == f"{os.getpid()} {processes.started(os.getpid())}"
        with pytest.raises(GatewayError, match="already runs"):
            take_lock(home)
    assert control.status(tmp_path) is None
