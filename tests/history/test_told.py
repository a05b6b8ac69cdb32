"""What lasts is told with its reason, and what several rules say alike is said once."""

from __future__ import annotations

from typing import Any

import pytest

from watcher.history import render
from watcher.ports import Line

NAN = {"call": "invalid", "reason": "evidence_untrusted", "measured": "nan", "bound": "a finite number"}


@pytest.mark.parametrize(
    ("reason", "data", "sentence"),
    [
        ("baking", {"detail": "v2 at 10% of api"}, "churn: version 2 waits: baking; v2 at 10% of api."),
        ("no_example", {"state": "stuck"}, "churn: version 2 is stuck and needs a person: no example."),
        ("held", {"detail": "held: ana"}, "churn: version 2 is held by a person; held: ana."),
    ],
)
def test_a_state_that_lasts_is_told_with_its_reason(reason: str, data: dict[str, Any], sentence: str) -> None:
    assert render(Line(1.0, "churn", "told", version=2, reason=reason, data=data)) == sentence


def test_what_several_rules_found_alike_is_said_once() -> None:
    rules = ("evidence_complete", "within_bounds", "primary_gains")
    data = {"call": "invalid", "findings": [{"rule": rule, **NAN} for rule in rules]}
    told = render(Line(1.0, "churn", "verdict", version=4, data=data))
    assert told == "churn: version 4 is invalid: evidence untrusted: nan, needed a finite number."
