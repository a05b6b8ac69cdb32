"""An evaluator in memory with a virtual clock: evaluations take time, and what they find is written beforehand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from watcher.evaluations import Comparison, Evaluate, Evaluated, Evaluation, Fault, Progress, Scored
from watcher.fakes.faults import Faults

Key = tuple[str, str, str]
"""Champion, challenger, data."""


@dataclass
class FakeEvaluator:
    """The port, and below it what a test may do to what is found."""

    clock: Callable[[], float]
    lease: float = 5.0
    seconds: float = 30.0
    data: str = "data-1"
    """Identity of the holdout as it is now."""
    rows: int = 10_000
    faults: Faults = field(default_factory=Faults)
    truth: dict[int, float] = field(default_factory=dict)
    """Version -> its score on every metric; 0.5 where nothing is said."""
    width: float = 0.001
    """Half of every interval."""
    broken: dict[int, str] = field(default_factory=dict)
    """Version -> why it cannot be scored."""
    leaks: dict[int, str] = field(default_factory=dict)
    """Version -> why the holdout is its training data."""
    out: str = ""
    """Why the data cannot be read, while it cannot."""
    begun: dict[Key, float] = field(default_factory=dict)
    looks: dict[str, list[str]] = field(default_factory=dict)
    """Data -> challengers that were compared on it, in order."""
    starts: list[Key] = field(default_factory=list)
    """Every start that began something."""

    def start(self, evaluation: Evaluation) -> None:
        self.faults.run("start", evaluation.challenger.identity.key, lambda: self._start(evaluation))

    def observe(self, evaluation: Evaluation) -> Evaluated:
        return self.faults.run("evaluated", evaluation.challenger.identity.key, lambda: self._observe(evaluation))

    def check(self, rules: Evaluate) -> Sequence[str]:
        return [self.out] if self.out else []

    def change_data(self, identity: str) -> None:
        """From now on the holdout holds other rows."""
        self.data = identity

    def snapshot(self) -> Mapping[str, Any]:
        """Everything as it is, to be put back by `restore`."""
        kept = ("seconds", "data", "rows", "truth", "width", "broken", "leaks", "out", "begun", "looks", "starts")
        return copy.deepcopy({name: getattr(self, name) for name in kept})

    def restore(self, kept: Mapping[str, Any]) -> None:
        for name, value in copy.deepcopy(dict(kept)).items():
            setattr(self, name, value)

    def _key(self, asked: Evaluation) -> Key:
        champion = asked.champion.identity.key if asked.champion else ""
        return champion, asked.challenger.identity.key, self.data

    def _start(self, asked: Evaluation) -> None:
        key = self._key(asked)
        if key in self.begun:
            return
        self.begun[key] = self.clock()
        self.starts.append(key)
        if asked.champion is None:
            return
        seen = self.looks.setdefault(self.data, [])
        remembered = asked.looks.get(self.data, 0)
        seen.extend([""] * (remembered - len(seen)))
        seen.append(key[1])

    def _observe(self, asked: Evaluation) -> Evaluated:
        key = self._key(asked)
        since = self.begun.get(key)
        if since is None:
            return Evaluated(Progress.ABSENT)
        if self.clock() < since + self.seconds:
            return Evaluated(Progress.RUNNING, since)
        if self.out:
            return Evaluated(Progress.FAILED, since, self.out)
        for version, fault in ((asked.challenger, Fault.CHALLENGER), (asked.champion, Fault.CHAMPION)):
            if version is not None and version.number in self.broken:
                return Evaluated(Progress.FAILED, since, self.broken[version.number], fault)
        return Evaluated(Progress.DONE, since, comparison=self._comparison(asked))

    def _comparison(self, asked: Evaluation) -> Comparison:
        mine = self.truth.get(asked.challenger.number, 0.5)
        theirs = self.truth.get(asked.champion.number, 0.5) if asked.champion else None
        score = Scored("", mine, theirs, rows=self.rows, method="made up")
        if theirs is not None:
            gain = mine - theirs
            score = replace(score, gain=gain, low=gain - self.width, high=gain + self.width)
        look = self.looks[self.data].index(asked.challenger.identity.key) + 1 if asked.champion else 0
        return Comparison(
            self.data,
            self.rows,
            tuple(replace(score, metric=name) for name in asked.rules.metrics),
            asked.confidence,
            look,
            self.seconds,
            changed=None if theirs is None else 0.1,
            leak=self.leaks.get(asked.challenger.number, ""),
        )
