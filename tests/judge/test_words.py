"""What a person reads of a verdict, rule by rule: `words.txt`, so that a change of words shows in a review.

`python -m tests.judge.test_words` writes it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.judge.evaluated import EACH, MEASURED, RULES, at, better, found, north, score
from tests.judge.test_rules import APPROVAL, AUC, REQUIRED, ROWS
from tests.judge.world import NOW, SIGNATURE, World, evidence, target, version
from watcher.evaluations import Fault, Progress
from watcher.judge import judge
from watcher.policy import Approval, Guard, Policy, Primary
from watcher.values import Artifacts, Call, Column, Finding, Metric, Signature

FILE = Path(__file__).with_name("words.txt")
LONG = "x" * 1_000
"""Longer than anything is shown; runs of it are written as `x{length}`."""


def lengthy(new: dict[str, Any], old: dict[str, Any], policy: Policy, **changes: Any) -> World:
    """A candidate and a champion of which these metrics are known."""
    return World(policy, known=evidence(3, new), champion_known=evidence(2, old), **changes)


def retyped(name: str | None, other: str) -> World:
    """The champion's every field has this name and a long type, the candidate's the `other` one."""
    before, after = (Signature((column,), (column,), (column,)) for column in (Column(name, LONG), Column(name, other)))
    return World(
        known=evidence(3, {"auc": 0.85}, signature=after), champion_known=evidence(2, {"auc": 0.84}, signature=before)
    )


GAIN = Policy(Primary(LONG, min_gain=0.002))
BY_ROWS = replace(RULES, metrics=("roc_auc", LONG))
SCORED = replace(MEASURED, primary=replace(MEASURED.primary, metric=LONG), evaluate=BY_ROWS)
SLICED = replace(EACH, guards=(Guard(LONG, 0.02, each=LONG),), evaluate=BY_ROWS)
PLACED = target(LONG, environment={"python": "3.11", "packages": {LONG: f"1.0+{LONG}"}})
LENGTHY: dict[str, World] = {
    "a long reason of a hold": World(hold=LONG),
    "a long reason why evidence is unreadable": World(known=evidence(3, {"auc": 0.85}, problem=LONG)),
    "a long reason why the champion's is": World(champion_known=evidence(2, {"auc": 0.84}, problem=LONG)),
    "a long place": World(
        known=evidence(3, {"auc": 0.85}, artifacts=Artifacts.ABSENT), candidate=version(3, artifact_uri=f"s3://{LONG}")
    ),
    "long flavours": World(
        known=evidence(3, {"auc": 0.85}, flavors=(LONG, f"{LONG}y")), policy=Policy(AUC, flavors=(LONG,))
    ),
    "a long metric that gains": lengthy({LONG: 0.85}, {LONG: 0.84}, GAIN),
    "a long metric that loses": lengthy({LONG: 0.83}, {LONG: 0.84}, GAIN),
    "a long metric that is missing": lengthy({f"{LONG}y": 0.85}, {LONG: 0.84}, GAIN),
    "a long metric that is bounded": lengthy({"auc": 0.85, LONG: 0.1}, {"auc": 0.84}, Policy(AUC, floors={LONG: 0.2})),
    "a long metric that is guarded": lengthy(
        {"auc": 0.85, LONG: 0.1}, {"auc": 0.84, LONG: 0.2}, Policy(AUC, guards=(Guard(LONG, 0.01),))
    ),
    "a long metric that is distrusted": lengthy({LONG: Metric(0.0, LONG, "d", "1", LONG)}, {LONG: 0.84}, GAIN),
    "long data": lengthy(
        {"auc": Metric(0.85, "run", LONG, LONG)}, {"auc": Metric(0.84, "run", f"{LONG}y", "d")}, REQUIRED
    ),
    "long data that is not known": lengthy(
        {LONG: Metric(0.85, "run")}, {LONG: 0.84}, replace(REQUIRED, primary=GAIN.primary)
    ),
    "a long tag of approval": World(replace(APPROVAL, approval=Approval(LONG, expires=1.0))),
    "a long requirement": World(known=evidence(3, {"auc": 0.85}, requirements=(f"{LONG}==2.0",)), targets=(PLACED,)),
    "a long requirement that is missing": World(
        known=evidence(3, {"auc": 0.85}, requirements=(f"y{LONG}",)), targets=(PLACED,)
    ),
    "a target with a long name": World(known=evidence(3, {"auc": 0.85}, python="3.12.1"), targets=(PLACED,)),
    "a field with a long name and type": retyped(LONG, f"y{LONG}"),
    "a field without a name and with a long type": retyped(None, f"y{LONG}"),
    "a field with a long name that is gone": World(
        known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, inputs=(Column(LONG, "long"),)))
    ),
    "a long reason why an evaluation is awaited": at(Progress.RUNNING, LONG),
    "a long reason why an evaluation failed": at(Progress.FAILED, LONG, Fault.CHALLENGER),
    "a long reason why the champion's failed": at(Progress.FAILED, LONG, Fault.CHAMPION),
    "a long reason why an evaluation is impossible": at(Progress.FAILED, LONG),
    "a long leak": found(score(0.84, 0.85), leak=LONG),
    "a long doubt about a leak": found(score(0.84, 0.85), leak_unknown=LONG),
    "a long metric that was scored": found(replace(score(0.84, 0.85), metric=LONG, method=LONG), policy=SCORED),
    "a long metric that could not be scored": found(replace(score(None, None), metric=LONG, why=LONG), policy=SCORED),
    "a long metric without an interval": found(
        replace(score(0.84, 0.85), metric=LONG, low=None, high=None, why=LONG), policy=SCORED
    ),
    "a long metric that is not scored": found(score(0.84, 0.85), policy=SCORED),
    "a long metric that is not scored yet": at(Progress.ABSENT, policy=SCORED),
    "a long slice that drops": found(
        score(0.84, 0.85), replace(north(0.9, 0.5), metric=LONG, column=LONG, value=LONG), policy=SLICED
    ),
    "a long slice without a number": found(
        score(0.84, 0.85), replace(north(0.9, None), metric=LONG, why=LONG, column=LONG, value=LONG), policy=SLICED
    ),
    "a long slice that is too small": found(
        score(0.84, 0.85), replace(north(None, None, why=LONG), column=LONG, value=LONG), policy=MEASURED
    ),
    "a long slice that is nowhere": found(score(0.84, 0.85), policy=SLICED),
}

GUARDED = Policy(AUC, guards=(Guard("f1", 0.02),), floors={"f1": 0.5})
CLOSE: dict[str, World] = {
    "a gain that is nearly the least": lengthy({"auc": 0.8419999}, {"auc": 0.84}, Policy(AUC)),
    "a metric that is nearly the champion's": lengthy({"auc": 0.84}, {"auc": 0.8400001}, Policy(AUC)),
    "a metric that drops by nearly what its guard allows": lengthy(
        {"auc": 0.85, "f1": 0.7799999}, {"auc": 0.84, "f1": 0.8}, GUARDED
    ),
    "a guarded metric that is nearly the champion's": lengthy(
        {"auc": 0.85, "f1": 0.8}, {"auc": 0.84, "f1": 0.8000001}, replace(GUARDED, guards=(Guard("f1", 0.0),))
    ),
    "a metric that is nearly its floor": lengthy({"auc": 0.85, "f1": 0.4999999}, {"auc": 0.84, "f1": 0.5}, GUARDED),
    "a slice that drops by nearly what its guard allows": found(score(0.84, 0.85), north(0.8, 0.7799999), policy=EACH),
    "a slice that is nearly as the champion's": found(
        score(0.84, 0.85),
        north(0.8000001, 0.8),
        policy=replace(EACH, guards=(Guard("roc_auc", 0.0, each="region"),)),
    ),
    "a measured gain that is nearly the least": better(new=0.8419999),
    "a measured metric that is nearly the champion's": better(old=0.8400001, new=0.84),
}
"""Numbers are written in as many digits as it takes to tell them apart."""


def said(world: World, about: str | None = None) -> Iterator[str]:
    """The verdict, then whatever objects, and what has this in it; all without one."""
    verdict = judge(world.snapshot(), NOW)[3]
    yield f"  {verdict.call}, {verdict.reason}{_until(verdict.until)}; measured {verdict.score}"
    for finding in verdict.findings:
        line = _line(finding)
        if finding.call is not Call.WINS or about is None or about in line:
            yield f"  {line}"


def words() -> str:
    """All rows of the table of rules, and names of any length."""
    blocks = [("all that is said of a version that wins", *said(better()))]
    blocks += [(name, *said(row.world, f"{row.rule}:")) for name, row in sorted(ROWS.items())]
    blocks += [(name, *said(world, "x{")) for name, world in sorted(LENGTHY.items())]
    blocks += [(name, *said(world, "000")) for name, world in sorted(CLOSE.items())]
    return "\n".join("\n".join((*block, "")) for block in blocks)


def test_every_rule_says_what_is_written_down() -> None:
    assert words().splitlines() == FILE.read_text().splitlines()


def _line(finding: Finding) -> str:
    parts = (finding.measured, finding.bound, finding.detail)
    told = f"{finding.rule}: {finding.call}, {finding.reason}{_until(finding.until)} | {' | '.join(parts)}"
    return re.sub("x{20,}", lambda run: f"x{{{len(run[0])}}}", told)


def _until(until: float | None) -> str:
    return "" if until is None else f", for {until - NOW:g} s"


if __name__ == "__main__":
    FILE.write_text(words())
