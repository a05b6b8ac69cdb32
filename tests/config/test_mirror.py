"""A rollout that mirrors requests goes to endpoints that can."""

from __future__ import annotations

import pytest

import deployers
from deployers.kinds import KINDS
from tests.config.conftest import GOOD, Desk
from watcher.config.kinds import MIRRORING, SHAPES
from watcher.ports import mirrors
from watcher.values import Kind

MIRRORED = GOOD.replace("canary:", "mirror: 20\n    canary:")
SERVING = "{name: b, kind: databricks-serving, endpoint: churn}"


def test_the_share_and_the_bound_reach_the_rollout(desk: Desk) -> None:
    text = MIRRORED.replace("mirror: 20", "mirror: 20\n    analysis: {max_disagreement: 0.1}")
    rollout = desk.load(text).rollouts["careful"]
    assert (rollout.mirror, rollout.analysis.max_disagreement) == (20, 0.1)
    assert (desk.load(GOOD).rollouts["careful"].mirror, desk.load(GOOD).rollouts["default"].mirror) == (0, 0)


def test_an_endpoint_of_a_kind_that_cannot_mirror_is_refused(desk: Desk) -> None:
    (mistake,) = desk.mistakes(MIRRORED + f"      - {SERVING}\n")
    assert mistake == (
        "17: models[0].targets[1].kind: a target of kind databricks-serving cannot mirror requests, and the rollout"
        " careful does; give this model a rollout without mirror"
    )
    assert desk.load(GOOD + f"      - {SERVING}\n")


@pytest.mark.parametrize(
    ("share", "more", "analysis", "problem"),
    [
        (50, "", "", None),
        (51, "", "", "a target of kind azureml-online mirrors 50 % at most, and the rollout careful 51; lower it"),
        (
            20,
            ", compute: aks",
            "",
            "a target of kind azureml-online on Kubernetes cannot mirror",
        ),
        (20, "", "analysis: {max_disagreement: 0.1}", "a target of kind azureml-online compares no answers"),
    ],
)
def test_azure_mirrors_half_of_the_requests_at_most_and_compares_none(
    desk: Desk, share: int, more: str, analysis: str, problem: str | None
) -> None:
    settings = f"      - {{name: b, kind: azureml-online, workspace: s/g/w, endpoint: churn{more}}}\n"
    text = GOOD.replace("canary:", f"mirror: {share}\n    {analysis}\n    canary:") + settings
    if problem is None:
        assert desk.load(text).rollouts["careful"].mirror == share
    else:
        (mistake,) = desk.mistakes(text)
        assert problem in mistake


def test_jobs_may_be_beside_an_endpoint_that_mirrors(desk: Desk) -> None:
    assert desk.load(MIRRORED + "      - {name: b, kind: batch, pointer: p.json}\n")


def test_the_kinds_that_can_mirror_are_those_whose_deployers_do() -> None:
    endpoints = [kind for kind in KINDS if SHAPES.get(kind) is Kind.ENDPOINT]
    assert {kind for kind in endpoints if mirrors(deployers.load(kind)(None))} == MIRRORING.keys()
