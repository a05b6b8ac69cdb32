"""What people, training jobs, providers and machines do to the world. Each says what it did, or None."""

# ruff: noqa: ARG001  every deed is given the same three things

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tests.simulation.setups import APPROVAL
from watcher.errors import WatcherError
from watcher.pause import set_paused
from watcher.values import Artifacts, Example, Mode, Status, Target, Version

if TYPE_CHECKING:
    from tests.simulation.universe import Universe

T = TypeVar("T")
Deed = Callable[["Universe", str, float], str | None]
"""Given the universe, the name of a model, and chance as a share of 1."""
EXAMPLE = Example(b"{}", rows=3)


def pick(share: float, among: Sequence[T]) -> T:
    """One of several, by a share of 1."""
    return among[min(int(share * len(among)), len(among) - 1)]


def versions(u: Universe, name: str) -> list[Version]:
    """The versions there are, the oldest first."""
    model = u.registry.world.models.get(name)
    return sorted(model.versions.values(), key=lambda v: v.number) if model else []


def some(u: Universe, name: str, share: float) -> int | None:
    """The number of one of the versions, the newest ones likelier."""
    there = versions(u, name)
    return pick(1 - share * share, there).number if there else None


def place(u: Universe, name: str, share: float) -> Target:
    return pick(share * 7 % 1, u.watched[name].targets)


def train(u: Universe, name: str, auc: float | None, *, example: bool = True, **facts: object) -> int:
    metrics = {} if auc is None else {"auc": auc}
    shown = EXAMPLE if example else None
    return u.registry.create_version(name, metrics, example=shown, **facts)  # type: ignore[arg-type]


# Training jobs


def trained_better(u: Universe, name: str, share: float) -> str:
    auc = round(0.9 + share / 20, 4)
    return f"v{train(u, name, auc)} with {auc}"


def trained_worse(u: Universe, name: str, share: float) -> str:
    auc = pick(share, (0.3, 0.7, 0.801, math.nan, math.inf))
    return f"v{train(u, name, auc)} with {auc}"


def trained_unmeasured(u: Universe, name: str, share: float) -> str:
    return f"v{train(u, name, None, example=share < 0.7)} without metrics"


def measured_late(u: Universe, name: str, share: float) -> str | None:
    number = some(u, name, share)
    if number is None:
        return None
    auc = pick(share * 5 % 1, (0.1, 0.85, 0.95, 0.99, math.nan))
    u.registry.log_metric(name, number, "auc", auc)
    return f"v{number} has {auc} now"


def trained_pending(u: Universe, name: str, share: float) -> str:
    return f"v{train(u, name, 0.96, status=Status.PENDING)} is not finished"


def finished(u: Universe, name: str, share: float) -> str | None:
    waiting = [v.number for v in versions(u, name) if v.status is Status.PENDING]
    if not waiting:
        return None
    status = pick(share, (Status.READY, Status.READY, Status.FAILED))
    u.registry.set_status(name, pick(share * 3 % 1, waiting), status)
    return f"a registration is {status}"


def trained_empty(u: Universe, name: str, share: float) -> str:
    number = train(u, name, 0.97)
    u.registry.set_evidence(name, number, artifacts=pick(share, (Artifacts.ABSENT, Artifacts.UNKNOWN)))
    return f"v{number} without artifacts"


def stored_late(u: Universe, name: str, share: float) -> str | None:
    number = some(u, name, share)
    if number is None:
        return None
    u.registry.set_evidence(name, number, artifacts=Artifacts.PRESENT, example=EXAMPLE)
    return f"v{number} has artifacts and an example"


def committed_late(u: Universe, name: str, share: float) -> str:
    """Stamped long before it can be seen."""
    at = int((u.now - share * 500) * 1000)
    return f"v{train(u, name, 0.93, created_ms=at)}, stamped {share * 500:.0f} s ago"


# Versions that are not what they seem


def trained_broken(u: Universe, name: str, share: float) -> str:
    number = train(u, name, round(0.95 + share / 50, 4))
    fate = pick(share, (u.deployer.broken, u.deployer.mute))
    fate[number] = "it raises"
    return f"v{number} looks better and does not {'start' if fate is u.deployer.broken else 'answer'}"


def trained_failing(u: Universe, name: str, share: float) -> str:
    number = train(u, name, round(0.95 + share / 50, 4))
    degrade(u, number, share)
    return f"v{number} looks better and fails or is slow"


def degrade(u: Universe, number: int, share: float) -> None:
    if share < 0.5:
        u.deployer.error_share[number] = 0.5
    else:
        u.deployer.p95_ms[number] = 90.0


def degraded(u: Universe, name: str, share: float) -> str | None:
    """A release that was well is not any more."""
    number = some(u, name, share)
    if number is None:
        return None
    degrade(u, number, share * 3 % 1)
    return f"v{number} fails or is slow from now on"


def broke(u: Universe, name: str, share: float) -> str | None:
    number = some(u, name, share)
    if number is None:
        return None
    u.deployer.broken[number] = "no such artifacts"
    return f"v{number} does not start any more"


def cured(u: Universe, name: str, share: float) -> str:
    for fate in (u.deployer.broken, u.deployer.mute, u.deployer.error_share, u.deployer.p95_ms):
        fate.clear()
    return "all versions work"


def crashed(u: Universe, name: str, share: float) -> str | None:
    """A release that served fails on its target, with all the weight it has."""
    there = u.deployer.places.get(place(u, name, share).place)
    if there is None or not there.releases:
        return None
    release = pick(share * 3 % 1, sorted(there.releases))
    there.releases[release].failed = "it died"
    return f"{release} is dead"


# People


def ordered(u: Universe, name: str, share: float) -> str | None:
    number = some(u, name, share)
    if number is None:
        return None
    u.registry.set_alias(name, "champion", number)
    return f"champion is v{number}"


def ordered_back(u: Universe, name: str, share: float) -> str | None:
    """To what reigned before, as a person does who sees that the new one is bad."""
    crown = u.marks(name).crown
    before = crown.previous if crown else None
    if before is None or before not in {v.number for v in versions(u, name)}:
        return None
    u.registry.set_alias(name, "champion", before)
    return f"champion is v{before} again"


def promoted(u: Universe, name: str, share: float) -> str | None:
    """The challenger itself, before its rollout is over."""
    challenger = u.marks(name).challenger
    if challenger is None or challenger not in {v.number for v in versions(u, name)}:
        return None
    u.registry.set_alias(name, "champion", challenger)
    return f"champion is the challenger v{challenger}"


def unmarked_champion(u: Universe, name: str, share: float) -> str | None:
    if u.marks(name).champion is None:
        return None
    u.registry.delete_alias(name, "champion")
    return "the champion alias is gone"


def aborted(u: Universe, name: str, share: float) -> str | None:
    if u.marks(name).challenger is None:
        return None
    u.registry.delete_alias(name, "challenger")
    return "the challenger alias is gone"


def challenged(u: Universe, name: str, share: float) -> str | None:
    """A person who cannot know better sets the loop's own mark."""
    number = some(u, name, share)
    if number is None:
        return None
    u.registry.set_alias(name, "challenger", number)
    return f"challenger is v{number}"


def deleted(u: Universe, name: str, share: float) -> str | None:
    number = some(u, name, share)
    if number is None or len(versions(u, name)) == 1:
        return None
    u.registry.delete_version(name, number)
    return f"v{number} is deleted"


def recreated(u: Universe, name: str, share: float) -> str | None:
    """The model is deleted; half of the time it comes back at once, with the same numbers for other versions."""
    if not u.marks(name).exists:
        return f"created again with v{train(u, name, 0.8)}"
    u.registry.delete_model(name)
    if share < 0.5:
        return "the model is deleted"
    first = train(u, name, 0.8)
    return f"the model is deleted and created again with v{first}"


def held(u: Universe, name: str, share: float) -> str | None:
    marks = u.marks(name)
    if not marks.exists:
        return None
    who = None if marks.hold else "ana"
    u.registry.hold(name, who)
    return f"held by {who}" if who else "released"


def paused(u: Universe, name: str, share: float) -> str | None:
    on = share < 0.4
    try:
        return ("paused" if on else "resumed") if set_paused(u.ledger, "ana", on, u.now) else None
    except WatcherError:
        return None


def approved(u: Universe, name: str, share: float) -> str | None:
    for version in versions(u, name):
        u.registry.approve(name, version.number, APPROVAL, f"ana-{share}")
    return "all versions are approved" if versions(u, name) else None


def rejudged(u: Universe, name: str, share: float) -> str | None:
    number = some(u, name, share)
    if number is None:
        return None
    u.registry.rejudge(name, number)
    return f"rejudge v{number}"


def untagged(u: Universe, name: str, share: float) -> str | None:
    """A person removes a verdict by hand."""
    called = [v.number for v in versions(u, name) if v.call is not None]
    if not called:
        return None
    number = pick(share, called)
    u.registry.delete_tag(name, number, "watcher.verdict")
    u.untagged.add((name, number))
    return f"v{number} has no verdict any more"


def spoilt_crown(u: Universe, name: str, share: float) -> str | None:
    if not u.marks(name).exists:
        return None
    if share < 0.6:
        u.registry.break_crown(name)
        return "the crown tag is garbage"
    u.registry.set_crown(name, None)
    return "the crown tag is gone"


def advised(u: Universe, name: str, share: float) -> str:
    mode = Mode.ADVISE if share < 0.5 else Mode.DEPLOY
    u.watched[name] = replace(u.watched[name], mode=mode)
    u.rolling.discard(name)  # what stands still gives its slot back
    return f"mode: {mode}"


# Others at the targets


def emptied(u: Universe, name: str, share: float) -> str | None:
    """Somebody deletes a release, with whatever traffic it had."""
    target = place(u, name, share)
    there = u.deployer.places.get(target.place)
    if there is None or not there.releases:
        return None
    release = pick(share * 3 % 1, sorted(there.releases))
    since = u.clock() if release in there.weights else there.since
    u.deployer.lose(target, release)
    there.since = since  # one without traffic ends nobody's bake
    return f"{release} is deleted from {target.name}"


def meddled(u: Universe, name: str, share: float) -> str | None:
    target = place(u, name, share)
    there = u.deployer.places.get(target.place)
    if there is None or not there.releases:
        return None
    names = sorted(there.releases)
    weights = {names[0]: 100} if len(names) == 1 or share < 0.5 else {names[0]: 50, names[-1]: 50}
    u.deployer.meddle(target, weights)
    return f"{target.name} has {weights}"


def occupied(u: Universe, name: str, share: float) -> str:
    """Somebody else's release serves at the place, until a person lends it."""
    target = place(u, name, share)
    u.deployer.foreign(target, "somebody-elses", 7, live=share < 0.7)
    return f"{target.name} has a release of somebody else"


def adopted(u: Universe, name: str, share: float) -> str | None:
    target = place(u, name, share)
    there, version = u.deployer.places.get(target.place), some(u, name, share)
    if there is None or there.adopted or version is None:
        return None
    there.adopted = True
    there.writes += 1
    return f"{target.name} is adopted"


def seized(u: Universe, name: str, share: float) -> str | None:
    """The place carries another owner's mark for a while."""
    target = place(u, name, share)
    there = u.deployer.places.get(target.place)
    if there is None:
        return None
    there.owner = "other" if there.owner == target.owner else target.owner
    return f"{target.name} belongs to {there.owner}"


# Machines


def slow(u: Universe, name: str, share: float) -> str:
    u.deployer.launch_seconds = pick(share, (0.0, 1.0, 45.0, 900.0))
    return f"launches take {u.deployer.launch_seconds} s"


def traffic(u: Universe, name: str, share: float) -> str:
    u.deployer.blind = share < 0.3
    u.deployer.requests_per_second = pick(share * 7 % 1, (0.0, 0.2, 50.0))
    return f"{u.deployer.requests_per_second} requests a second{', not counted' if u.deployer.blind else ''}"


def target_fault(u: Universe, name: str, share: float) -> str:
    """The next calls of a deployer's verb fail, for whoever makes them."""
    from tests.simulation.universe import ERRORS

    verb = pick(share, ("observe", "launch", "probe", "shift", "retire"))
    what = pick(share * 31 % 1, ("transient", "busy", "conflict", "terminal"))
    times, done = pick(share * 7 % 1, (1, 2, 5)), share * 13 % 1 < 0.5
    error = ERRORS[what]()
    assert isinstance(error, Exception)
    u.deployer.faults.fail(verb, error, done=done, times=times)
    return f"{times}× {verb} will be {what}{' once done' if done else ''}"


def registry_fault(u: Universe, name: str, share: float) -> str:
    from tests.simulation.universe import ERRORS

    reads = ("read", "version", "versions", "of", "example", "changed", "marks")
    verb = pick(share, (*reads, "crown", "challenge", "write_crown", "tag"))
    what = pick(share * 31 % 1, ("transient", "busy", "terminal"))
    when = pick(share * 7 % 1, ("before", "after"))
    u.registry.fail(verb, ERRORS[what](), when, times=pick(share * 17 % 1, (1, 2)))  # type: ignore[arg-type]
    return f"{verb} will be {what} {when} it is done"


def ledger_fault(u: Universe, name: str, share: float) -> str:
    from tests.simulation.universe import ERRORS

    verb = pick(share, ("load", "save"))
    what = pick(share * 31 % 1, ("transient", "conflict"))
    when = pick(share * 7 % 1, ("before", "after"))
    u.ledger.fail(verb, ERRORS[what](), when, times=pick(share * 17 % 1, (1, 3)))  # type: ignore[arg-type]
    return f"the ledger's {verb} will be {what} {when} it is done"


def wiped(u: Universe, name: str, share: float) -> str:
    u.wipe()
    return "the ledger is wiped"


def stale(u: Universe, name: str, share: float) -> str | None:
    """Reads are older than writes, for no longer than the registry says."""
    if not u.registry.staleness:
        return None
    u.registry.stale_writes = int(share * 5)
    return f"reads are {u.registry.stale_writes} writes old"


def partial(u: Universe, name: str, share: float) -> str:
    """Listings show less, or in another order, until told otherwise."""
    most = pick(share, (0, 1, 2, 1_000))
    turned = share * 7 % 1 < 0.5
    u.registry.listing = lambda _, rows: list(reversed(rows) if turned else rows)[:most]
    return f"listings show {most} rows{', turned round' if turned else ''}"


def deaf(u: Universe, name: str, share: float) -> str:
    kind = pick(share, ("changes", "marks", "due", "resync"))
    u.blind_to[kind] = 3
    return f"three wake-ups from {kind} get lost"


def echo(u: Universe, name: str, share: float) -> str:
    """A wake-up is repeated, for every process."""
    for process in u.processes:
        process.wakes[name] = u.now
    return "woken again"


def killed(u: Universe, name: str, share: float) -> str | None:
    """A process dies between two wake-ups."""
    process = pick(share, u.processes)
    if any(frame.process is process for frame in u.frames):
        return None
    u.die(process)
    return "a process is killed"


def waited(u: Universe, name: str, share: float) -> str:
    """Nobody is at work for a while."""
    seconds = pick(share, (1.0, 30.0, 100.0, 700.0, 4_000.0))
    u.now += seconds
    return f"nobody works for {seconds} s"


DEEDS: dict[str, Deed] = {
    deed.__name__: deed
    for deed in (
        trained_better, trained_worse, trained_unmeasured, measured_late, trained_pending, finished, trained_empty,
        stored_late, committed_late, trained_broken, trained_failing, degraded, broke, cured, crashed,
        ordered, ordered_back, promoted, unmarked_champion, aborted, challenged, deleted, recreated, held, paused,
        approved, rejudged, untagged, spoilt_crown, advised,
        emptied, meddled, occupied, adopted, seized,
        slow, traffic, target_fault, registry_fault, ledger_fault, wiped, stale, partial, deaf, echo, killed, waited,
    )
}  # fmt: skip
