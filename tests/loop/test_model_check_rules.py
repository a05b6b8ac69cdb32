"""A second opinion on the rules: each trace of the model check goes wrong again once its rule is switched off."""

# ruff: noqa: ARG001  what is put in place of a function takes what it took

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.loop import test_model_check_traces as traces
from watcher import decide, gather, judge, reconcile
from watcher.decide import drift, settle
from watcher.fakes.deployer import FakeDeployer
from watcher.fakes.registry import FakeRegistry
from watcher.judge.artifacts import above_floor
from watcher.judge.case import Case, no_objection
from watcher.snapshot import Snapshot
from watcher.values import Call, Crown, Finding, Marks, Target, Version

Off = Callable[[pytest.MonkeyPatch], None]


def crown_tag_is_written_before_the_alias(patch: pytest.MonkeyPatch) -> None:
    def crown(self: FakeRegistry, name: str, version: int, crown: Crown, expect: Marks) -> None:
        self._enter("crown", name, version, crown)
        self._mark(name, crown=crown)
        self._between("crown")
        self._mark(name, champion=version)

    patch.setattr(FakeRegistry, "crown", crown)


def ledger_is_read_after_the_targets(patch: pytest.MonkeyPatch) -> None:
    intend = reconcile.Loop._intend  # noqa: SLF001 the rule lies inside

    def late(self: Any, watched: Any, decision: Any, until: float, revision: str | None) -> Any:
        stored = self.ledger.load(watched.name)
        return intend(self, watched, decision, until, stored.revision if stored else revision)

    def unguarded(self: FakeDeployer, target: Target, weights: dict[str, int], seen: str) -> None:
        self._write(self._place(target), weights)

    patch.setattr(reconcile.Loop, "_intend", late)
    patch.setattr(FakeDeployer, "_shift", unguarded)


def crown_does_not_compare(patch: pytest.MonkeyPatch) -> None:
    crown = FakeRegistry.crown

    def blind(self: FakeRegistry, name: str, version: int, wanted: Crown, expect: Marks) -> None:
        crown(self, name, version, wanted, replace(self._compared(name), crown=expect.crown))

    patch.setattr(FakeRegistry, "crown", blind)


def floor_binds_nobody(patch: pytest.MonkeyPatch) -> None:
    def lenient(case: Case) -> Finding:
        return no_objection("above_floor")

    patch.setattr(judge, "RULES", tuple(judge.Rule(lenient) if r.check is above_floor else r for r in judge.RULES))


def verdicts_are_never_final(patch: pytest.MonkeyPatch) -> None:
    floor_binds_nobody(patch)

    def all_of_them(snapshot: Snapshot) -> list[Version]:
        if snapshot.marks.challenger is not None:
            return [v for v in (snapshot.challenger,) if v is not None and v.call is not Call.WINS]
        return [v for v in snapshot.versions.values() if isinstance(v, Version) and v.number != snapshot.marks.champion]

    patch.setattr(judge, "_candidates", all_of_them)
    patch.setattr(gather, "rests_on", lambda seen: [v for v in seen.versions.values() if isinstance(v, Version)])


def bake_counts_from_the_first_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settle, "phase_key", lambda _seen: "")


def orders_are_always_possible(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "CHAIN", tuple(rule for rule in decide.CHAIN if rule is not drift.impossible_order))


RULES: Mapping[Callable[[], None], Off] = {
    traces.test_a_crowning_whose_record_was_lost_is_not_read_back_as_an_order_to_the_old_version: (
        crown_tag_is_written_before_the_alias
    ),
    traces.test_a_worker_that_saw_drift_before_anothers_crown_cannot_shift_back: ledger_is_read_after_the_targets,
    traces.test_a_persons_order_is_not_undone_by_a_crown_in_flight: crown_does_not_compare,
    traces.test_a_wiped_ledger_does_not_ship_a_version_that_was_rolled_back: floor_binds_nobody,
    traces.test_two_versions_do_not_chase_each_other_when_evidence_changes: verdicts_are_never_final,
    traces.test_a_crash_after_a_shift_does_not_count_the_old_steps_bake: bake_counts_from_the_first_step,
    traces.test_an_order_that_fails_on_one_target_does_not_leave_two_versions_live: orders_are_always_possible,
}


@pytest.mark.parametrize("trace", RULES, ids=lambda trace: RULES[trace].__name__)
def test_a_trace_goes_wrong_where(trace: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    trace()
    RULES[trace](monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        trace()
