"""The whole chain, case by case: a row for each way in which a rule objects, and for what it lets pass."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.judge.evaluated import (
    EACH,
    LATER,
    LOWER,
    MEASURED,
    SAME,
    SHARE,
    at,
    better,
    found,
    north,
    score,
    windowed,
    without_champion,
)
from tests.judge.world import HOUR, NOW, SIGNATURE, World, evidence, first, target, version
from watcher.evaluations import Fault, Progress
from watcher.judge import RULES, judge
from watcher.policy import Approval, Better, EvidenceRules, Guard, Policy, Primary, SameData
from watcher.reasons import JUDGING, REASONS
from watcher.record import Record
from watcher.values import Artifacts, Call, Column, Crown, Finding, Metric, Signature, Status, Verdict

WINS, LOSES, INVALID, WAITS, SUPERSEDED = Call.WINS, Call.LOSES, Call.INVALID, Call.WAITS, Call.SUPERSEDED

AUC = Primary("auc", min_gain=0.002)
LOSS = Primary("log_loss", Better.LOWER, min_gain=0.01)
RATIO = Primary("r2", min_gain=0.01, relative=True)
OVERDUE = Record(born=0.0, first_seen={version(3).identity.key: NOW - 24 * HOUR})
APPROVAL = Policy(AUC, approval=Approval("approved_by", expires=72 * HOUR))
REQUIRED = Policy(AUC, evidence=EvidenceRules(SameData.REQUIRED))
FIXED = target(environment={"python": "3.11", "packages": {"mlflow": "3.15.0", "NumPy": "2.3.0"}})


def auc(value: float, **changes: Any) -> Metric:
    return replace(Metric(value, "run 3", "holdout", "d1"), **changes)


def between(primary: Primary, old: float, new: float) -> World:
    """The candidate has `new` where the champion has `old`."""
    name = primary.metric
    return World(Policy(primary), known=evidence(3, {name: new}), champion_known=evidence(2, {name: old}))


def inputs(*columns: Column) -> World:
    return World(known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, inputs=columns)))


def outputs(*columns: Column) -> World:
    return World(known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, outputs=columns)))


def named_outputs(*columns: Column) -> World:
    """The champion returns a label and a score."""
    before = replace(SIGNATURE, outputs=(Column("label", "string"), Column("score", "double")))
    return replace(outputs(*columns), champion_known=evidence(2, {"auc": 0.84}, signature=before))


def unnamed(old: tuple[str, ...], new: tuple[str, ...]) -> World:
    before, after = (Signature(tuple(Column(None, t) for t in types)) for types in (old, new))
    return World(
        known=evidence(3, {"auc": 0.85}, signature=after), champion_known=evidence(2, {"auc": 0.84}, signature=before)
    )


def served(target_settings: dict[str, Any], *requirements: str) -> World:
    known = evidence(3, {"auc": 0.85}, requirements=requirements)
    return World(known=known, targets=(target(environment=target_settings),))


@dataclass(frozen=True)
class Row:
    """A world and what must be said of its candidate; `says` are words of the rule's finding."""

    world: World
    call: Call
    reason: str
    rule: str
    says: tuple[str, ...] = ()
    until: float | None = None


AGE, INCOME, NOTE = SIGNATURE.inputs

ROWS: dict[str, Row] = {
    # above_floor
    "a version at the floor is superseded": Row(
        World(crown=Crown(crowned=2, floor=3)), SUPERSEDED, "at_or_below_floor", "above_floor", ("version 3", "> 3")
    ),
    "a version below the floor is superseded even where it is invalid": Row(
        World(crown=Crown(crowned=2, floor=9), known=evidence(3, {"auc": float("nan")})),
        SUPERSEDED,
        "at_or_below_floor",
        "above_floor",
    ),
    "a version older than the champion is superseded": Row(
        World(candidate=version(3), champion=version(4), champion_known=evidence(4, {"auc": 0.8}), mark=4),
        SUPERSEDED,
        "older_than_champion",
        "above_floor",
        ("version 4",),
    ),
    "a version made in the same millisecond as the champion after it is superseded": Row(
        World(
            champion=version(4, identity=replace(version(4).identity, created_ms=version(3).identity.created_ms)),
            mark=4,
        ),
        SUPERSEDED,
        "older_than_champion",
        "above_floor",
    ),
    "a newer number with an older time stamp is judged, clocks of two servers differ": Row(
        World(
            candidate=version(3, identity=replace(version(3).identity, created_ms=5)),
            known=replace(evidence(3, {"auc": 0.85}), identity=replace(version(3).identity, created_ms=5)),
        ),
        WINS,
        "beats_champion",
        "above_floor",
    ),
    # registered
    "a pending version waits though its artifacts are not there yet": Row(
        World(
            candidate=version(3, status=Status.PENDING),
            known=evidence(3, {"auc": float("nan")}, artifacts=Artifacts.ABSENT),
        ),
        WAITS,
        "registration_pending",
        "registered",
    ),
    "a version that could not be registered is invalid": Row(
        World(candidate=version(3, status=Status.FAILED)), INVALID, "registration_failed", "registered"
    ),
    # artifacts_present
    "a version whose artifacts are confirmed absent is invalid": Row(
        World(known=evidence(3, {"auc": 0.85}, artifacts=Artifacts.ABSENT)),
        INVALID,
        "artifacts_absent",
        "artifacts_present",
        ("file:///models/3",),
    ),
    "a storage that does not answer is waited for, and nothing read from it counts": Row(
        World(known=evidence(3, {"auc": 0.85}, artifacts=Artifacts.UNKNOWN, signature=None)),
        WAITS,
        "artifacts_unknown",
        "artifacts_present",
    ),
    "a version whose evidence was not read waits however old it is": Row(
        World(known=None, record=OVERDUE), WAITS, "evidence_unread", "artifacts_present"
    ),
    "evidence of a deleted version of the same number is not believed": Row(
        World(known=evidence(3, {"auc": 0.99}, identity=replace(version(3).identity, created_ms=1))),
        WAITS,
        "evidence_unread",
        "artifacts_present",
    ),
    # evidence_readable
    "a version whose description cannot be read is invalid": Row(
        World(known=evidence(3, {"auc": 0.85}, problem="MLmodel is not YAML\x1b[2J")),
        INVALID,
        "evidence_unreadable",
        "evidence_readable",
        ("MLmodel is not YAML\N{REPLACEMENT CHARACTER}[2J",),
    ),
    # flavors_allowed
    "a version of a flavour that is not allowed is invalid": Row(
        World(Policy(AUC, flavors=("xgboost",))), INVALID, "flavor_not_allowed", "flavors_allowed", ("sklearn",)
    ),
    "a version of an allowed flavour passes, python_function only wraps it": Row(
        World(Policy(AUC, flavors=("sklearn",))), WINS, "beats_champion", "flavors_allowed"
    ),
    "a model of the user's own code passes only where python_function is allowed": Row(
        World(Policy(AUC, flavors=("sklearn",)), known=evidence(3, {"auc": 0.85}, flavors=("python_function",))),
        INVALID,
        "flavor_not_allowed",
        "flavors_allowed",
        ("python_function",),
    ),
    "a version that declares no flavour is invalid where the policy allows some": Row(
        World(Policy(AUC, flavors=("sklearn",)), known=evidence(3, {"auc": 0.85}, flavors=())),
        INVALID,
        "flavor_not_allowed",
        "flavors_allowed",
        ("no flavour",),
    ),
    # signature_accepts
    "a version without a signature is invalid after a champion with one": Row(
        World(known=evidence(3, {"auc": 0.85}, signature=None)), INVALID, "signature_missing", "signature_accepts"
    ),
    "a version without a signature passes where the policy does not ask for one": Row(
        World(Policy(AUC, signature=False), known=evidence(3, {"auc": 0.85}, signature=None)),
        WINS,
        "beats_champion",
        "signature_accepts",
    ),
    "a version without a signature passes after a champion without one": Row(
        World(
            known=evidence(3, {"auc": 0.85}, signature=None), champion_known=evidence(2, {"auc": 0.8}, signature=None)
        ),
        WINS,
        "beats_champion",
        "signature_accepts",
        ("champion has no signature",),
    ),
    "a first version may come without a signature, and it is said": Row(
        first(known=evidence(3, {"auc": 0.85}, signature=None)),
        WINS,
        "first_version",
        "signature_accepts",
        ("no signature",),
    ),
    "a first version with a signature has nothing to be compared with": Row(
        first(), WINS, "first_version", "signature_accepts", ("has no champion",)
    ),
    "a new required field is invalid and named": Row(
        inputs(*SIGNATURE.inputs, Column("region", "string")),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("`region`", "was not there"),
    ),
    "a new optional field passes": Row(
        inputs(*SIGNATURE.inputs, Column("region", "string", required=False)),
        WINS,
        "beats_champion",
        "signature_accepts",
    ),
    "a dropped field passes, extra columns are ignored": Row(
        inputs(INCOME), WINS, "beats_champion", "signature_accepts"
    ),
    "fields in another order pass, they go by name": Row(
        inputs(NOTE, INCOME, AGE), WINS, "beats_champion", "signature_accepts"
    ),
    "a field that was optional and is required is invalid": Row(
        inputs(AGE, INCOME, replace(NOTE, required=True)),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("`note`", "was optional"),
    ),
    "a field that was required and is optional passes": Row(
        inputs(replace(AGE, required=False)), WINS, "beats_champion", "signature_accepts"
    ),
    "a long field that becomes double passes": Row(
        inputs(replace(AGE, type="double")), WINS, "beats_champion", "signature_accepts"
    ),
    "a double field that becomes float is invalid": Row(
        inputs(AGE, replace(INCOME, type="float")),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("`income` was double, is float",),
    ),
    "a long field that becomes integer is invalid, MLflow would cut numbers off without a word": Row(
        inputs(replace(AGE, type="integer")), INVALID, "input_refused", "signature_accepts", ("was long, is integer",)
    ),
    "of many broken fields the first three are named and the rest counted": Row(
        inputs(*(Column(f"f{i}", "long") for i in range(9))),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("`f0`", "`f2`", "And 6 more."),
    ),
    "three broken fields are all that is told": Row(
        inputs(*(Column(f"f{i}", "long") for i in range(3))),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("`f0`", "`f2`"),
    ),
    "fields that get names are invalid": Row(
        World(
            known=evidence(3, {"auc": 0.85}),
            champion_known=evidence(2, {"auc": 0.84}, signature=Signature((Column(None, "double"),))),
        ),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("were not",),
    ),
    "fields that lose their names are invalid": Row(
        inputs(Column(None, "long"), Column(None, "double")),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("were named",),
    ),
    "an unnamed field more is invalid": Row(
        unnamed(("double",), ("double", "double")),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("1 unnamed fields, there are 2",),
    ),
    "an unnamed field less is invalid, nobody knows which": Row(
        unnamed(("double", "double"), ("double",)), INVALID, "input_refused", "signature_accepts"
    ),
    "an unnamed field of a wider type passes": Row(
        unnamed(("integer", "float"), ("long", "double")), WINS, "beats_champion", "signature_accepts"
    ),
    "an unnamed tensor of another shape is invalid": Row(
        unnamed(("Tensor('float32', (-1, 3))",), ("Tensor('float32', (-1, 4))",)),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("(-1, 4)",),
    ),
    "a parameter that is gone is invalid, MLflow would ignore it without a word": Row(
        World(known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, params=()))),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("`threshold`",),
    ),
    "a parameter of a wider type passes": Row(
        World(known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, params=(Column("threshold", "double"),)))),
        WINS,
        "beats_champion",
        "signature_accepts",
    ),
    "a parameter of another type is invalid": Row(
        World(known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, params=(Column("threshold", "string"),)))),
        INVALID,
        "input_refused",
        "signature_accepts",
        ("was float, is string",),
    ),
    "an output of a wider type is invalid, readers have a schema too": Row(
        World(
            known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, outputs=(Column(None, "double"),))),
            champion_known=evidence(2, {"auc": 0.84}, signature=replace(SIGNATURE, outputs=(Column(None, "float"),))),
        ),
        INVALID,
        "output_changed",
        "signature_accepts",
        ("(float)", "(double)"),
    ),
    "an output that gets a name is invalid": Row(
        outputs(Column("p", "double")), INVALID, "output_changed", "signature_accepts", ("named now",)
    ),
    "outputs that lose their names are invalid": Row(
        named_outputs(Column(None, "string"), Column(None, "double")),
        INVALID,
        "output_changed",
        "signature_accepts",
        ("were named",),
    ),
    "an unnamed output more is invalid": Row(
        outputs(Column(None, "double"), Column(None, "string")),
        INVALID,
        "output_changed",
        "signature_accepts",
        ("(double, string)",),
    ),
    "a named output that is gone is invalid": Row(
        named_outputs(Column("score", "double")), INVALID, "output_changed", "signature_accepts", ("`label` is gone",)
    ),
    "a named output of another type is invalid": Row(
        named_outputs(Column("label", "string"), Column("score", "float")),
        INVALID,
        "output_changed",
        "signature_accepts",
        ("`score` was double, is float",),
    ),
    "a named output that may be missing is invalid": Row(
        named_outputs(Column("label", "string"), Column("score", "double", required=False)),
        INVALID,
        "output_changed",
        "signature_accepts",
        ("`score` may be missing",),
    ),
    "a named output more passes, in any order": Row(
        named_outputs(Column("why", "string"), Column("score", "double"), Column("label", "string")),
        WINS,
        "beats_champion",
        "signature_accepts",
    ),
    "an output passes where the champion declares none": Row(
        World(champion_known=evidence(2, {"auc": 0.84}, signature=replace(SIGNATURE, outputs=None))),
        WINS,
        "beats_champion",
        "signature_accepts",
    ),
    "a signature that no longer declares its output is invalid": Row(
        World(known=evidence(3, {"auc": 0.85}, signature=replace(SIGNATURE, outputs=None))),
        INVALID,
        "output_changed",
        "signature_accepts",
    ),
    "a champion whose evidence was not read is waited for": Row(
        World(champion_known=None), WAITS, "champion_evidence_missing", "signature_accepts"
    ),
    "a champion whose artifacts were not read is waited for": Row(
        World(champion_known=evidence(2, {"auc": 0.84}, signature=None, artifacts=Artifacts.UNKNOWN)),
        WAITS,
        "champion_evidence_missing",
        "signature_accepts",
    ),
    "a champion whose artifacts are gone waits for a person": Row(
        World(champion_known=evidence(2, {"auc": 0.84}, signature=None, artifacts=Artifacts.ABSENT)),
        WAITS,
        "champion_incomparable",
        "signature_accepts",
        ("artifacts are gone",),
    ),
    "a champion whose evidence cannot be read waits for a person": Row(
        World(champion_known=evidence(2, {"auc": 0.84}, problem="MLmodel is not YAML")),
        WAITS,
        "champion_incomparable",
        "signature_accepts",
        ("MLmodel is not YAML",),
    ),
    # environment_fits
    "a target with a fixed environment that meets every requirement passes": Row(
        World(targets=(FIXED,)), WINS, "beats_champion", "environment_fits"
    ),
    "a requirement that a target's packages do not meet is invalid and named with what is there": Row(
        served({"packages": {"mlflow": "3.15.0", "numpy": "1.26.4"}}, "mlflow==3.15.0", "numpy==2.3.0"),
        INVALID,
        "requirement_not_met",
        "environment_fits",
        ("numpy==2.3.0", "numpy 1.26.4", "`api`"),
    ),
    "a requirement that a target does not have at all is invalid": Row(
        served({"packages": {"mlflow": "3.15.0"}}, "lightgbm>=4"),
        INVALID,
        "requirement_not_met",
        "environment_fits",
        ("no lightgbm",),
    ),
    "package names are compared as the index does": Row(
        served({"packages": {"Scikit_Learn": "1.9.1"}}, "scikit-learn==1.9.1"),
        WINS,
        "beats_champion",
        "environment_fits",
    ),
    "a local build of the required version passes": Row(
        served({"packages": {"torch": "2.9.0+cpu"}}, "torch==2.9.0"), WINS, "beats_champion", "environment_fits"
    ),
    "a requirement for another platform is left out": Row(
        served({"packages": {"numpy": "2.3.0"}}, "pywin32==311 ; sys_platform == 'win32'", "numpy==2.3.0"),
        WINS,
        "beats_champion",
        "environment_fits",
    ),
    "a requirement after one that is for other machines, and after a comment, is checked too": Row(
        served({"packages": {"numpy": "2.3.0"}}, "# frozen", "pywin32==311 ; sys_platform == 'win32'", "numpy==2.2.0"),
        INVALID,
        "requirement_not_met",
        "environment_fits",
        ("numpy 2.3.0",),
    ),
    "a requirement of some Python only is checked with the target's": Row(
        served({"python": "3.11.9", "packages": {"numpy": "1"}}, "numpy==2.3.0 ; python_full_version >= '3.11.5'"),
        INVALID,
        "requirement_not_met",
        "environment_fits",
    ),
    "a requirement of some Python only is read with a common one where none is known": Row(
        World(
            known=evidence(3, {"auc": 0.85}, requirements=("numpy==2.3.0 ; python_version < '3.9'",), python=""),
            targets=(target(environment={"packages": {"numpy": "1"}}),),
        ),
        WINS,
        "beats_champion",
        "environment_fits",
    ),
    "a requirement of some Python only is read with the version's where the target names none": Row(
        World(
            known=evidence(3, {"auc": 0.85}, requirements=("numpy==2.3.0 ; python_version < '3.10'",), python="3.9.1"),
            targets=(target(environment={"packages": {"numpy": "1"}}),),
        ),
        INVALID,
        "requirement_not_met",
        "environment_fits",
    ),
    "a package of any version meets a requirement without one": Row(
        served({"packages": {"own": "of today"}}, "own"), WINS, "beats_champion", "environment_fits"
    ),
    "a package whose version cannot be read meets no other": Row(
        served({"packages": {"own": "of today"}}, "own>=1"), INVALID, "requirement_not_met", "environment_fits"
    ),
    "a package before its release meets a requirement of less": Row(
        served({"packages": {"numpy": "2.3.0rc1"}}, "numpy>=2.2"), WINS, "beats_champion", "environment_fits"
    ),
    "a requirement that nobody can check is invalid where packages are fixed": Row(
        served({"packages": {"numpy": "2.3.0"}}, "git+https://example.org/own.git"),
        INVALID,
        "requirement_not_met",
        "environment_fits",
        ("cannot be read",),
    ),
    "options and comments among the requirements are left out": Row(
        served(
            {"packages": {"numpy": "2.3.0"}}, "--extra-index-url https://example.org", "# frozen", "numpy==2.3.0 # x"
        ),
        WINS,
        "beats_champion",
        "environment_fits",
    ),
    "a version that names no requirements passes, and it is said": Row(
        served({"packages": {"numpy": "2.3.0"}}), WINS, "beats_champion", "environment_fits", ("names no requirements",)
    ),
    "a target with another Python is invalid": Row(
        served({"python": "3.12"}), INVALID, "python_differs", "environment_fits", ("Python 3.11.7", "Python 3.12")
    ),
    "a target whose packages are not known builds the version's own environment": Row(
        served({"packages": {}}, "numpy==2.3.0"), WINS, "beats_champion", "environment_fits"
    ),
    "a requirement for the target's Python is read with the target's Python": Row(
        World(
            known=evidence(3, {"auc": 0.85}, requirements=("tomli==2 ; python_version < '3.11'",), python=None),
            targets=(target(environment={"python": "3.10.4", "packages": {"numpy": "2.3.0"}}),),
        ),
        INVALID,
        "requirement_not_met",
        "environment_fits",
        ("no tomli",),
    ),
    "a target that names nothing builds the version's own environment": Row(
        World(targets=(target(),)), WINS, "beats_champion", "environment_fits", ("No target has a fixed environment",)
    ),
    # evidence_complete
    "a missing metric is waited for": Row(
        World(known=evidence(3, {})), WAITS, "evidence_missing", "evidence_complete", ("`auc`",), until=NOW + 24 * HOUR
    ),
    "of two metrics one is counted as there": Row(
        World(Policy(AUC, floors={"f1": 0.1})),
        WAITS,
        "evidence_missing",
        "evidence_complete",
        ("1 of 2 metrics", "auc, f1"),
        until=NOW + 24 * HOUR,
    ),
    "a metric that never came is invalid": Row(
        World(known=evidence(3, {}), record=OVERDUE), INVALID, "evidence_overdue", "evidence_complete"
    ),
    "a metric of nearly the same name is suggested": Row(
        World(known=evidence(3, {"auc_roc": 0.9, "AUC": 0.9, "rmse": 1.0}), policy=Policy(Primary("auc_rco"))),
        WAITS,
        "evidence_missing",
        "evidence_complete",
        ("Did you mean `auc_roc`?",),
        until=NOW + 24 * HOUR,
    ),
    "a metric that only a guard names is needed too": Row(
        World(Policy(AUC, guards=(Guard("auc_north", 0.01),))),
        WAITS,
        "evidence_missing",
        "evidence_complete",
        ("`auc_north`",),
        until=NOW + 24 * HOUR,
    ),
    "a metric that is not a number is invalid": Row(
        World(known=evidence(3, {"auc": float("nan")})), INVALID, "evidence_untrusted", "evidence_complete", ("run 3",)
    ),
    "an infinite metric is invalid": Row(
        World(known=evidence(3, {"auc": float("inf")})), INVALID, "evidence_untrusted", "evidence_complete"
    ),
    "the largest float is an infinity that a store has written down": Row(
        World(known=evidence(3, {"auc": sys.float_info.max})), INVALID, "evidence_untrusted", "evidence_complete"
    ),
    "the lowest float is an infinity too": Row(
        World(known=evidence(3, {"auc": -sys.float_info.max})), INVALID, "evidence_untrusted", "evidence_complete"
    ),
    "a metric whose sources disagree is invalid": Row(
        World(known=evidence(3, {"auc": auc(0.9, problem="the run says 0.4")})),
        INVALID,
        "evidence_untrusted",
        "evidence_complete",
        ("the run says 0.4",),
    ),
    "a first version needs its evidence too": Row(
        first(known=evidence(3, {})), WAITS, "evidence_missing", "evidence_complete", until=NOW + 24 * HOUR
    ),
    # same_data
    "a metric of other data than the champion's is invalid": Row(
        World(known=evidence(3, {"auc": auc(0.85, digest="d2")})),
        INVALID,
        "other_data",
        "same_data",
        ("holdout d2", "holdout d1", "`auc`"),
    ),
    "a metric of a data set of another name is invalid where a digest is not known": Row(
        World(known=evidence(3, {"auc": auc(0.85, dataset="train", digest=None)})), INVALID, "other_data", "same_data"
    ),
    "the same digest under another name is the same data": Row(
        World(known=evidence(3, {"auc": auc(0.85, dataset="copy")})), WINS, "beats_champion", "same_data"
    ),
    "data that is not known passes, and it is said": Row(
        World(known=evidence(3, {"auc": auc(0.85, dataset=None, digest=None)})),
        WINS,
        "beats_champion",
        "same_data",
        ("not known",),
    ),
    "other data passes where the policy ignores it": Row(
        World(Policy(AUC, evidence=EvidenceRules(SameData.IGNORE)), known=evidence(3, {"auc": auc(0.85, digest="d2")})),
        WINS,
        "beats_champion",
        "same_data",
    ),
    "data that must be known is waited for, and a worse metric does not lose meanwhile": Row(
        World(REQUIRED, known=evidence(3, {"auc": auc(0.5, digest=None)})),
        WAITS,
        "data_unknown",
        "same_data",
        until=NOW + 24 * HOUR,
    ),
    "data that never became known is invalid": Row(
        World(REQUIRED, known=evidence(3, {"auc": auc(0.85, digest=None)}), record=OVERDUE),
        INVALID,
        "data_never_known",
        "same_data",
    ),
    "a champion whose data never became known waits for a person": Row(
        World(REQUIRED, champion_known=evidence(2, {"auc": auc(0.84, digest=None)}), record=OVERDUE),
        WAITS,
        "champion_incomparable",
        "same_data",
        ("no data digest for auc",),
    ),
    "data must be known where it is required and is the same": Row(
        World(REQUIRED), WINS, "beats_champion", "same_data"
    ),
    # within_bounds
    "a metric below its floor loses": Row(
        World(Policy(AUC, floors={"auc": 0.9})), LOSES, "metric_below_floor", "within_bounds", ("auc 0.85", "≥ 0.9")
    ),
    "a metric at its floor passes": Row(
        World(Policy(AUC, floors={"auc": 0.85})), WINS, "beats_champion", "within_bounds"
    ),
    "a metric just below its floor is written in enough digits": Row(
        World(Policy(AUC, floors={"auc": 0.85000001})),
        LOSES,
        "metric_below_floor",
        "within_bounds",
        ("auc 0.85", "≥ 0.85000001"),
    ),
    "a metric above its ceiling loses": Row(
        World(Policy(AUC, ceilings={"log_loss": 0.6}), known=evidence(3, {"auc": 0.85, "log_loss": 0.7})),
        LOSES,
        "metric_above_ceiling",
        "within_bounds",
        ("log_loss 0.7", "≤ 0.6"),
    ),
    "a first version below a floor loses": Row(
        first(policy=Policy(AUC, floors={"auc": 0.9})), LOSES, "metric_below_floor", "within_bounds"
    ),
    "a metric below its floor loses though another is awaited": Row(
        World(Policy(AUC, floors={"auc": 0.9}, ceilings={"log_loss": 0.6})),
        LOSES,
        "metric_below_floor",
        "within_bounds",
    ),
    "a metric below its floor loses though the champion has none": Row(
        World(Policy(AUC, floors={"auc": 0.9}), champion_known=None), LOSES, "metric_below_floor", "within_bounds"
    ),
    # guards_hold
    "a guarded metric that drops by more than allowed loses": Row(
        World(
            Policy(AUC, guards=(Guard("auc_north", 0.01),)),
            known=evidence(3, {"auc": 0.9, "auc_north": 0.78}),
            champion_known=evidence(2, {"auc": 0.84, "auc_north": 0.8}),
        ),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("auc_north 0.78 (-0.02)", "≥ -0.01", "0.8"),
    ),
    "a guarded metric that drops by exactly what is allowed passes": Row(
        World(
            Policy(AUC, guards=(Guard("auc_north", 0.002),)),
            known=evidence(3, {"auc": 0.9, "auc_north": 0.848}),
            champion_known=evidence(2, {"auc": 0.84, "auc_north": 0.85}),
        ),
        WINS,
        "beats_champion",
        "guards_hold",
    ),
    "a guard on a metric that is better lower turns round": Row(
        World(
            Policy(AUC, guards=(Guard("p95_ms", 0.1, Better.LOWER, relative=True),)),
            known=evidence(3, {"auc": 0.9, "p95_ms": 23.0}),
            champion_known=evidence(2, {"auc": 0.84, "p95_ms": 20.0}),
        ),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("p95_ms 23 (+15%)", "≤ +10%"),
    ),
    "any loss from zero violates a relative guard": Row(
        World(
            Policy(AUC, guards=(Guard("errors", 0.5, Better.LOWER, relative=True),)),
            known=evidence(3, {"auc": 0.9, "errors": 0.001}),
            champion_known=evidence(2, {"auc": 0.84, "errors": 0.0}),
        ),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("errors 0.001 (from 0)",),
    ),
    "a guard that cannot be compared waits while all else passes": Row(
        World(Policy(AUC, guards=(Guard("auc_north", 0.01),)), known=evidence(3, {"auc": 0.9, "auc_north": 0.7})),
        WAITS,
        "champion_evidence_missing",
        "guards_hold",
        ("`auc_north`",),
        until=NOW + 24 * HOUR,
    ),
    "a violated guard loses though another cannot be compared": Row(
        World(
            Policy(AUC, guards=(Guard("south", 0.01), Guard("north", 0.01))),
            known=evidence(3, {"auc": 0.9, "north": 0.7, "south": 0.7}),
            champion_known=evidence(2, {"auc": 0.84, "north": 0.9}),
        ),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("north",),
    ),
    # primary_gains
    "a gain of exactly what is asked for wins": Row(
        between(AUC, 0.848, 0.85), WINS, "beats_champion", "primary_gains", ("0.85 (+0.002)", "≥ +0.002", "0.848")
    ),
    "a gain of less than asked for loses": Row(
        between(AUC, 0.8485, 0.85), LOSES, "gain_too_small", "primary_gains", ("0.85 (+0.0015)", "≥ +0.002")
    ),
    "an equal metric loses where no gain is asked for": Row(
        between(Primary("auc"), 0.85, 0.85), LOSES, "gain_too_small", "primary_gains", ("0.85 (0)", "> 0")
    ),
    "the least gain wins where none is asked for": Row(
        between(Primary("auc"), 0.85, 0.8500000001), WINS, "beats_champion", "primary_gains"
    ),
    "a metric that is better lower wins by falling": Row(
        between(LOSS, 0.42, 0.41), WINS, "beats_champion", "primary_gains", ("0.41 (-0.01)", "≤ -0.01")
    ),
    "a metric that is better lower loses by rising": Row(
        between(LOSS, 0.41, 0.42), LOSES, "gain_too_small", "primary_gains", ("0.42 (+0.01)",)
    ),
    "a relative gain is a share of the champion's metric": Row(
        between(RATIO, 0.5, 0.505), WINS, "beats_champion", "primary_gains", ("0.505 (+1%)", "≥ +1%")
    ),
    "a better value on a negative baseline wins": Row(
        between(RATIO, -0.5, -0.2), WINS, "beats_champion", "primary_gains", ("-0.2 (+60%)",)
    ),
    "a worse value on a negative baseline loses": Row(
        between(RATIO, -0.5, -0.9), LOSES, "gain_too_small", "primary_gains", ("-0.9 (-80%)",)
    ),
    "any gain from zero is enough for a relative one": Row(
        between(RATIO, 0.0, 1e-9), WINS, "beats_champion", "primary_gains", ("1e-09 (from 0)",)
    ),
    "no gain from zero is no relative gain": Row(between(RATIO, 0.0, 0.0), LOSES, "gain_too_small", "primary_gains"),
    "a loss from zero loses": Row(between(RATIO, 0.0, -1e-9), LOSES, "gain_too_small", "primary_gains"),
    "a champion without the primary metric is waited for, and nothing wins meanwhile": Row(
        World(champion_known=evidence(2, {"acu": 0.84})),
        WAITS,
        "champion_evidence_missing",
        "primary_gains",
        ("Did you mean `acu`?",),
        until=NOW + 24 * HOUR,
    ),
    "a champion without the primary metric waits for a person when the time is over": Row(
        World(champion_known=evidence(2, {}), record=OVERDUE), WAITS, "champion_incomparable", "primary_gains"
    ),
    "a champion whose primary metric is not a number waits for a person": Row(
        World(champion_known=evidence(2, {"auc": float("nan")})),
        WAITS,
        "champion_incomparable",
        "primary_gains",
        ("not a number", "run 2"),
    ),
    "a first version wins by its floors alone": Row(
        first(policy=Policy(AUC, floors={"auc": 0.8})), WINS, "first_version", "primary_gains", ("has no champion",)
    ),
    "a first version has no drop that a guard could see": Row(
        first(policy=Policy(AUC, guards=(Guard("auc", 0.01),))),
        WINS,
        "first_version",
        "guards_hold",
        ("has no champion",),
    ),
    "a version within all bounds is shown with each": Row(
        World(Policy(AUC, floors={"auc": 0.8}, ceilings={"auc": 0.9})),
        WINS,
        "beats_champion",
        "within_bounds",
        ("auc 0.85, auc 0.85 | ≥ 0.8, ≤ 0.9",),
    ),
    # old_enough
    "a version that is too young waits until it is old enough": Row(
        World(
            Policy(AUC, min_age=1800.0),
            candidate=version(3, identity=replace(version(3).identity, created_ms=int((NOW - 600) * 1000))),
            known=evidence(3, {"auc": 0.85}, identity=replace(version(3).identity, created_ms=int((NOW - 600) * 1000))),
        ),
        WAITS,
        "too_young",
        "old_enough",
        ("10m", "≥ 30m"),
        until=NOW + 1200,
    ),
    "a worse version loses though it is too young": Row(
        replace(between(AUC, 0.9, 0.8), policy=Policy(AUC, min_age=NOW)), LOSES, "gain_too_small", "old_enough"
    ),
    "a version that is old enough passes": Row(
        World(Policy(AUC, min_age=1800.0)), WINS, "beats_champion", "old_enough"
    ),
    # approved
    "a version without approval waits": Row(
        World(APPROVAL), WAITS, "approval_missing", "approved", ("none", "`approved_by`")
    ),
    "an empty approval is none": Row(
        World(APPROVAL, candidate=version(3, tags={"approved_by": "  "})), WAITS, "approval_missing", "approved"
    ),
    "an approved version wins": Row(
        World(APPROVAL, candidate=version(3, tags={"approved_by": "ada"})),
        WINS,
        "beats_champion",
        "approved",
        ("ada", "another 3d"),
    ),
    "an approval that has expired waits": Row(
        World(
            APPROVAL,
            candidate=version(3, tags={"approved_by": "ada"}),
            record=Record(born=0.0, approved={f"{version(3).identity.key}=ada": NOW - 72 * HOUR}),
        ),
        WAITS,
        "approval_expired",
        "approved",
        ("3d ago",),
    ),
    "another approval counts from when it was first seen": Row(
        World(
            APPROVAL,
            candidate=version(3, tags={"approved_by": "ada again"}),
            record=Record(born=0.0, approved={f"{version(3).identity.key}=ada": NOW - 72 * HOUR}),
        ),
        WINS,
        "beats_champion",
        "approved",
    ),
    "an approval without expiry holds for ever": Row(
        World(
            Policy(AUC, approval=Approval("approved_by")),
            candidate=version(3, tags={"approved_by": "ada"}),
            record=Record(born=0.0, approved={f"{version(3).identity.key}=ada": 0.0}),
        ),
        WINS,
        "beats_champion",
        "approved",
    ),
    "a worse version loses though approval is missing": Row(
        replace(between(AUC, 0.9, 0.8), policy=APPROVAL), LOSES, "gain_too_small", "approved"
    ),
    "a first version needs its approval too": Row(first(policy=APPROVAL), WAITS, "approval_missing", "approved"),
    # evaluated
    "a version that was not scored yet waits": Row(
        at(Progress.ABSENT), WAITS, "evaluation_awaited", "evaluated", ("not begun",)
    ),
    "a version that is being scored is looked at again after a quarter of what it took so far": Row(
        at(Progress.RUNNING), WAITS, "evaluation_awaited", "evaluated", ("under way",), until=NOW + 25
    ),
    "a version waits where the evaluator could not be asked": Row(
        World(MEASURED), WAITS, "evaluation_unseen", "evaluated"
    ),
    "a version that cannot be scored is invalid": Row(
        at(Progress.FAILED, "it ended by signal 9", Fault.CHALLENGER),
        INVALID,
        "evaluation_failed",
        "evaluated",
        ("signal 9",),
    ),
    "a version waits where the champion cannot be scored": Row(
        at(Progress.FAILED, "no column 'age'", Fault.CHAMPION), WAITS, "champion_not_evaluated", "evaluated", ("'age'",)
    ),
    "a version waits where the holdout cannot be read": Row(
        at(Progress.FAILED, "it is not there"), WAITS, "evaluation_impossible", "evaluated", ("not there",)
    ),
    "a worse logged metric is final before anything is scored": Row(
        at(Progress.ABSENT, policy=replace(MEASURED, floors={"auc": 0.9})),
        LOSES,
        "metric_below_floor",
        "within_bounds",
    ),
    "what was found says how": Row(
        better(),
        WINS,
        "beats_champion",
        "evaluated",
        ("10,000 rows", "look 3 on this holdout", "dddddddddddd", "3.10% of the answers", "12.5 s"),
    ),
    "what was found says which version of a table it was found on": Row(
        better(table_version=7, changed=None), WINS, "beats_champion", "evaluated", ("table version 7; scored",)
    ),
    # not_trained_on
    "a version that was trained on the holdout is invalid, however good": Row(
        better(leak="Its run logged this holdout as training data.", overlap=0.4),
        INVALID,
        "evaluated_on_training_data",
        "not_trained_on",
        ("40.00% of the rows", "≤ 5.00%", "logged this holdout"),
    ),
    "a version that was trained on this very holdout is invalid, and it is not called unknown": Row(
        better(leak="Its run logged this holdout as training data.", overlap=None),
        INVALID,
        "evaluated_on_training_data",
        "not_trained_on",
        ("the holdout itself",),
    ),
    "what could not be checked about the training data is said": Row(
        better(overlap=None, leak_unknown="Its run logged no training data."),
        WINS,
        "beats_champion",
        "not_trained_on",
        ("not known", "logged no training data"),
    ),
    # slices_hold
    "a slice without a number for the version is an objection": Row(
        found(score(0.84, 0.85), north(0.8, None, why="no answers")),
        INVALID,
        "slice_absent",
        "slices_hold",
        ("region=north", "of the version", "no answers"),
    ),
    "a slice without a number for the champion is an objection": Row(
        found(score(0.84, 0.85), north(None, 0.8)), INVALID, "slice_absent", "slices_hold", ("of the champion",)
    ),
    "a slice of too few rows is said": Row(
        found(score(0.84, 0.85), north(None, None, why="12 rows, fewer than the 200 that it needs")),
        WINS,
        "beats_champion",
        "slices_hold",
        ("1 slice", "region=north: 12 rows"),
    ),
    "all slices of too few rows are said": Row(
        found(
            score(0.84, 0.85),
            north(None, None, why="12 rows"),
            replace(north(None, None, why="9 rows"), value="south"),
        ),
        WINS,
        "beats_champion",
        "slices_hold",
        ("2 slices", "region=north: 12 rows; region=south: 9 rows"),
    ),
    # guards in each slice
    "a guard is violated in one slice": Row(
        found(score(0.84, 0.85), north(0.80, 0.77), policy=EACH),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("region=north", "0.77", "≥ -0.02"),
    ),
    "a guard is violated in one slice without an interval": Row(
        found(score(0.84, 0.85), north(0.80, 0.77, low=None), policy=EACH),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("no interval",),
    ),
    "a guard of a share is violated in one slice": Row(
        found(
            score(0.84, 0.85),
            north(0.5, 0.485),
            policy=replace(EACH, guards=(Guard("roc_auc", 0.02, relative=True, each="region"),)),
        ),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("-3%", "≥ -2%"),
    ),
    "of several slices in which a guard holds the worst is told": Row(
        found(
            score(0.84, 0.85),
            north(0.80, 0.81),
            replace(north(0.80, 0.79), value="south"),
            replace(north(0.8, 0.8), value="west"),
            policy=EACH,
        ),
        WINS,
        "beats_champion",
        "guards_hold",
        ("region=south 0.79",),
    ),
    "a guard in each slice waits for the evaluation": Row(
        at(Progress.ABSENT, policy=EACH), WAITS, "evaluation_awaited", "guards_hold", ("not scored yet",)
    ),
    "a guard over all rows is violated by what was measured": Row(
        found(score(0.84, 0.81), policy=replace(MEASURED, guards=(Guard("roc_auc", 0.02),))),
        LOSES,
        "guard_violated",
        "guards_hold",
        ("0.81 (-0.03)",),
    ),
    "a guard holds where the slice lost less than it allows": Row(
        found(score(0.84, 0.85), north(0.80, 0.79), policy=EACH),
        WINS,
        "beats_champion",
        "guards_hold",
        ("region=north",),
    ),
    "a guard says where no slice has enough rows": Row(
        found(score(0.84, 0.85), north(None, None, why="12 rows"), policy=EACH),
        WINS,
        "beats_champion",
        "guards_hold",
        ("no slice of region with enough rows",),
    ),
    # gains on the bound
    "the lower bound of the gain decides": Row(
        better(),
        WINS,
        "beats_champion",
        "primary_gains",
        ("0.85 (+0.01)", "gain +0.006 to +0.014 at 95 %", "> 0.002", "delong", "look 3"),
    ),
    "a gain whose lower bound is not above the least gain loses": Row(
        better(new=0.845), LOSES, "gain_not_certain", "primary_gains", ("gain +0.001 to +0.009",)
    ),
    "a gain whose lower bound is the least gain loses": Row(
        found(score(0.84, 0.85, low=0.002)), LOSES, "gain_not_certain", "primary_gains"
    ),
    "a gain that is just the least one is too small": Row(
        found(score(0.84, 0.842, gain=0.002)), LOSES, "gain_too_small", "primary_gains"
    ),
    "a gain whose lower bound is zero is written without a sign": Row(
        found(score(0.84, 0.85, low=0.0)), LOSES, "gain_not_certain", "primary_gains", ("gain 0 to",)
    ),
    "a gain without an interval waits": Row(
        found(score(0.84, 0.85, low=None)),
        WAITS,
        "evaluation_impossible",
        "primary_gains",
        ("the gain has no interval",),
    ),
    "a champion without a number on the holdout waits": Row(
        found(score(None, 0.85)), WAITS, "evaluation_impossible", "primary_gains", ("no such number",)
    ),
    "a version without a number on the holdout waits": Row(
        found(score(0.84, None)), WAITS, "evaluation_impossible", "primary_gains", ("no such number",)
    ),
    "a version must be no worse at all where the margin is zero": Row(
        better(new=0.843, policy=replace(MEASURED, primary=Primary("roc_auc", non_inferior=0.0))),
        LOSES,
        "gain_not_certain",
        "primary_gains",
        ("> 0",),
    ),
    "a gain below the least loses": Row(better(new=0.841), LOSES, "gain_too_small", "primary_gains"),
    "what the version logged counts for nothing where it is measured": Row(
        replace(better(new=0.83), known=evidence(3, {"roc_auc": 0.99})), LOSES, "gain_too_small", "primary_gains"
    ),
    "a version that is as good within the margin wins where no gain is asked for": Row(
        better(new=0.838, policy=SAME), WINS, "beats_champion", "primary_gains", ("> -0.01",)
    ),
    "a version that may be worse than the margin loses": Row(
        better(new=0.832, policy=SAME), LOSES, "gain_not_certain", "primary_gains"
    ),
    "a relative gain is a share of the champion's measured value": Row(
        better(new=0.85, policy=SHARE), LOSES, "gain_not_certain", "primary_gains", ("> 0.0084",)
    ),
    "a relative gain that is certain wins": Row(
        better(new=0.8545, policy=SHARE), WINS, "beats_champion", "primary_gains", ("> 0.0084",)
    ),
    "a lower loss is a gain": Row(
        found(score(0.5, 0.45, metric="log_loss", gain=0.05, low=0.02, high=0.08), policy=LOWER),
        WINS,
        "beats_champion",
        "primary_gains",
        ("0.45 (-0.05)",),
    ),
    "a metric that cannot be computed on the holdout waits": Row(
        found(score(None, None, why="the truth has one class only")),
        WAITS,
        "evaluation_impossible",
        "primary_gains",
        ("one class only",),
    ),
    "a first version needs its floor on the holdout and no gain": Row(
        without_champion(), WINS, "first_version", "within_bounds", ("roc_auc 0.85",)
    ),
    "a floor waits for what is to be measured": Row(
        at(Progress.ABSENT, policy=replace(MEASURED, floors={"roc_auc": 0.9})),
        WAITS,
        "evaluation_awaited",
        "within_bounds",
        ("`roc_auc` is not scored yet",),
    ),
    "a floor is held by what was measured": Row(
        better(policy=replace(MEASURED, floors={"roc_auc": 0.9})), LOSES, "metric_below_floor", "within_bounds"
    ),
    # in_window
    "a winner outside the window waits until it opens": Row(
        windowed(LATER), WAITS, "outside_window", "in_window", ("mon-thu 09:00", "It opens at"), until=LATER
    ),
    "a winner inside the window goes": Row(windowed(NOW - 1), WINS, "beats_champion", "in_window", ("open",)),
    "a window that never opens again is said": Row(
        windowed(None), WAITS, "outside_window", "in_window", ("never opens",)
    ),
    "a worse version loses though the window is closed": Row(
        replace(between(AUC, 0.9, 0.8), policy=windowed(LATER).policy), LOSES, "gain_too_small", "in_window"
    ),
    # not_held
    "a winner waits while a person holds the model": Row(
        World(hold="incident 7\n"), WAITS, "held", "not_held", ("incident 7",)
    ),
    "a worse version loses though the model is held": Row(
        replace(between(AUC, 0.9, 0.8), hold="incident 7"), LOSES, "gain_too_small", "not_held"
    ),
}


def said(verdict: Verdict, rule: str) -> Finding:
    return next(f for f in verdict.findings if f.rule == rule)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_version_is_called(row: Row) -> None:
    verdict = judge(row.world.snapshot(), NOW)[3]
    finding = said(verdict, row.rule)
    assert (verdict.call, verdict.reason, verdict.until) == (row.call, row.reason, row.until)
    words = f"{finding.measured} | {finding.bound} | {finding.detail}"
    assert all(part in words for part in row.says), words


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_every_rule_is_asked_once_in_the_order_of_the_list(row: Row) -> None:
    verdict = judge(row.world.snapshot(), NOW)[3]
    assert [f.rule for f in verdict.findings] == [rule.name for rule in RULES]


def test_each_rule_objects_in_some_row() -> None:
    """A rule that cannot object, or is shadowed by others in every row, has no row of its own."""
    objecting = {
        f.rule for row in ROWS.values() for f in judge(row.world.snapshot(), NOW)[3].findings if f.call is not WINS
    }
    assert objecting == {rule.name for rule in RULES}


def test_the_reasons_of_judging_are_those_that_are_given() -> None:
    verdicts = [judge(row.world.snapshot(), NOW)[3] for row in ROWS.values()]
    given = {v.reason for v in verdicts} | {f.reason for v in verdicts for f in v.findings}
    assert given == {reason.code for reason in JUDGING}
    assert given <= REASONS.keys()


def test_every_rule_rests_on_rules_before_it() -> None:
    seen: list[object] = []
    for rule in RULES:
        assert all(check in seen for check in rule.rests_on), rule.name
        seen.append(rule.check)
