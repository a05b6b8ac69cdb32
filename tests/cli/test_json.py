from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Desk

Setup = Callable[[Desk], object]


def nothing(_: Desk) -> None: ...


def rolled(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.crowned(0.9)


def rolling(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.train(0.9)
    desk("tick", "churn")


def waiting(desk: Desk) -> None:
    desk.train(0.9, "fraud.cards")


CASES: list[tuple[list[str], Setup, type]] = [
    (["check"], rolled, dict),
    (["tick"], rolled, list),
    (["tick", "--until-rest"], rolled, list),
    (["run", "--once"], rolled, list),
    (["plan"], rolling, list),
    (["status"], rolling, list),
    (["history"], rolled, list),
    (["history", "churn", "--at", "now"], rolled, dict),
    (["explain", "churn", "1"], rolled, dict),
    (["promote", "churn", "1"], rolled, dict),
    (["rollback", "churn"], rolled, dict),
    (["abort", "churn"], rolling, dict),
    (["approve", "fraud.cards", "1"], waiting, dict),
    (["rejudge", "churn", "1"], rolled, dict),
    (["hold", "churn"], rolled, dict),
    (["release", "churn"], rolled, dict),
    (["adopt", "api", "--version", "1"], rolled, dict),
    (["pause"], nothing, dict),
    (["resume"], nothing, dict),
    (["schema"], nothing, dict),
]


@pytest.mark.parametrize(("arguments", "setup", "shape"), CASES, ids=[" ".join(case[0]) for case in CASES])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_every_command_answers_in_one_json_value(
    desk: Desk, arguments: list[str], setup: Setup, shape: type, before: bool
) -> None:
    """`--json` is taken before the command and after it."""
    setup(desk)
    ran = desk("--json", *arguments) if before else desk(*arguments, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) == 1
    assert isinstance(ran.json, shape)
    assert ran.json or arguments == ["release", "churn"]


def test_run_answers_with_one_json_value_a_line(desk: Desk) -> None:
    desk.train()
    ran = desk("run", "--for", "0.5", "--json")
    told: list[Any] = [json.loads(line) for line in ran.out.splitlines()]
    assert {"seen", "verdict", "intent", "done"} <= {line["event"] for line in told}


def test_a_number_that_json_has_not_is_null(desk: Desk) -> None:
    desk.crowned(0.8)
    desk.registry.create_version("churn", {"auc": float("inf")})
    assert "Infinity" not in desk("explain", "churn", "2", "--json").out
