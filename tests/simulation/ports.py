"""The fakes of the product with a hook on each call: where a schedule strikes, and where the checks look."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from watcher.fakes.deployer import FakeDeployer, Place, Placed
from watcher.fakes.evaluator import FakeEvaluator
from watcher.fakes.faults import Faults
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.models import World as Models
from watcher.fakes.registry import FakeRegistry, State
from watcher.ports import Line
from watcher.values import Example, Observed, Probe, Release, Target

if TYPE_CHECKING:
    from tests.simulation.universe import Universe

T = TypeVar("T")
Hook = Callable[[str, str], None]
"""Verb, and `before`, `between` or `after`. May let others work, and may raise."""


WRITES = frozenset({"crown", "challenge", "write_crown", "tag"})
"""Verbs of the registry that only the loop uses."""


@dataclass(frozen=True, slots=True)
class Was:
    """A place as it was before a write."""

    weights: Mapping[str, int]
    releases: Mapping[str, Placed]
    since: float


class Watching(Protocol):
    """Who is told what the loop's calls saw and did, at once and before an answer can get lost."""

    def changed(self, after: Models) -> None:
        """The registry is another one, whoever did it."""
        ...

    def watch(self, universe: Universe) -> None:
        """Whose world it is."""
        ...

    def wiped(self) -> None:
        """The ledger's records are lost."""
        ...

    def registry_changed(self, verb: str, before: Models, after: Models) -> None:
        """A verb of the loop made one write."""
        ...

    def target_changed(self, verb: str, target: Target, was: Was, name: str) -> None:
        """A verb of the loop made one write; `name` is the release of a launch or a retirement."""
        ...

    def probed(self, target: Target, release: str) -> None:
        """A release answered its example."""
        ...

    def observed(self, target: Target, seen: Observed) -> None:
        """What the loop was shown."""
        ...

    def saved(self, key: str, lines: Sequence[Line]) -> None:
        """A record was written, with these lines."""
        ...


class SimulatedRegistry(FakeRegistry):
    """Tells each write that a port's verb made; what people do behind the ports is not told."""

    def __init__(self, clock: Callable[[], float], hook: Hook, watching: Watching, staleness: float) -> None:
        super().__init__(clock, staleness)
        self._hook, self._watching = hook, watching
        self.acting: str | None = None
        self._replaced: deque[float] = deque(maxlen=self._past.maxlen)
        """When each of the past states was replaced."""

    @property
    def world(self) -> Models:
        """What is, whatever reads show."""
        return self._world

    def _enter(self, verb: str, *arguments: Any) -> None:
        self._hook(verb, "before")
        self._raise(verb, "before")
        self.acting = verb if verb in WRITES else None

    def _between(self, verb: str) -> None:
        self.acting = None
        self._hook(verb, "between")
        self._raise(verb, "between")
        self.acting = verb

    def _leave(self, verb: str, answer: T) -> T:
        self.acting = None
        self._hook(verb, "after")
        self._raise(verb, "after")
        return answer

    def _seen(self) -> Models:
        """An older state, but none that was replaced longer ago than reads may be stale."""
        if not self.stale_writes:
            return self._world
        oldest, ago = self._clock() - self.staleness, 0
        for replaced in reversed(self._replaced):
            if ago >= self.stale_writes or replaced < oldest:
                break
            ago += 1
        return self._past[-ago] if ago else self._world

    def restore(self, state: State) -> None:
        super().restore(state)
        self._replaced = deque([0.0] * len(self._past), maxlen=self._past.maxlen)

    def _become(self, world: Models) -> None:
        before = self._world
        super()._become(world)
        self._replaced.append(self._clock())
        if self.acting is not None:
            self._watching.registry_changed(self.acting, before, self._world)
        self._watching.changed(self._world)


class SimulatedFaults(Faults):
    """Scripted faults, and the hook around each call of a deployer."""

    def __init__(self, hook: Hook) -> None:
        super().__init__()
        self._hook = hook

    def run(self, verb: str, subject: str, effect: Callable[[], T]) -> T:
        self._hook(verb, "before")
        if self.before.get(verb):
            raise self.before[verb].popleft()
        result = effect()
        self._hook(verb, "after")
        if self.after.get(verb):
            raise self.after[verb].popleft()
        return result


class SimulatedDeployer(FakeDeployer):
    """Tells what was observed and written. Not atomic: others may work between its compare and its write."""

    def __init__(self, clock: Callable[[], float], hook: Hook, watching: Watching, *, atomic: bool) -> None:
        super().__init__(clock, atomic=atomic, faults=SimulatedFaults(hook))
        self._hook, self._watching = hook, watching

    def observe(self, target: Target) -> Observed:
        def look() -> Observed:
            seen = self.look(target)
            self._watching.observed(target, seen)
            return seen

        return self.faults.run("observe", target.key, look)

    def _launch(self, release: Release) -> None:
        was, started = self._was(release.target), len(self.launches)
        super()._launch(release)
        if len(self.launches) > started:
            self._watching.target_changed("launch", release.target, was, release.name)

    def _probe(self, release: Release, example: Example) -> Probe:
        answer = super()._probe(release, example)
        if answer.ok:
            self._watching.probed(release.target, release.name)
        return answer

    def _shift(self, target: Target, weights: dict[str, int], seen: str) -> None:
        place = self._place(target)
        if not self.atomic and str(place.writes) == seen:
            self._hook("shift", "between")
            seen = str(place.writes)
        was = self._was(target)
        super()._shift(target, weights, seen)
        self._watching.target_changed("shift", target, was, "")

    def _retire(self, target: Target, name: str) -> None:
        was = self._was(target)
        super()._retire(target, name)
        if name in was.releases:
            self._watching.target_changed("retire", target, was, name)

    def _was(self, target: Target) -> Was:
        place: Place = self._place(target)
        return Was(dict(place.weights), dict(place.releases), place.since)


class SimulatedEvaluator(FakeEvaluator):
    """Evaluations that take half a minute, whoever began them."""

    def __init__(self, clock: Callable[[], float], hook: Hook) -> None:
        super().__init__(clock, faults=SimulatedFaults(hook))


class SimulatedLedger(FakeLedger):
    """Tells each line once it is written."""

    def __init__(self, revision: Callable[[], str], hook: Hook, watching: Watching) -> None:
        super().__init__(revision)
        self._hook, self._watching = hook, watching
        self._written: tuple[str, Sequence[Line]] = ("", ())

    def save(
        self,
        key: str,
        body: Mapping[str, Any],
        unchanged: str | None,
        lines: Sequence[Line] = (),
        due: float | None = None,
    ) -> str:
        self._written = key, lines
        return super().save(key, body, unchanged, lines, due)

    def _enter(self, verb: str, key: str | None = None) -> None:
        written = self._written
        self._hook(verb, "before")
        self._written = written
        self._fault(verb, key, "before")

    def _leave(self, verb: str, key: str | None = None) -> None:
        if verb == "save":
            self._watching.saved(*self._written)
        self._hook(verb, "after")
        self._fault(verb, key, "after")

    @property
    def lines(self) -> Sequence[Line]:
        """The whole history, past every fault."""
        return self._lines

    @property
    def size(self) -> int:
        """Lines that there are."""
        return len(self._lines)

    def peek(self, key: str) -> Mapping[str, Any] | None:
        """A record past every fault."""
        row = self._records.get(key)
        found: Mapping[str, Any] | None = json.loads(row.body) if row else None
        return found

    def soonest(self) -> float | None:
        """When the first record is due."""
        return min((row.due for key, row in self._records.items() if row.due is not None), default=None)
