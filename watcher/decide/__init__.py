"""decide: a snapshot, verdicts and the time give exactly one step, its reason, and when to look again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from watcher.decide import drift, evaluation, orders, rollback, rollout, settle, tidy
from watcher.decide.tell import tell
from watcher.decide.world import Decision, World
from watcher.snapshot import Snapshot
from watcher.values import Call, Example, Mode, Verb, Verdict, Version

__all__ = ["Decision", "asked", "decide"]

Rule = Callable[[World], Decision | None]

CHAIN: tuple[Rule, ...] = (
    orders.model_gone,
    orders.champion_missing,
    orders.acknowledge,
    orders.champion_is_challenger,
    drift.impossible_order,
    rollback.confirm,
    rollback.lost,
    rollout.roll_out,
    drift.converge,
    orders.rejudge,
    tidy.tag,
    tidy.retire,
    evaluation.evaluate,
    tidy.nominate,
)
"""The first rule that applies decides. `roll_out` answers whenever there is a challenger, `converge` when not."""

ADVICE: tuple[Rule, ...] = (
    orders.model_gone,
    orders.rejudge,
    tidy.tag,
    tidy.left_over,
    evaluation.evaluate,
    tidy.nominate,
)
"""What is left of the chain in `mode: advise`: verdicts, and nothing that moves."""


LETS_PASS: Mapping[Rule, tuple[Rule, ...]] = {
    drift.converge: (tidy.tag, evaluation.evaluate),
    tidy.retire: (evaluation.evaluate, tidy.nominate),
    evaluation.evaluate: (tidy.nominate,),
}
"""Rules that may wait without holding up others: a target out of reach keeps no verdict from being written, a stray
that cannot be removed and an evaluation that cannot be started keep no winner from its rollout."""


def decide(snapshot: Snapshot, verdicts: Mapping[int, Verdict], now: float) -> Decision:
    """One step of one model."""
    world = settle.stamp(World(snapshot, verdicts, now, snapshot.record))
    return tell(world, _chain(world))


def asked(snapshot: Snapshot, now: float) -> Version | None:
    """The version that a probe would ask now, were there something to ask it with; None where another step is due.

    For a snapshot of which nothing is judged. Whoever reads the example asks here, so that when to read it and when
    to probe cannot differ.
    """
    step = decide(replace(snapshot, example=Example(b"")), {}, now).step
    return snapshot.version(step.version) if step.verb is Verb.PROBE else None


def _chain(world: World) -> Decision:
    snapshot, now = world.snapshot, world.now
    if snapshot.paused:
        if world.record.rollout is not None:
            world = world.remembering(held_since=world.record.held_since or now)
        return world.wait("paused")
    if snapshot.watched.mode is Mode.ADVISE:
        return _first(world, ADVICE)
    acts_from = world.record.born + snapshot.staleness
    if not all(view.atomic for view in world.targets):
        acts_from += snapshot.lease
    if now < acts_from:
        return world.wait("young_ledger", until=acts_from)
    believed = settle.believe(world)
    return believed if isinstance(believed, Decision) else _first(believed, CHAIN)


def _first(world: World, chain: tuple[Rule, ...]) -> Decision:
    waiting: Decision | None = None
    allowed: tuple[Rule, ...] = ()
    for rule in chain:
        if waiting is not None and rule not in allowed:
            continue
        decision = rule(world)
        if decision is None:
            continue
        if not decision.waits:
            return decision
        if rule not in LETS_PASS:
            return waiting or decision
        waiting, allowed = waiting or decision, allowed or LETS_PASS[rule]
    if waiting is not None:
        return waiting
    return _rest(world)


def _rest(world: World) -> Decision:
    times = [tidy.keep_warm(world), *(v.until for v in world.verdicts.values())]
    if any(v.call is Call.WAITS for v in world.verdicts.values()):
        times.append(world.now + world.snapshot.evidence_every)
    until = min((t for t in times if t is not None), default=None)
    under_way = evaluation.under_way(world)
    decision = world.wait("evaluating", under_way, until) if under_way else world.wait("nothing_to_do", until=until)
    return replace(decision, record=replace(decision.record, held_since=None))
