from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
EXTRAS_OF = {
    "requirements.txt": ("functions", "azureml", "databricks"),
    "requirements-demo.txt": ("local",),
    "requirements-dev.txt": ("local", "functions", "azureml", "databricks", "dev"),
    "requirements-spark.txt": ("local", "spark", "dev"),
}
NEWEST = "requirements-newest.txt"
LOCKS = [*EXTRAS_OF, NEWEST, "requirements-bootstrap.txt"]
MLFLOW = ("mlflow", "mlflow-skinny", "mlflow-tracing")
MADE_HERE = re.compile(
    r"\.venv.*|\.git|\..*_cache|\.hypothesis|\.demo|\.azurite|__pycache__|dist|mutants|state|.*\.egg-info"
)
OF_A_MACHINE = re.compile(r"(?<![\w.~:}])/(?:root|work|Users|home/(?!site/)\w+|tmp/\w+)/")


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def entries(lock: str) -> list[str]:
    """The requirements of a lock, each with its hashes on one line."""
    text = re.sub(r"\\\n\s*", "", (ROOT / lock).read_text())
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


@cache
def pins(lock: str) -> dict[str, set[str]]:
    """Name -> the versions that the lock pins, by marker more than one."""
    found: dict[str, set[str]] = {}
    for entry in entries(lock):
        requirement = Requirement(entry.split(" --hash")[0])
        found.setdefault(canonicalize_name(requirement.name), set()).update(s.version for s in requirement.specifier)
    return found


def files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not MADE_HERE.fullmatch(name)]
        yield from (Path(folder, name) for name in names)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_one_version_with_a_hash(lock: str) -> None:
    assert entries(lock)
    assert [e for e in entries(lock) if not re.match(r"[a-z0-9-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}\b", e)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_place(lock: str) -> None:
    assert re.findall(r"://|--\S*(?:index|find-links|host)\S*| @ |(?<!\S)/\S+", (ROOT / lock).read_text()) == []


@pytest.mark.parametrize(("lock", "extras"), EXTRAS_OF.items())
def test_a_lock_holds_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    """Fails where a dependency was changed without `make lock`."""
    asked = [*project()["project"]["dependencies"]]
    for extra in extras:
        asked += project()["project"]["optional-dependencies"][extra]
    for requirement in map(Requirement, asked):
        pinned = pins(lock).get(canonicalize_name(requirement.name), set())
        assert any(requirement.specifier.contains(version) for version in pinned), f"{requirement}, locked: {pinned}"


def test_the_newest_lock_differs_from_what_the_project_asks_for_in_a_newer_mlflow_alone() -> None:
    pinned = Version(str(next(iter(pins("requirements-dev.txt")["mlflow"]))))
    newest = {version for name in MLFLOW for version in pins(NEWEST)[name]}
    assert len(newest) == 1, "its parts are of one version"
    assert Version(newest.pop()) > pinned
    extras = project()["project"]["optional-dependencies"]
    for requirement in map(Requirement, [*project()["project"]["dependencies"], *extras["local"], *extras["dev"]]):
        if requirement.name not in MLFLOW:
            found = pins(NEWEST).get(canonicalize_name(requirement.name), set())
            assert any(requirement.specifier.contains(version) for version in found), f"{requirement}, locked: {found}"


def test_the_newest_mlflow_is_tested_where_everything_is() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (needs,) = re.findall(r"^test-all:(.*?)##", makefile, re.MULTILINE)
    assert "test-newest" in needs.split()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-demo.txt"])
def test_what_is_installed_elsewhere_is_what_is_tested(lock: str) -> None:
    tested = pins("requirements-dev.txt")
    assert {name: versions for name, versions in pins(lock).items() if tested.get(name) != versions} == {}


def test_the_demo_installs_neither_spark_nor_a_cloud_sdk() -> None:
    heavy = re.compile(r"azure|pyspark|delta-spark|boto|google-cloud")
    assert [name for name in pins("requirements-demo.txt") if heavy.match(name)] == []


def test_a_function_app_installs_neither_all_of_mlflow_nor_spark() -> None:
    assert {"mlflow", "pyspark", "scikit-learn"} & pins("requirements.txt").keys() == set()


def test_ci_runs_every_python_that_the_project_names() -> None:
    workflow = YAML(typ="safe").load(ROOT / ".github/workflows/ci.yml")
    prefix = "Programming Language :: Python :: "
    named = [c.removeprefix(prefix) for c in project()["project"]["classifiers"] if c.startswith(prefix)]
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == named


def test_hooks_call_targets_that_exist() -> None:
    hooks = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {hook["entry"].removeprefix("make ") for hook in hooks} <= targets


def test_ci_can_be_run_as_a_program() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_no_file_names_a_path_of_one_machine() -> None:
    named = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        for match in OF_A_MACHINE.finditer(path.read_bytes().decode(errors="ignore"))
    }
    assert named == set()
