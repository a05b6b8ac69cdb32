"""All the reads of one wake-up: the ledger record is given, then marks, then targets, then versions and evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from watcher import telemetry
from watcher.decide import asked
from watcher.decide.settle import first_look
from watcher.errors import Terminal, Transient, WatcherError
from watcher.evaluations import Evaluated
from watcher.judge import rests_on
from watcher.ports import Deployer, Evaluator, Evidence, Registry, mirrors
from watcher.record import Record
from watcher.settings import Watched
from watcher.snapshot import Snapshot, TargetView, evaluation_of
from watcher.text import without_secrets
from watcher.values import (
    EvidenceOf,
    Example,
    Gone,
    Marks,
    Mode,
    Observed,
    SeenRelease,
    Target,
    Unseen,
    Version,
)

MOST_VERSIONS = 1_000
"""Versions that the listing of one wake-up shows: the newest. Older ones without a verdict are read in turn."""
MOST_READ = 100
"""Direct gets of one wake-up beside those of marked versions; the rest follows at the next."""
MOST_JUDGED = 100
"""Candidates of one wake-up: half of them the newest, half in turn, so that no number of them keeps one waiting."""
REGISTRY_LEASE = 30.0
"""Seconds: time-out of the slowest registry verb, which is all that a model without targets ever does."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where one model's world is read from."""

    registry: Registry
    evidence: Evidence
    deployers: Mapping[str, Deployer]
    """By kind of target."""
    sample: Callable[[str], Example]
    """Reads the rollout's sample file. Raises Transient where it cannot."""
    at_once: int = 8
    """How many targets are observed at the same time."""
    evaluator: Evaluator | None = None
    """None on a host that cannot evaluate: what asks for it waits there."""


def gather(
    watched: Watched, record: Record, sources: Sources, now: float, *, paused: bool, evidence_every: float
) -> Snapshot:
    """One snapshot. Raises Transient where the registry cannot be read; a target that cannot be seen is `Unseen`."""
    marks = sources.registry.read(watched.name)
    # Advice touches no target: not even by looking, since an idle one need not exist yet.
    places = watched.targets if watched.mode is Mode.DEPLOY else ()
    targets = _observe(places, sources.deployers, sources.at_once)
    served = [r.version for view in targets if isinstance(view.seen, Observed) for r in _live(view.seen)]
    read = _Reading(sources.registry, marks, record, served)
    versions = read.versions() if marks.exists else {}
    numbers = [v.number for v in versions.values() if isinstance(v, Version)]
    seen = Snapshot(
        watched=watched,
        record=record,
        marks=marks,
        targets=targets,
        versions=versions,
        newest=max([marks.newest, read.newest, *numbers]),
        turn=read.turn,
        staleness=sources.registry.staleness,
        lease=max(_leases(watched, places, sources), default=REGISTRY_LEASE),
        evidence_every=evidence_every,
        paused=paused,
    )
    # Files and metrics are the slowest of all reads: only what is judged now, or asked now.
    judged = rests_on(seen)
    if judged:
        evidence = _evidence(judged, sources.evidence)
        return replace(seen, evidence=evidence, evaluations=_evaluations(seen, judged, sources.evaluator))
    challenger = asked(seen, now) if seen.challenger is not None else None
    return replace(seen, example=_example(challenger, watched.rollout.probe_file, sources))


def _observe(targets: tuple[Target, ...], deployers: Mapping[str, Deployer], at_once: int) -> tuple[TargetView, ...]:
    def look(target: Target) -> TargetView:
        deployer = deployers[target.kind]
        seen: Observed | Unseen
        try:
            seen = _fit_to_show(deployer.observe(target))
        except Transient as error:
            seen = Unseen(str(error), error.retry_after)
        except WatcherError as error:
            seen = Unseen(str(error))
        if isinstance(seen, Unseen):
            telemetry.deployer_error(target.kind, "observe", "unseen")
        return TargetView(target, seen, deployer.atomic, mirrors(deployer))

    if min(len(targets), at_once) <= 1:
        return tuple(look(target) for target in targets)
    with ThreadPoolExecutor(min(len(targets), at_once)) as pool:
        return tuple(pool.map(look, targets))


def _fit_to_show(seen: Observed) -> Observed:
    """A target's own words are shown and kept, and it may say back what it was sent."""
    releases = tuple(
        replace(release, detail=without_secrets(release.detail)) if release.detail else release
        for release in seen.releases
    )
    return replace(seen, releases=releases)


def _live(seen: Observed) -> list[SeenRelease]:
    return [release for release in seen.releases if release.ours and seen.weights.get(release.name)]


class _Reading:
    """The versions of one wake-up, in bounded work however many there are.

    Whatever is marked or live; the newest candidates; and others in turn: each wake-up goes on at the number after
    the last one, until it comes round. A candidate whose turn it is not is left out, as if it were not there yet.
    """

    def __init__(self, registry: Registry, marks: Marks, record: Record, served: Iterable[int]) -> None:
        self._registry, self._marks, self._record = registry, marks, record
        crown = marks.crown
        marked = [marks.champion, marks.challenger, record.rollout, record.leader, *served]
        marked += [crown.previous, crown.displaced] if crown is not None else []
        self._marked = [number for number in dict.fromkeys(marked) if number is not None]
        self._found: dict[int, Version | Gone] = {}
        self._gets = 0
        self.newest = 0
        """Highest number that was seen."""
        self.turn = 0
        """The number that the turn has come to, 0 once it has come round."""

    def versions(self) -> dict[int, Version | Gone]:
        """Raises Transient where the registry cannot be read."""
        marks, found = self._marks, self._found
        known = 0 <= self._record.settled <= marks.newest
        settled = self._record.settled if known else first_look(marks, marks.newest)
        if marks.crown is None:
            # Nothing tells a model that was created again from the one before it: what was settled is looked at again.
            settled = min(settled, first_look(marks, marks.newest))
        found.update({v.number: v for v in self._registry.versions(marks.name, settled, MOST_VERSIONS, self._marked)})
        self.newest = max([marks.newest, *found])
        for number in self._marked:
            if number not in found:
                found[number] = self._registry.version(marks.name, number)
        chosen = set(sorted(filter(self._is_candidate, found), reverse=True)[: MOST_JUDGED // 2])
        chosen |= self._waiting()
        chosen |= self._in_turn(settled, chosen)
        return {n: version for n, version in found.items() if n in chosen or not self._is_candidate(n)}

    def _is_candidate(self, number: int) -> bool:
        """Whether it asks for a verdict and nothing else, so that it may wait for its turn."""
        version = self._found[number]
        asks = isinstance(version, Version) and version.call is None and not version.rejudge
        return asks and number not in self._marked

    def _get(self, number: int) -> None:
        self._found[number] = self._registry.version(self._marks.name, number)
        self._gets += 1

    def _waiting(self) -> set[int]:
        """Candidates that were seen before and that the listing no longer shows, the oldest first."""
        numbers = sorted({int(key.partition("-")[0]) for key in self._record.first_seen})
        older = [n for n in numbers if n not in self._found][: MOST_READ // 2]
        for number in older:
            self._get(number)
        return set(older)

    def _in_turn(self, settled: int, chosen: set[int]) -> set[int]:
        """The next candidates in the order of their numbers; what the listing does not show is asked for."""
        turn = self._record.turn
        start = turn if settled < turn < self.newest else settled
        more: set[int] = set()
        for number in chain(range(start + 1, self.newest + 1), range(settled + 1, start + 1)):
            if number not in self._found:
                if self._gets >= MOST_READ:
                    self.turn = number - 1
                    return more
                self._get(number)
            if number not in chosen and self._is_candidate(number):
                more.add(number)
                if len(more) >= MOST_JUDGED // 2:
                    self.turn = number
                    return more
        self.turn = 0
        return more


def _evidence(versions: Iterable[Version], source: Evidence) -> dict[int, EvidenceOf]:
    found = {}
    for version in versions:
        # What cannot be read, now or for want of a library, makes that one version wait; orders, healing and the
        # others go on.
        with contextlib.suppress(Transient, Terminal):
            found[version.number] = source.of(version)
    return found


def _leases(watched: Watched, places: tuple[Target, ...], sources: Sources) -> list[float]:
    leases = [sources.deployers[target.kind].lease for target in places]
    if sources.evaluator is not None and watched.policy.evaluate is not None:
        leases.append(sources.evaluator.lease)
    return leases


def _evaluations(seen: Snapshot, judged: Iterable[Version], evaluator: Evaluator | None) -> dict[int, Evaluated]:
    """How far the evaluation of each version that is judged is; one that cannot be seen is left out, and waits."""
    found: dict[int, Evaluated] = {}
    if evaluator is None:
        return found
    for version in judged:
        asked_for = evaluation_of(seen.watched, seen.record, version, seen.champion)
        if asked_for is not None and version != seen.champion:
            with contextlib.suppress(Transient, Terminal):
                found[version.number] = evaluator.observe(asked_for)
    return found


def _example(challenger: Version | None, file: str | None, sources: Sources) -> Example | None:
    """What to ask the challenger; None where it cannot be read, for which only the challenger waits."""
    with contextlib.suppress(WatcherError):
        if challenger is not None:
            return sources.sample(file) if file is not None else sources.evidence.example(challenger)
    return None
