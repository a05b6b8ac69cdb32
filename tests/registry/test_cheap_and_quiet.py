"""Building a registry costs nothing, and using it prints nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.registry.mlflow_world import MlflowWorld, sqlite_registry
from watcher.errors import Terminal, UserError
from watcher.registry.client import absent
from watcher.registry.mlflow import build
from watcher.registry.versions import NEAR
from watcher.settings import RegistrySettings

BUILD = """
import sys, os
from watcher.registry.mlflow import build
from watcher.settings import RegistrySettings
registry = build(RegistrySettings({uri!r}, {uri!r}), os.environ)
assert not {{"mlflow", "requests", "sqlalchemy", "ruamel.yaml"}} & set(sys.modules), "building it imports too much"
{then}
"""


def python(uri: str, then: str = "") -> subprocess.CompletedProcess[str]:
    code = BUILD.format(uri=uri, then=then)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_building_imports_no_sdk_and_asks_nobody() -> None:
    done = python("http://127.0.0.1:1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_new_database_and_a_missing_model_print_nothing(tmp_path: Path) -> None:
    uri = sqlite_registry(tmp_path)
    done = python(uri, "registry.names(); registry.version('m', 1); assert not registry.read('m').exists")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("there", [True, False], ids=["empty", "absent"])
def test_a_registry_file_that_holds_none_is_refused_and_left_as_it_is(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "typo.db"
    if there:
        path.touch()
    uri = f"sqlite:///{path}"
    registry = build(RegistrySettings(uri, uri), {})
    with pytest.raises(Terminal, match=f"no registry at {uri}.*mlflow db upgrade {uri}"):
        registry.names()
    assert [(file, file.stat().st_size) for file in tmp_path.iterdir()] == ([(path, 0)] if there else [])


@pytest.mark.parametrize("uri", ["http://h:5000", "sqlite://", "sqlite:///:memory:", "databricks-uc", "./mlruns"])
def test_what_is_no_file_of_sqlite_is_never_called_absent(uri: str) -> None:
    assert absent(uri) is None


def test_what_the_sdk_is_made_of_is_out_of_the_way_of_the_garbage_collector(tmp_path: Path) -> None:
    """A full collection that walks it costs a step 50 ms and more."""
    then = "import gc; registry.names(); assert len(gc.get_objects()) < 20_000 < gc.get_freeze_count()"
    done = python(sqlite_registry(tmp_path), then)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("above", "also", "brought", "requests"),
    [
        (2, (1, 2), {1, 2}, 1),
        (NEAR + 2, (NEAR, NEAR + 2), {NEAR, NEAR + 2}, 2),
        (NEAR + 2, (1, 2), set(), 2),
        (NEAR + 2, (), set(), 2),
    ],
    ids=["a few versions in all", "near the newest", "long ago", "nothing else"],
)
def test_what_is_marked_comes_with_the_listing_where_it_is_near(
    world: MlflowWorld,
    monkeypatch: pytest.MonkeyPatch,
    above: int,
    also: tuple[int, ...],
    brought: set[int],
    requests: int,
) -> None:
    for _ in range(above + 1):
        world.create_version("m", files=False)
    asked: list[str] = []
    search = MlflowClient.search_model_versions

    def counted(client: MlflowClient, text: str, **more: Any) -> Any:
        asked.append(text)
        return search(client, text, **more)

    monkeypatch.setattr(MlflowClient, "search_model_versions", counted)
    found = {v.number for v in world.registry.versions("m", above, also=also)}
    assert (found, len(asked)) == ({above + 1} | brought, requests)


def test_evidence_is_read_without_running_or_unpickling_anything_of_the_model(
    world: MlflowWorld, tmp_path: Path
) -> None:
    number = world.create_version("m", {"auc": 0.9})
    trap = tmp_path / "ran"
    payload = f"cos\nsystem\n(S'touch {trap}'\ntR.".encode()
    where = Path(
        str(world.client.get_logged_model(world.runs["m", number][1]).artifact_location).removeprefix("file://")
    )
    for name in ("model.pkl", "python_model.pkl", "code.py"):
        (where / name).write_bytes(payload)
    then = (
        f"found = registry.of(registry.version('m', {number})); assert found.metrics['auc'].value == 0.9\n"
        "assert not {'sklearn', 'mlflow.sklearn', 'mlflow.pyfunc.model'} & set(sys.modules)"
    )
    done = python(world.uri, then)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not trap.exists()


def test_marks_by_tag_are_refused_where_there_are_aliases() -> None:
    with pytest.raises(UserError, match=r"registry\.marks"):
        build(RegistrySettings("http://127.0.0.1:1", "http://127.0.0.1:1", marks="tag"), {})
