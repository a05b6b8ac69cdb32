"""What the loop does and tells when something goes wrong: `transcripts.txt`, so that a change shows in a review.

`python -m tests.loop.test_transcripts` writes it again. Each step and wait stands there with when it came and when the
model is looked at again, in seconds from the start; what the history says of it stands below. Where a trouble is over,
and at the end, stands what the ledger remembers.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.guards.troubles import TROUBLES, Trouble
from tests.loop.test_crashes import ONE, SEVERAL, STORIES
from tests.loop.world import LASTING, MODEL, World
from watcher.errors import Transient
from watcher.ports import Line
from watcher.record import Record
from watcher.sentences import render
from watcher.values import Target

FILE = Path(__file__).with_name("transcripts.txt")
MOMENTS = (0, 2, 5, 9)
"""Wake-ups before a trouble comes."""
DURING = 20
"""Wake-ups while it lasts."""
MOST = 200
DAY = 86_400.0
"""Seconds; what is later than that is a time, and no length of one."""
PAUSE = 5.0
"""Seconds after a wake-up that could not be ended."""


class Transcript:
    """One story in a world of its own, and what is read of it."""

    def __init__(self, story: str, targets: tuple[Target, ...]) -> None:
        self.world = World(targets=targets, atomic=False)
        STORIES[story](self.world)
        self.text: list[str] = []
        self._loop = self.world.worker()
        self._began = self.world.now
        self._told = len(self.world.lines())

    def go_on(self, wakes: int) -> None:
        """Wake so often, or until nothing more is due by itself."""
        for _ in range(wakes):
            try:
                woken = self.world.wake(self._loop)
            except Transient as error:
                self.text.append(f"{self._at(self.world.now)} it ends: {error}")
                self.world.now += PAUSE
                continue
            again = "" if woken.again is None else f", again {self._at(woken.again)}"
            step = f"{self._at(self.world.woken_at)} {woken.step.slot} ({woken.step.reason}){again}"
            lines = self.world.lines()
            told = [self._read(line) for line in lines[self._told :] if line.event != "intent"]
            self._told = len(lines)
            self.text += [step, *told] if woken.acted or told else []
            if not woken.acted:
                if woken.again is None or woken.step.reason in LASTING:
                    return
                self.world.now = max(self.world.now, woken.again)

    def trouble(self, name: str, trouble: Trouble) -> None:
        """It comes, lasts for a while, and goes; what is read begins with it."""
        self.go_on(MOMENTS[zlib.crc32(name.encode()) % len(MOMENTS)])
        self.text.clear()
        trouble.strike(self.world)
        self.go_on(DURING)
        self.text += ["-- no more --", self.remembered()]
        trouble.lift(self.world)
        self.go_on(MOST)

    def remembered(self) -> str:
        """What the ledger keeps of the model beyond what a new one holds."""
        stored = self.world.ledger.load(MODEL)
        body = stored.body if stored else {}
        new = Record(0.0).to_json()
        kept = {name: self._since(value) for name, value in body.items() if value != new.get(name)}
        return "  remembers " + json.dumps(kept, sort_keys=True)

    def _since(self, value: Any) -> Any:
        """The value with its times in seconds from the start."""
        if isinstance(value, dict):
            return {name: self._since(item) for name, item in value.items()}
        return round(value - self._began, 2) if isinstance(value, float) and value > DAY else value

    @staticmethod
    def _read(line: Line) -> str:
        return "  " + render(line).removeprefix(f"{MODEL}: ")

    def _at(self, moment: float) -> str:
        return f"{moment - self._began:.2f}"


NAMES = (*sorted(STORIES), *TROUBLES)
"""The sections of the file: every story by itself on several targets, then with each trouble on one."""


def transcript(name: str) -> list[str]:
    """The lines of one section."""
    if name in STORIES:
        alone = Transcript(name, SEVERAL)
        alone.go_on(MOST)
        return [*alone.text, alone.remembered()]
    disturbed = Transcript("updated", ONE)
    disturbed.trouble(name, TROUBLES[name])
    return [*disturbed.text, disturbed.remembered()]


def written() -> dict[str, list[str]]:
    """What the file holds of each section."""
    _, *sections = re.split("^# ", FILE.read_text(), flags=re.MULTILINE)
    return {name: lines for name, *lines in (section.rstrip("\n").split("\n") for section in sections)}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_done_and_told_is_what_is_written_down(name: str) -> None:
    assert transcript(name) == written()[name]


def test_no_more_is_written_down_than_is_told() -> None:
    assert tuple(written()) == NAMES


if __name__ == "__main__":
    FILE.write_text("\n".join("\n".join((f"# {name}", *transcript(name), "")) for name in NAMES) + "\n")
