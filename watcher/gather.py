"""All the reads of one wake-up: the ledger record is given, then marks, then targets, then versions and evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from watcher.decide.settle import first_look
from watcher.errors import Transient, WatcherError
from watcher.ports import Deployer, Evidence, Registry
from watcher.record import Record
from watcher.settings import Watched
from watcher.snapshot import Snapshot, TargetView
from watcher.values import EvidenceOf, Example, Gone, Marks, Mode, Observed, SeenRelease, Target, Unseen, Version

MOST_VERSIONS = 1_000
REGISTRY_LEASE = 30.0
"""Seconds: time-out of the slowest registry verb, which is all that a model without targets ever does."""
MOST_HOLES = 100
"""Missing numbers that one wake-up confirms by direct gets; the rest follow at the next."""


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


def gather(watched: Watched, record: Record, sources: Sources, *, paused: bool, evidence_every: float) -> Snapshot:
    """One snapshot. Raises Transient where the registry cannot be read; a target that cannot be seen is `Unseen`."""
    marks = sources.registry.read(watched.name)
    # Advice touches no target: not even by looking, since an idle one need not exist yet.
    places = watched.targets if watched.mode is Mode.DEPLOY else ()
    targets = _observe(places, sources.deployers, sources.at_once)
    served = [r.version for view in targets if isinstance(view.seen, Observed) for r in _live(view.seen)]
    versions = _versions(watched.name, marks, record, sources.registry, served) if marks.exists else {}
    evidence = _evidence(marks, versions, sources.evidence)
    numbers = [v.number for v in versions.values() if isinstance(v, Version)]
    return Snapshot(
        watched=watched,
        record=record,
        marks=marks,
        targets=targets,
        versions=versions,
        evidence=evidence,
        example=_example(watched, marks, evidence, sources.sample),
        newest=max([marks.newest, *numbers]),
        staleness=sources.registry.staleness,
        lease=max((sources.deployers[t.kind].lease for t in places), default=REGISTRY_LEASE),
        evidence_every=evidence_every,
        paused=paused,
    )


def _observe(targets: tuple[Target, ...], deployers: Mapping[str, Deployer], at_once: int) -> tuple[TargetView, ...]:
    def look(target: Target) -> TargetView:
        deployer = deployers[target.kind]
        seen: Observed | Unseen
        try:
            seen = deployer.observe(target)
        except Transient as error:
            seen = Unseen(str(error), error.retry_after)
        except WatcherError as error:
            seen = Unseen(str(error))
        return TargetView(target, seen, deployer.atomic)

    if min(len(targets), at_once) <= 1:
        return tuple(look(target) for target in targets)
    with ThreadPoolExecutor(min(len(targets), at_once)) as pool:
        return tuple(pool.map(look, targets))


def _live(seen: Observed) -> list[SeenRelease]:
    return [release for release in seen.releases if release.ours and seen.weights.get(release.name)]


def _versions(
    name: str, marks: Marks, record: Record, registry: Registry, served: list[int]
) -> dict[int, Version | Gone]:
    known = 0 <= record.settled <= marks.newest
    settled = record.settled if known else first_look(marks, marks.newest)
    found: dict[int, Version | Gone] = {v.number: v for v in registry.versions(name, settled, MOST_VERSIONS)}
    newest = max([marks.newest, *found])
    lowest = min((n for n in found if n > settled), default=settled)
    full = len(found) >= MOST_VERSIONS
    holes = [n for n in range(lowest if full else settled + 1, newest + 1) if n not in found]
    crown = marks.crown
    marked = [marks.champion, marks.challenger, record.rollout, *served]
    if crown is not None:
        marked += [crown.previous, crown.displaced]
    wanted = [n for n in marked if n is not None and n not in found]
    for number in dict.fromkeys([*wanted, *holes[:MOST_HOLES]]):
        found[number] = registry.version(name, number)
    return found


def _evidence(marks: Marks, versions: Mapping[int, Version | Gone], source: Evidence) -> dict[int, EvidenceOf]:
    """Evidence of whatever has to be judged or probed, and of the champion it is held against."""
    numbers = list(_candidates(marks, versions)) if marks.challenger is None else [marks.challenger]
    if not numbers:
        return {}
    if marks.champion is not None:
        numbers.append(marks.champion)
    found = {}
    for number in numbers:
        version = versions.get(number)
        if isinstance(version, Version):
            # What cannot be read now makes that one version wait; orders, healing and the others go on.
            with contextlib.suppress(Transient):
                found[number] = source.of(version)
    return found


def _candidates(marks: Marks, versions: Mapping[int, Version | Gone]) -> Iterable[int]:
    floor = marks.crown.floor if marks.crown else 0
    for number, version in versions.items():
        if isinstance(version, Version) and version.call is None and number != marks.champion and number > floor:
            yield number


def _example(
    watched: Watched, marks: Marks, evidence: Mapping[int, EvidenceOf], sample: Callable[[str], Example]
) -> Example | None:
    if marks.challenger is None:
        return None
    if watched.rollout.probe_file is not None:
        # Without it the challenger waits; nothing else may.
        try:
            return sample(watched.rollout.probe_file)
        except WatcherError:
            return None
    found = evidence.get(marks.challenger)
    return found.example if found else None
