"""Targets in memory with a virtual clock: launches take time, versions can be made to fail, traffic is simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from watcher.errors import Conflict, Terminal, Transient
from watcher.fakes.faults import Faults
from watcher.values import (
    Example,
    Kind,
    Mirrored,
    Observed,
    Probe,
    Release,
    SeenRelease,
    State,
    Target,
    Traffic,
    Version,
    Wrote,
)

WHOLE = 100
"""Percent."""


@dataclass
class Placed:
    """One release as the fake target keeps it."""

    version: int
    key: str
    owner: str
    ready_at: float
    failed: str | None = None
    ran: bool = False
    """Whether it ever had any weight."""


@dataclass
class Place:
    """One target's state."""

    model: str
    owner: str
    releases: dict[str, Placed] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    writes: int = 0
    since: float = 0.0
    adopted: bool = True
    mirror: tuple[str, int] | None = None
    """Release and percent of the requests that are copied to it."""
    coming: dict[str, int] | None = None
    """Weights that were accepted and are not in force yet."""
    at: float = 0.0
    """When they will be."""


@dataclass
class FakeDeployer:
    """The port, and below it what a test may do to the world behind the deployer's back."""

    clock: Callable[[], float]
    atomic: bool = True
    lease: float = 5.0
    launch_seconds: float = 1.0
    shift_seconds: float = 0.0
    """How long weights take to be in force; meanwhile the target takes no other change."""
    requests_per_second: float = 50.0
    places: dict[str, Place] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    broken: dict[int, str] = field(default_factory=dict)
    """Version -> why it cannot be brought up."""
    mute: dict[int, str] = field(default_factory=dict)
    """Version -> why its probe fails."""
    error_share: dict[int, float] = field(default_factory=dict)
    p95_ms: dict[int, float | None] = field(default_factory=dict)
    """Version -> its latency instead of 10 ms, None where the provider has none."""
    disagrees: dict[int, float] = field(default_factory=dict)
    """Version -> share of its mirrored answers that differ."""
    direct: dict[int, int] = field(default_factory=dict)
    """Version -> requests that somebody asked its release itself, past the traffic, all in vain."""
    apply_seconds: float = 0.0
    """Until a stream runs what its pointer was moved to."""
    wrote: dict[int, Wrote] = field(default_factory=dict)
    """Version -> what a job wrote with it, as the job says."""
    blind: bool = False
    """Whether the provider of traffic figures is out."""
    untold: set[int] = field(default_factory=set)
    """Versions of which alone it has no figures."""
    launches: list[tuple[str, str]] = field(default_factory=list)
    """(target, identity key) of every launch that started something."""

    def observe(self, target: Target) -> Observed:
        return self.faults.run("observe", target.key, lambda: self.look(target))

    def launch(self, release: Release) -> None:
        self.faults.run("launch", release.target.key, lambda: self._launch(release))

    def probe(self, release: Release, example: Example) -> Probe:
        return self.faults.run("probe", release.target.key, lambda: self._probe(release, example))

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        self.faults.run("shift", target.key, lambda: self._shift(target, dict(weights), seen))

    def mirror(self, target: Target, name: str, percent: int, seen: str) -> None:
        self.faults.run("mirror", target.key, lambda: self._mirror(target, name, percent, seen))

    def retire(self, target: Target, name: str) -> None:
        self.faults.run("retire", target.key, lambda: self._retire(target, name))

    def adopt(self, target: Target, version: Version) -> None:
        place = self._place(target)
        place.adopted = True
        place.writes += 1

    def check(self, target: Target) -> Sequence[str]:
        problem = self._problem(target)
        return [problem] if problem else []

    def _place(self, target: Target) -> Place:
        place = self.places.setdefault(target.place, Place(target.model, target.owner, since=self.clock()))
        if place.coming is not None and self.clock() >= place.at:
            self._serve(place, place.coming, place.at)
        return place

    def _problem(self, target: Target) -> str | None:
        place = self._place(target)
        if place.owner != target.owner:
            return f"it belongs to {place.owner}"
        if place.model != target.model:
            return f"it serves the model {place.model}"
        return None

    def look(self, target: Target) -> Observed:
        """The target as it is, past every scripted fault."""
        place = self._place(target)
        seen = tuple(self._seen(place, target, name) for name in sorted(place.releases))
        return Observed(
            seen,
            dict(place.weights),
            str(place.writes),
            place.adopted,
            self._problem(target),
            mirrored=self._mirrored(place),
            moving=place.coming is not None,
            delayed=self.shift_seconds > 0,
        )

    def _seen(self, place: Place, target: Target, name: str) -> SeenRelease:
        placed = place.releases[name]
        ours = placed.owner == target.owner
        return SeenRelease(
            name,
            placed.version,
            placed.key if ours else "",
            self._applied(place, target, name, placed),
            ours,
            placed.failed or "",
            self._traffic(place, name, placed),
            self.wrote.get(placed.version) if target.shape is not Kind.ENDPOINT and placed.ran else None,
        )

    def _applied(self, place: Place, target: Target, name: str, placed: Placed) -> State:
        """As `_state`; a stream that was moved to a release has to apply it first."""
        state = self._state(placed)
        waits = target.shape is Kind.STREAM and name in place.weights
        late = waits and self.clock() < place.since + self.apply_seconds
        return State.STARTING if late and state is State.READY else state

    def _state(self, placed: Placed) -> State:
        if placed.failed is not None:
            return State.FAILED
        return State.READY if self.clock() >= placed.ready_at else State.STARTING

    def _traffic(self, place: Place, name: str, placed: Placed) -> Traffic:
        percent = place.weights.get(name, 0)
        if not percent and (direct := self.direct.get(placed.version)):
            return Traffic(direct, errors=direct)
        return self._counted(placed.version, (self.clock() - place.since) * self.requests_per_second * percent / WHOLE)

    def _counted(self, version: int, asked: float) -> Traffic:
        requests = int(asked)
        p95 = self.p95_ms.get(version, 10.0) if requests else None
        told = not self.blind and version not in self.untold
        return Traffic(requests, int(requests * self.error_share.get(version, 0.0)), p95, available=told)

    def _mirrored(self, place: Place) -> Mirrored | None:
        if place.mirror is None:
            return None
        name, percent = place.mirror
        version = place.releases[name].version
        traffic = self._counted(version, (self.clock() - place.since) * self.requests_per_second * percent / WHOLE)
        answered = traffic.requests - traffic.errors
        return Mirrored(
            name, percent, traffic, compared=answered, disagreed=int(answered * self.disagrees.get(version, 0.0))
        )

    def _refuse(self, target: Target) -> None:
        problem = self._problem(target)
        if problem:
            raise Terminal(f"{target.name} cannot be moved: {problem}")

    def _busy(self, target: Target) -> None:
        if self._place(target).coming is not None:
            raise Transient(f"{target.name} is being changed")

    def _launch(self, release: Release) -> None:
        self._refuse(release.target)
        place, key = self._place(release.target), release.version.identity.key
        there = place.releases.get(release.name)
        if there is not None and (there.key != key or there.owner != release.target.owner):
            raise Conflict(f"{release.name} is there with another identity or owner")
        if there is not None and there.failed is None:
            return
        self._busy(release.target)
        failed = self.broken.get(release.version.number)
        place.releases[release.name] = Placed(
            release.version.number, key, release.target.owner, self.clock() + self.launch_seconds, failed
        )
        self.launches.append((release.target.name, key))

    def _probe(self, release: Release, example: Example) -> Probe:
        placed = self._place(release.target).releases.get(release.name)
        if placed is None or self._state(placed) is not State.READY:
            raise Conflict(f"{release.name} is not ready")
        why = self.mute.get(placed.version)
        return Probe(why is None, placed.version, why or f"{example.rows or 1} rows", 5.0)

    def _shift(self, target: Target, weights: dict[str, int], seen: str) -> None:
        self._refuse(target)
        place = self._place(target)
        if str(place.writes) != seen:
            raise Conflict(f"{target.name} changed since it was observed")
        if weights and sum(weights.values()) != WHOLE:
            raise Terminal(f"weights {weights} do not sum to 100")
        for name in weights:
            if name not in place.releases or self._state(place.releases[name]) is not State.READY:
                raise Conflict(f"{name} is not ready")
        self._busy(target)
        if self.shift_seconds:
            place.coming = {name: percent for name, percent in weights.items() if percent}
            place.at = self.clock() + self.shift_seconds
            place.writes += 1
        else:
            self._write(place, weights)

    def _mirror(self, target: Target, name: str, percent: int, seen: str) -> None:
        self._refuse(target)
        place = self._place(target)
        if str(place.writes) != seen:
            raise Conflict(f"{target.name} changed since it was observed")
        if name not in place.releases or self._state(place.releases[name]) is not State.READY:
            raise Conflict(f"{name} is not ready")
        if place.weights.get(name):
            raise Conflict(f"{name} is live")
        self._busy(target)
        place.mirror = (name, percent)
        place.writes += 1
        place.since = self.clock()

    def _write(self, place: Place, weights: dict[str, int]) -> None:
        self._serve(place, {name: percent for name, percent in weights.items() if percent}, self.clock())
        place.writes += 1

    @staticmethod
    def _serve(place: Place, weights: dict[str, int], since: float) -> None:
        place.weights, place.since = weights, since
        place.coming = place.mirror = None
        for name in weights.keys() & place.releases.keys():
            place.releases[name].ran = True

    def _retire(self, target: Target, name: str) -> None:
        place = self._place(target)
        if name not in place.releases:
            return
        if place.weights.get(name) or place.releases[name].owner != target.owner:
            raise Conflict(f"{name} is live or not ours")
        self._busy(target)
        self._remove(place, name)

    @staticmethod
    def _remove(place: Place, name: str) -> None:
        del place.releases[name]
        if place.mirror is not None and place.mirror[0] == name:
            place.mirror = None

    def lose(self, target: Target, name: str) -> None:
        """Somebody else deletes a release, with whatever weight it had."""
        place = self._place(target)
        self._remove(place, name)
        self._write(place, {n: w for n, w in place.weights.items() if n != name})

    def meddle(self, target: Target, weights: Mapping[str, int]) -> None:
        """Somebody else sets the weights."""
        self._write(self._place(target), dict(weights))

    def foreign(self, target: Target, name: str, version: int, *, live: bool = True) -> None:
        """A release that we did not create; live: it serves everything until a person says `adopt`."""
        place = self._place(target)
        place.releases[name] = Placed(version, "", "somebody else", self.clock())
        if live:
            place.adopted = False
            self._write(place, {name: 100})

    def snapshot(self) -> Any:
        """The whole state, to be given to `restore`."""
        return _copied(self.places), list(self.launches)

    def restore(self, state: Any) -> None:
        places, launches = state
        self.places, self.launches = _copied(places), list(launches)

    def serving(self, target: Target) -> dict[int, int]:
        """Version -> percent, for assertions."""
        place = self._place(target)
        return {place.releases[name].version: percent for name, percent in place.weights.items()}


def _copied(places: Mapping[str, Place]) -> dict[str, Place]:
    return {
        key: replace(
            place,
            releases={name: replace(placed) for name, placed in place.releases.items()},
            weights=dict(place.weights),
            coming=None if place.coming is None else dict(place.coming),
        )
        for key, place in places.items()
    }
