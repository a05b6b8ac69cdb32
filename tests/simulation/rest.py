"""Liveness: once the faults stop, every target comes to serve its champion, within a bound, and then nothing moves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.checks import check
from tests.simulation.deeds import EXAMPLE, train, versions
from tests.simulation.setups import APPROVAL
from watcher.naming import release_name
from watcher.pause import set_paused
from watcher.slots import holders
from watcher.values import FINAL, Artifacts, Call, Mode, Status

if TYPE_CHECKING:
    from tests.simulation.universe import Process, Universe

NO_REST = "not at rest after"
BOUND = 250
"""Wake-ups a model within which it comes to rest."""
QUIET = 700.0
"""Seconds without any step after which nothing moves by itself: longer than the longest pause between two tries."""
NIGHT = 7_200.0
"""Seconds that then pass at once, longer than every deadline and keep-warm time: nothing may move after them either."""


LAG = 6.0
"""Seconds by which the last process keeps its appointments too late, which only saves wake-ups that wait."""


def calm(u: Universe, *, kind: bool) -> None:
    """No more faults, and a person lets go of everything that was held or taken away."""
    deployer, registry = u.deployer, u.registry
    registry.restore(replace(registry.snapshot(), faults={}))
    registry.stale_writes, registry.listing = 0, lambda _, rows: rows
    deployer.faults.before.clear()
    deployer.faults.after.clear()
    u.ledger.faults.clear()
    u.blind_to.clear()
    deployer.blind, deployer.requests_per_second, deployer.launch_seconds = False, 50.0, 1.0
    u.armed.clear()
    u.lag = LAG
    if kind:
        for fate in (deployer.broken, deployer.mute, deployer.error_share, deployer.p95_ms):
            fate.clear()
    for name in u.names:
        marks = u.marks(name)
        crown = marks.crown
        # What served once starts again: where it does not, there is nothing to come to rest on.
        served = (crown.crowned if crown.met else crown.previous) if crown is not None else marks.champion
        if served is not None:
            deployer.broken.pop(served, None)
    with u.person():
        set_paused(u.ledger, "ana", on=False, now=u.now)
        for name in u.names:
            _let_go(u, name)


def _let_go(u: Universe, name: str) -> None:
    u.watched[name] = replace(u.watched[name], mode=Mode.DEPLOY)
    for target in u.watched[name].targets:
        place = u.deployer.places.get(target.place)
        if place is not None:
            place.owner, place.adopted = target.owner, True
    marks = u.marks(name)
    if not marks.exists:
        train(u, name, 0.8)
    u.registry.hold(name, None)
    if marks.problem is not None:
        u.registry.set_crown(name, None)
    for version in versions(u, name):
        if (name, version.number) in u.untagged and version.call is None:
            u.registry.set_tag(name, version.number, "watcher.verdict", Call.LOSES)
        if version.status is not Status.READY:
            u.registry.set_status(name, version.number, Status.READY)
        u.registry.set_evidence(name, version.number, artifacts=Artifacts.PRESENT, example=EXAMPLE)
        metric = u.registry.world.evidence[version.identity].metrics.get("auc")
        if metric is None or not math.isfinite(metric.value):
            u.registry.log_metric(name, version.number, "auc", 0.1)
        u.registry.approve(name, version.number, APPROVAL, f"ana at {u.now}")


def settle(u: Universe, name: str) -> bool:
    """Where only a person can help, a person orders a version that works; whether that was needed."""
    marks, there = u.marks(name), {v.number: v for v in versions(u, name)}
    champion = there.get(marks.champion or -1)
    if champion is not None and (champion.call is not Call.UNMET or _back(u, name) is not None):
        return False
    fit = [n for n in sorted(there, reverse=True) if n not in u.deployer.broken and there[n].call is not Call.UNMET]
    u.registry.set_alias(name, "champion", fit[0] if fit else train(u, name, 0.8))
    return True


def _back(u: Universe, name: str) -> int | None:
    """The version that targets return to where an order cannot be met, None where it is gone too."""
    crown = u.marks(name).crown
    there = {v.number for v in versions(u, name)}
    return crown.previous if crown and crown.previous in there else None


def come_to_rest(u: Universe) -> None:
    """Let one process work until nothing has moved for long. Raises Violation beyond the bound."""
    process, bound = u.processes[0], BOUND * len(u.names)
    limit = u.wake_ups + bound
    while True:
        _work_until_quiet(u, process, limit)
        state = _moving(u)
        u.now += NIGHT
        u.work(process, 3 * len(u.names), 60.0)
        if _moving(u) == state:
            return


def _work_until_quiet(u: Universe, process: Process, limit: int) -> None:
    moved, state = u.now, _moving(u)
    while u.now < moved + QUIET:
        check(u.wake_ups < limit, f"{NO_REST} {limit} wake-ups")
        u.work(process, 1, QUIET)
        after = _moving(u)
        if after != state:
            moved, state = u.now, after


def _moving(u: Universe) -> tuple[int, ...]:
    return (u.registry.world.writes, u.ledger.size, *(place.writes for place in u.deployer.places.values()))


def rested(u: Universe) -> None:
    """What must hold then, of every model."""
    for name in u.names:
        _rested(u, name)
    with u.person():
        check(holders(u.ledger) == (), f"slots are held at rest: {holders(u.ledger)}")


def _rested(u: Universe, name: str) -> None:
    marks, there = u.marks(name), {v.number: v for v in versions(u, name)}
    champion = there[marks.champion or -1]
    unmet = champion.call is Call.UNMET
    back = _back(u, name)
    wanted = there[back] if unmet and back is not None else champion
    for target in u.watched[name].targets:
        place = u.deployer.places[target.place]
        serving = dict(place.weights)
        check(
            serving == {release_name(wanted.identity): 100},
            f"at rest {target.name} serves {serving}, not v{wanted.number}",
        )
        (release,) = serving
        placed = place.releases[release]
        check(placed.failed is None and placed.key == wanted.identity.key, f"at rest {release} is {placed}")
        lives = [x.data for x in u.lines(name, "live") if x.target == target.name]
        check(lives, f"nothing tells what {target.name} serves")
        told = (lives[-1] or {}).get("weights")
        check(told == {str(wanted.number): 100}, f"the history says that {target.name} serves {told}")
    check(marks.challenger is None, f"challenger v{marks.challenger} at rest")
    crown = marks.crown
    check(crown is not None and crown.crowned == marks.champion, f"at rest the crown is {crown}")
    check(unmet or (crown is not None and crown.met), "at rest the order is not met")
    if unmet:
        return
    expired = {x.version for x in u.lines(name, "verdict") if x.reason == "approval_expired"}
    for version in there.values():
        if version.call is None and version.number in expired:
            continue  # a person did not approve it again
        judged = version.call in FINAL or version.call in (Call.WINS, Call.UNMET)
        check(judged or version.number == marks.champion, f"v{version.number} has no verdict at rest")
