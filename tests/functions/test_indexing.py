"""The function app as the host's worker indexes it, and the files beside it, held against the host's rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.functions import rules

ROOT = Path(__file__).parents[2]
INDEX = """
import json, os, sys, function_app
functions = [{"name": f.get_function_name(), "bindings": f.get_dict_repr()["bindings"]}
             for f in function_app.app.get_functions()]
heavy = sorted({"mlflow", "pydantic", "ruamel", "requests", "sqlite3", "numpy", "pandas", "opentelemetry", "starlette",
                "jinja2", "apprise", "tenacity", "azure.identity", "azure.data"} & set(sys.modules))
print(json.dumps({"functions": functions, "heavy": heavy}, default=lambda value: getattr(value, "value", str(value))))
"""
SETTINGS = json.loads((ROOT / "local.settings.example.json").read_text())


@pytest.fixture(scope="module")
def indexed() -> Any:
    """What the worker would report, from a fresh process."""
    ran = subprocess.run([sys.executable, "-c", INDEX], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_every_function_is_indexed(indexed: Any) -> None:
    assert sorted(function["name"] for function in indexed["functions"]) == [
        "databricks_webhook", "event_grid", "health", "mlflow_webhook", "page", "poll", "reconcile", "resync",
    ]  # fmt: skip


def test_no_function_breaks_a_rule_of_the_host(indexed: Any) -> None:
    assert list(rules.of_functions(indexed["functions"], SETTINGS["Values"])) == []


def test_importing_the_app_imports_no_sdk(indexed: Any) -> None:
    assert indexed["heavy"] == []


def test_the_files_beside_it_break_no_rule_of_the_host() -> None:
    assert list(rules.of_host(json.loads((ROOT / "host.json").read_text()))) == []
    assert list(rules.of_settings(SETTINGS)) == []
    assert list(rules.of_folder(ROOT)) == []


def test_only_health_and_signed_webhooks_are_open_to_anybody(indexed: Any) -> None:
    levels = {
        function["name"]: binding["authLevel"]
        for function in indexed["functions"]
        for binding in function["bindings"]
        if binding["type"] == "httpTrigger"
    }
    assert {name for name, level in levels.items() if level == "anonymous"} == {
        "databricks_webhook", "health", "mlflow_webhook",
    }  # fmt: skip
    assert set(levels.values()) <= {"anonymous", "function"}


GOOD = {"name": "poll", "bindings": [{"type": "timerTrigger", "name": "timer", "schedule": "0 * * * * *"}]}


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "host"},
        {"name": "9lives"},
        {"bindings": []},
        {"bindings": [{**GOOD["bindings"][0], "name": "my_timer"}]},  # type: ignore[dict-item]
        {"bindings": [{**GOOD["bindings"][0], "schedule": "every five minutes"}]},  # type: ignore[dict-item]
        {"bindings": [{**GOOD["bindings"][0], "schedule": "%NOWHERE%"}]},  # type: ignore[dict-item]
        {"bindings": [{"type": "queueTrigger", "name": "m", "queueName": "No_Queue", "connection": "X"}]},
        {"bindings": [{"type": "httpTrigger", "name": "r", "route": "admin/x", "methods": ["GET"]}]},
    ],
)
def test_the_rules_see_what_they_are_for(broken: dict[str, Any]) -> None:
    assert list(rules.of_functions([GOOD], SETTINGS["Values"])) == []
    assert list(rules.of_functions([{**GOOD, **broken}], SETTINGS["Values"])) != []
    assert list(rules.of_functions([GOOD, GOOD], SETTINGS["Values"])) != []
