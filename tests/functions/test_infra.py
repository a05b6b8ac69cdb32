"""The deployment's files held against the app, against Azure's rules, and against the documentation."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.functions import bicep

ROOT = Path(__file__).parents[2]
FILES = {path.name: path.read_text() for path in sorted((ROOT / "infra").glob("*.bicep"))}
APP = FILES["app.bicep"]
PAGE = (ROOT / "docs" / "how-to" / "azure-functions.md").read_text()
LOCAL = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
PARAMETERS = json.loads((ROOT / "infra" / "main.parameters.json").read_text())["parameters"]
REFERENCE = re.compile(r"\$\{([A-Z_]+)(=[^}]*)?\}")


def texts_of(path: Path) -> list[str]:
    return [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
            and isinstance(node.value, str)]  # fmt: skip


def read_by_the_app() -> set[str]:
    """Names of settings that the function app's own code asks the environment for."""
    files = [ROOT / "function_app.py", *(ROOT / "watcher").rglob("*.py")]
    texts = {text for path in files if "cli" not in path.parts for text in texts_of(path)}
    return {text for text in texts if re.fullmatch(r"WATCHER_[A-Z_]+|APPLICATIONINSIGHTS_CONNECTION_STRING", text)}


def constants() -> dict[str, str]:
    """What function_app.py and the host's process name, without importing them."""
    found = {}
    for path in (ROOT / "function_app.py", ROOT / "watcher" / "hosted" / "host.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                assert isinstance(node.targets[0], ast.Name)
                found[node.targets[0].id] = str(node.value.value)
    return found


def test_no_file_breaks_a_rule() -> None:
    assert list(bicep.broken(FILES)) == []
    assert {r.type for text in FILES.values() for r in bicep.resources(text)} == bicep.VERSIONS.keys()


def test_every_setting_that_the_app_reads_is_set_and_no_other() -> None:
    own = {key for key in bicep.settings(APP) if not key.startswith("AzureWebJobsStorage__")}
    assert own == read_by_the_app() | {"MLFLOW_REGISTRY_URI"}
    assert "${MLFLOW_REGISTRY_URI}" in PAGE
    assert own - {"MLFLOW_REGISTRY_URI", "APPLICATIONINSIGHTS_CONNECTION_STRING"} == {
        key for key in LOCAL if key.startswith("WATCHER_")
    }
    for key in own - {"MLFLOW_REGISTRY_URI"}:
        assert f"`{key}`" in PAGE


def test_the_connection_is_by_identity_as_host_and_ledger_read_it() -> None:
    connection = {key for key in bicep.settings(APP) if key.startswith("AzureWebJobsStorage__")}
    read = "".join(texts_of(ROOT / "watcher" / "ledger" / "table" / "connection.py"))
    by_ledger = {f"AzureWebJobsStorage{end}" for end in ("__accountName", "__clientId") if end in read}
    assert connection == by_ledger | {"AzureWebJobsStorage__credential"}
    assert bicep.settings(APP)["AzureWebJobsStorage__credential"] == "'managedidentity'"


def test_schedules_queue_and_table_are_those_of_the_app() -> None:
    named, settings = constants(), bicep.settings(APP)
    assert settings["WATCHER_POLL_SCHEDULE"] == f"'{named['EVERY_MINUTE']}'"
    assert settings["WATCHER_RESYNC_SCHEDULE"] == f"'{named['HOURLY']}'"
    assert {"AzureWebJobsStorage": named["STORAGE"]} == {"AzureWebJobsStorage": "AzureWebJobsStorage"}
    made = bicep.texts(APP)
    assert made["queueName"] == named["QUEUE"]
    assert f"ledger: table+env://{named['STORAGE']}/{made['tableName']}" in PAGE
    queues = [r.name for r in bicep.resources(APP) if r.type.endswith("/queues")]
    assert queues == ["queueName", "'${queueName}-poison'"]


def test_every_role_is_one_of_azures_and_stands_in_the_documentation_with_its_reason() -> None:
    granted = [(name, reason) for text in FILES.values() for reason, name, _ in bicep.roles(text)]
    assert sorted(name for name, _ in granted) == sorted(bicep.ROLES)
    assert all(reason.endswith(".") for _, reason in granted)
    shown = re.findall(r"^\| \*(.+?)\* \| .+ \| .+ \|$", PAGE, re.MULTILINE)
    assert sorted(shown) == sorted(bicep.ROLES)


def test_parameters_come_from_the_environment_and_none_is_missing() -> None:
    wanted = bicep.parameters(FILES["main.bicep"])
    assert PARAMETERS.keys() <= wanted.keys()
    assert {name for name, default in wanted.items() if not default} <= PARAMETERS.keys()
    for name, given in PARAMETERS.items():
        value = given["value"]
        assert value == {} or REFERENCE.fullmatch(value), name
        assert value == {} or wanted[name] == bool(REFERENCE.fullmatch(value)[2]), f"{name} may be left out, or not"  # type: ignore[index]


def test_the_pythons_are_those_that_the_project_takes() -> None:
    allowed = re.search(r"@allowed\(\[(.+)\]\)\nparam pythonVersion string = '(.+)'", FILES["main.bicep"])
    assert allowed is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    taken = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert re.findall(r"3\.\d+", allowed[1]) == taken
    assert allowed[2] in taken


def test_azd_finds_the_app_by_its_tag_and_sends_what_it_needs_and_no_more() -> None:
    manifest = YAML(typ="safe").load((ROOT / "azure.yaml").read_text())
    (name,) = manifest["services"]
    assert manifest["services"][name] == {"project": ".", "host": "function", "language": "py"}
    assert manifest["infra"] == {"provider": "bicep", "path": "infra"}
    assert f"'azd-service-name': '{name}'" in APP
    ignored = [line for line in (ROOT / ".funcignore").read_text().splitlines() if line]
    for sent in ("function_app.py", "host.json", "requirements.txt", "watch.yaml", "watcher/", "deployers/"):
        assert not any(fnmatch(sent, pattern) for pattern in ignored), sent
    for kept in ("infra/", "tests/", "docs/", ".git/", "local.settings.json"):
        assert any(fnmatch(kept, pattern) for pattern in ignored), kept


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("app.bicep", "2024-04-01", "2024-04-31"),
        ("app.bicep", "974c5e8b-45b9-4653-ba55-5f855dd0fb88", "974c5e8b-45b9-4653-ba55-5f855dd0fb89"),
        ("app.bicep", "Storage Table Data Contributor", "Storage Account Contributor"),
        ("app.bicep", "    // The ledger, and the host's diagnostic events.\n", ""),
        ("app.bicep", "'stwatcher${token}'", "'st-watcher-${token}'"),
        ("app.bicep", "'func-watcher-${token}'", "'function-app-of-the-watcher-${token}'"),
        ("app.bicep", "'watcher-wakes'", "'Watcher_Wakes'"),
        ("app.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
        ("app.bicep", "insights.properties.ConnectionString", "storage.listKeys().keys[0].value"),
        ("app.bicep", "      WATCHER_CONFIG:", "      FUNCTIONS_WORKER_RUNTIME:"),
        ("app.bicep", "${storage.properties", "${account.properties"),
        ("app.bicep", "param identityName string\n", ""),
        ("main.bicep", "    token: token\n", ""),
        ("main.bicep", "identity.outputs.principalId", "identity.outputs.principal"),
        ("main.bicep", "scope: group\n", "scope: group)\n"),
    ],
)
def test_the_rules_see_what_they_are_for(file: str, old: str, new: str) -> None:
    assert old in FILES[file]
    assert list(bicep.broken({**FILES, file: FILES[file].replace(old, new, 1)})) != []
