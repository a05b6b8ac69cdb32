"""Each of these bugs is found by the simulation within so many schedules: it can see."""

# ruff: noqa: ARG001  what is put in place of a function takes what it took

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation import run as runs
from tests.simulation.ports import SimulatedDeployer, SimulatedLedger
from tests.simulation.schedule import generate
from watcher import decide, reconcile
from watcher.decide import drift, orders, rollback, rollout, settle, tidy
from watcher.decide.analysis import Analysed, Outcome
from watcher.decide.world import World
from watcher.fakes.ledger import FakeLedger
from watcher.fakes.registry import FakeRegistry
from watcher.values import Crown, Gone, Marks

MOST = 600
"""Schedules within which each is found."""
Bug = Callable[[pytest.MonkeyPatch], None]


def the_floor_is_never_raised(patch: pytest.MonkeyPatch) -> None:
    following = World.next_crown

    def low(self: World, **changes: Any) -> Crown:
        return replace(following(self, **changes), floor=self.crown.floor)

    patch.setattr(World, "next_crown", low)


def a_challenger_is_crowned_before_jobs_have_switched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollout, "_switch", lambda *_: None)


def the_bake_is_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollout, "_bake", lambda world, *_: world)


def the_bake_counts_from_the_first_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settle, "phase_key", lambda _seen: "")


def the_probe_is_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollout, "_probe", lambda *_: None)


def the_analysis_passes_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollout, "analyse", lambda *_, **__: Analysed(Outcome.GOOD))


def leases_of_others_are_ignored(patch: pytest.MonkeyPatch) -> None:
    read = reconcile._read  # noqa: SLF001 the rule lies inside

    def blind(*about: Any) -> Any:
        record, lines = read(*about)
        return replace(record, intent=None), lines

    patch.setattr(reconcile, "_read", blind)


def the_ledger_does_not_compare(patch: pytest.MonkeyPatch) -> None:
    save = FakeLedger.save

    def careless(self: FakeLedger, key: str, body: Any, unchanged: Any, lines: Any = (), due: Any = None) -> str:
        row = self._records.get(key)
        return save(self, key, body, row.revision if row else None, lines, due)

    def simulated(self: SimulatedLedger, key: str, body: Any, unchanged: Any, lines: Any = (), due: Any = None) -> str:
        self._written = key, lines
        return careless(self, key, body, unchanged, lines, due)

    patch.setattr(SimulatedLedger, "save", simulated)


def a_hole_in_a_listing_counts_as_deleted(patch: pytest.MonkeyPatch) -> None:
    versions = FakeRegistry.versions
    shown: dict[tuple[int, str], set[int]] = {}

    def listed(self: FakeRegistry, name: str, above: int, most: int = 200, also: Any = ()) -> Any:
        found = versions(self, name, above, most, also)
        shown[id(self), name] = {v.number for v in found}
        return found

    def believed(self: FakeRegistry, name: str, version: int) -> Any:
        found = get(self, name, version)
        return found if version in shown.get((id(self), name), {version}) else Gone(version)

    get = FakeRegistry.version
    patch.setattr(FakeRegistry, "versions", listed)
    patch.setattr(FakeRegistry, "version", believed)


def orders_are_not_acknowledged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "CHAIN", tuple(rule for rule in decide.CHAIN if rule is not orders.acknowledge))


def impossible_orders_are_tried_forever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "CHAIN", tuple(rule for rule in decide.CHAIN if rule is not drift.impossible_order))


def drift_is_not_healed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "CHAIN", tuple(rule for rule in decide.CHAIN if rule is not drift.converge))


def a_removed_challenger_is_not_rolled_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "CHAIN", tuple(rule for rule in decide.CHAIN if rule is not rollback.lost))


def a_hold_holds_nobody(patch: pytest.MonkeyPatch) -> None:
    read = FakeRegistry.read

    def unheld(self: FakeRegistry, name: str) -> Marks:
        return replace(read(self, name), hold=None)

    patch.setattr(FakeRegistry, "read", unheld)


def a_pause_is_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "paused", lambda _ledger: False)


def the_old_release_is_removed_at_once(patch: pytest.MonkeyPatch) -> None:
    warm = tidy.retire

    def eager(world: World) -> Any:
        return warm(world.remembering(crowned_at=-1e9))

    patch.setattr(decide, "CHAIN", tuple(eager if rule is warm else rule for rule in decide.CHAIN))


def slots_are_never_given_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "free", lambda *_: None)


def slots_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "take", lambda *_: True)


def a_shift_does_not_compare_the_token(patch: pytest.MonkeyPatch) -> None:
    shift = SimulatedDeployer._shift  # noqa: SLF001 the rule lies inside

    def careless(self: SimulatedDeployer, target: Any, weights: dict[str, int], seen: str) -> None:
        shift(self, target, weights, str(self._place(target).writes))

    patch.setattr(SimulatedDeployer, "_shift", careless)


def what_is_due_stays_due(patch: pytest.MonkeyPatch) -> None:
    rest = reconcile.Loop._rest  # noqa: SLF001 the rule lies inside

    def forgetful(self: Any, watched: Any, decision: Any, before: Any, stored: Any, *, over: bool = False) -> Any:
        again = decision.look_again
        same = replace(decision.record, intent=None) == before and not decision.lines
        if stored is not None and again is None and same:
            return reconcile.Woken(watched.name, decision.step, None)
        return rest(self, watched, decision, before, stored, over=over)

    patch.setattr(reconcile.Loop, "_rest", forgetful)


BUGS: tuple[Bug, ...] = (
    the_floor_is_never_raised,
    a_challenger_is_crowned_before_jobs_have_switched,
    the_bake_is_skipped,
    the_bake_counts_from_the_first_step,
    the_probe_is_skipped,
    the_analysis_passes_everything,
    leases_of_others_are_ignored,
    the_ledger_does_not_compare,
    a_hole_in_a_listing_counts_as_deleted,
    orders_are_not_acknowledged,
    impossible_orders_are_tried_forever,
    drift_is_not_healed,
    a_removed_challenger_is_not_rolled_back,
    a_hold_holds_nobody,
    a_pause_is_not_read,
    the_old_release_is_removed_at_once,
    slots_are_never_given_back,
    slots_are_not_counted,
    a_shift_does_not_compare_the_token,
    what_is_due_stays_due,
)


RARER: Mapping[Bug, int] = {impossible_orders_are_tried_forever: 1_000, a_shift_does_not_compare_the_token: 8_000}
"""Schedules for bugs that take more to meet: a person's order that cannot be met and is never taken back; a worker that
is stopped between comparing and writing, for longer than its lease."""


@pytest.mark.long
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_simulation_sees_that(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    most = RARER.get(bug, MOST)
    for seed in range(most):
        runs.started(generate(seed).setup, generate(seed).start)  # reached without the bug
        with monkeypatch.context() as patch:
            bug(patch)
            outcome = runs.run(generate(seed))
        assert not outcome.raised, outcome.problem
        if outcome.problem is not None:
            return
    raise AssertionError(f"not seen within {most} schedules")
