"""What holds for any metrics, names and marks, however broken or hostile."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.judge.world import MODEL, NOW, World, evidence, target, version
from watcher.judge import RULES, explain, judge
from watcher.policy import Approval, Better, EvidenceRules, Guard, Policy, Primary, SameData
from watcher.reasons import REASONS
from watcher.record import Record
from watcher.snapshot import Snapshot
from watcher.values import (
    FINAL,
    Artifacts,
    Call,
    Column,
    Crown,
    EvidenceOf,
    Identity,
    Marks,
    Metric,
    Signature,
    Status,
    Version,
)


def mostly(usual: Any, odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Odd once in eight times: a world with many parts that are each broken half the time has no winner."""
    sane = usual if isinstance(usual, st.SearchStrategy) else st.just(usual)
    return st.integers(0, 7).flatmap(lambda dice: odd if dice == 7 else sane)


TEXT = st.text(max_size=12)
TIMES = st.floats(min_value=0, max_value=2e6)
BETTER = st.sampled_from(Better)
NAMES = mostly(st.sampled_from(["auc", "loss"]), TEXT)
VALUES = mostly(st.integers(-9, 9).map(lambda n: n / 10), st.floats())
AMOUNTS = mostly(0.0, VALUES)
METRICS = st.builds(
    Metric,
    VALUES,
    TEXT,
    st.none() | st.sampled_from(["holdout", "train"]),
    mostly("d1", st.none() | st.just("d2")),
    mostly(None, TEXT),
)
TYPES = st.sampled_from(["integer", "long", "float", "double"]) | TEXT
COLUMNS = st.lists(st.builds(Column, st.none() | NAMES, TYPES, st.booleans()), max_size=4).map(tuple)
SIGNATURES = mostly(None, st.builds(Signature, COLUMNS, st.none() | COLUMNS, COLUMNS))
REQUIREMENTS = st.lists(
    mostly("numpy==2.3.0", st.sampled_from(["numpy>=2; python_version>'3'", "-r x", "((((", "a @ http://x"]) | TEXT),
    max_size=3,
).map(tuple)
BOUNDS = mostly({}, st.dictionaries(NAMES, VALUES, max_size=2))
POLICIES = st.builds(
    Policy,
    primary=st.builds(Primary, NAMES, BETTER, AMOUNTS, st.booleans()),
    floors=BOUNDS,
    ceilings=BOUNDS,
    guards=mostly((), st.lists(st.builds(Guard, NAMES, AMOUNTS, BETTER, st.booleans()), max_size=2).map(tuple)),
    evidence=st.builds(EvidenceRules, st.sampled_from(SameData), TIMES),
    flavors=mostly((), st.lists(TEXT, max_size=2).map(tuple)),
    signature=st.booleans(),
    min_age=mostly(0.0, TIMES),
    approval=mostly(None, st.builds(Approval, TEXT, st.none() | TIMES)),
)
ENVIRONMENTS = mostly(
    {"packages": {"numpy": "2.3.0"}},
    st.none() | TEXT | st.fixed_dictionaries({}, optional={"python": TEXT, "packages": st.dictionaries(TEXT, TEXT)}),
)


def versions(number: int) -> st.SearchStrategy[Version]:
    created = mostly(number * 1000, st.integers(0, 2**53))
    return st.builds(
        Version,
        st.builds(Identity, st.just(MODEL), st.just(number), created, TEXT),
        mostly(Status.READY, st.sampled_from(Status)),
        TEXT,
        tags=st.dictionaries(TEXT, TEXT, max_size=2),
        call=mostly(None, st.sampled_from(Call)),
        rejudge=st.booleans(),
    )


def evidences(of: Version) -> st.SearchStrategy[EvidenceOf]:
    both = st.fixed_dictionaries({"auc": METRICS, "loss": METRICS})
    return st.builds(
        EvidenceOf,
        identity=st.just(of.identity),
        artifacts=mostly(Artifacts.PRESENT, st.sampled_from(Artifacts)),
        metrics=mostly(both, st.dictionaries(NAMES, METRICS, max_size=4)),
        signature=SIGNATURES,
        requirements=REQUIREMENTS,
        python=st.none() | TEXT,
        flavors=st.lists(TEXT, max_size=2).map(tuple),
        problem=mostly(None, TEXT),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Four versions with any evidence under any policy; the champion is one of them, or none ever was."""
    read = {n: draw(versions(n)) for n in range(1, 5)}
    champion = draw(st.none() | st.integers(1, 3))
    crown = Crown(crowned=champion, floor=draw(mostly(1, st.integers(0, 5)))) if draw(st.booleans()) else None
    world = World(policy=draw(POLICIES), targets=(target(environment=draw(ENVIRONMENTS)),))
    return replace(
        world.snapshot(),
        versions=read,
        evidence={n: draw(evidences(v)) for n, v in read.items() if draw(mostly(True, st.just(False)))},
        marks=Marks(
            MODEL,
            champion,
            draw(mostly(None, st.integers(1, 4))),
            crown,
            draw(mostly(None, TEXT)),
        ),
        record=Record(born=0.0, first_seen={v.identity.key: draw(TIMES) for v in read.values()}),
    )


@given(snapshots(), TIMES)
def test_any_world_can_be_judged_and_says_why_in_known_words(snapshot: Snapshot, now: float) -> None:
    for number in snapshot.versions:
        verdict = explain(snapshot, number, now)
        assert verdict.reason in REASONS
        assert [f.rule for f in verdict.findings] == [rule.name for rule in RULES]
        for finding in verdict.findings:
            assert finding.reason in REASONS
            shown = finding.measured + finding.bound + finding.detail
            assert shown.isprintable()
            assert len(shown) < 3000
        objections = {f.call for f in verdict.findings} - {Call.WINS}
        assert verdict.call in (objections or {Call.WINS})


@given(snapshots(), TIMES)
def test_the_same_world_is_judged_alike_and_each_version_by_itself(snapshot: Snapshot, now: float) -> None:
    verdicts = judge(snapshot, now)
    assert judge(snapshot, now) == verdicts
    turned_round = replace(
        snapshot,
        versions=dict(reversed(list(snapshot.versions.items()))),
        evidence=dict(reversed(list(snapshot.evidence.items()))),
    )
    assert judge(turned_round, now) == verdicts
    assert all(explain(snapshot, number, now) == verdict for number, verdict in verdicts.items())


@given(snapshots(), TIMES)
def test_a_winner_is_above_the_floor_with_finite_evidence_and_strictly_better(snapshot: Snapshot, now: float) -> None:
    policy, crown = snapshot.watched.policy, snapshot.marks.crown
    for number, verdict in judge(snapshot, now).items():
        if verdict.call is not Call.WINS:
            continue
        assert number > (crown.floor if crown else 0)
        own = snapshot.evidence[number].metrics
        named = {policy.primary.metric, *policy.floors, *policy.ceilings, *(g.metric for g in policy.guards)}
        assert all(math.isfinite(own[name].value) and own[name].problem is None for name in named)
        assert all(own[name].value >= floor for name, floor in policy.floors.items())
        assert all(own[name].value <= ceiling for name, ceiling in policy.ceilings.items())
        if snapshot.champion is not None:
            old = snapshot.evidence[snapshot.champion.number].metrics[policy.primary.metric].value
            new = own[policy.primary.metric].value
            assert new > old if policy.primary.better is Better.HIGHER else new < old


BROKEN = st.sampled_from([math.nan, math.inf, -math.inf, 1.7976931348623157e308]).map(lambda v: Metric(v, "run"))
DISTRUSTED = st.floats(allow_nan=False).map(lambda v: Metric(v, "run", problem="sources disagree"))


@given(
    bad=BROKEN | DISTRUSTED | st.none(),
    old=st.floats(allow_nan=False, allow_infinity=False),
    better=BETTER,
    gain=st.floats(allow_nan=False),
    now=TIMES,
)
def test_evidence_that_is_missing_or_not_finite_never_wins_on_either_side(
    bad: Metric | None, old: float, better: Better, gain: float, now: float
) -> None:
    policy = Policy(Primary("auc", better, gain), evidence=EvidenceRules(SameData.IGNORE))
    broken = {"auc": bad} if bad else {}
    mine = World(policy, known=evidence(3, broken), champion_known=evidence(2, {"auc": old}))
    theirs = World(policy, known=evidence(3, {"auc": old}), champion_known=evidence(2, broken))
    assert judge(mine.snapshot(), now)[3].call in {Call.WAITS, Call.INVALID}
    assert judge(theirs.snapshot(), now)[3].call in {Call.WAITS, Call.INVALID}


@given(
    new=st.floats(-1e9, 1e9), old=st.floats(-1e9, 1e9), better=BETTER, gain=st.floats(0, 1e3), relative=st.booleans()
)
def test_of_two_that_beat_each_other_there_are_none(
    *, new: float, old: float, better: Better, gain: float, relative: bool
) -> None:
    """Two versions that chase each other would be rolled out in turn without end."""
    policy = Policy(Primary("auc", better, gain, relative))
    one = World(policy, known=evidence(3, {"auc": new}), champion_known=evidence(2, {"auc": old}))
    other = World(policy, known=evidence(3, {"auc": old}), champion_known=evidence(2, {"auc": new}))
    calls = [judge(world.snapshot(), NOW)[3].call for world in (one, other)]
    assert calls.count(Call.WINS) <= 1
    assert set(calls) <= {Call.WINS, Call.LOSES}
    if new == old:
        assert calls == [Call.LOSES, Call.LOSES]


@given(snapshots(), TIMES, TIMES)
def test_a_final_call_is_not_opened_again_by_time_alone(snapshot: Snapshot, now: float, later: float) -> None:
    """A version that loses may turn invalid when evidence is overdue, but it never waits or wins."""
    assume(later >= now)
    after = judge(snapshot, later)
    for number, verdict in judge(snapshot, now).items():
        if verdict.call in FINAL:
            assert after[number].call in FINAL


@given(snapshots(), TIMES)
def test_what_is_awaited_later_never_lies_in_the_past(snapshot: Snapshot, now: float) -> None:
    for verdict in judge(snapshot, now).values():
        assert verdict.until is None or (verdict.until > now and verdict.call is Call.WAITS)


def test_requirements_nested_without_end_are_named_not_followed() -> None:
    line = f"numpy; {'(' * 20_000}python_version>'3'{')' * 20_000}"
    world = World(
        known=evidence(3, {"auc": 0.85}, requirements=(line,)),
        targets=(target(environment={"packages": {"numpy": "2.3.0"}}),),
    )
    assert judge(world.snapshot(), NOW)[3].reason == "requirement_not_met"


def test_a_version_with_ten_thousand_metrics_is_judged_in_a_bounded_line() -> None:
    many = {f"auc_{'x' * 200}_{i}": 0.5 for i in range(10_000)}
    verdict = judge(World(known=evidence(3, many), candidate=version(3)).snapshot(), NOW)[3]
    assert verdict.reason == "evidence_missing"
    assert all(len(f.detail) < 1000 for f in verdict.findings)
