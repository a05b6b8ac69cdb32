"""A model's files come into the workspace in slices: none of them long, each from where the one before it ended."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import FileInfo
from mlflow.store.artifact import artifact_repository_registry as registry
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from deployers.azureml import artifacts, copying, endpoints, store
from deployers.azureml.artifacts import Source, one_file
from deployers.azureml.online import AzureOnline
from tests.azureml import house
from tests.azureml.cloud import Cloud
from tests.azureml.house import Bench
from tests.azureml.loop_world import OnAzure, on_azure
from watcher.errors import Terminal, Transient, UnderWay
from watcher.values import Release

pytestmark = pytest.mark.slow
NAME = "prod-risk-churn"
BLOCK, BLOCKS = 1_000_000, 9
SENT = r"PUT /azureml-blobstore/"


class Remote(ArtifactRepository):
    """A store elsewhere: what is read of it is counted, and comes when the test lets it."""

    folder = Path()
    gate = threading.Event()
    read: list[str] = []  # noqa: RUF012 - made anew for each test
    more: list[FileInfo] = []  # noqa: RUF012 - as above
    cut = 0

    def __init__(self, artifact_uri: str, *_: Any, **__: Any) -> None:
        super().__init__(artifact_uri)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        raise NotImplementedError

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        raise NotImplementedError

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        below = self.folder / (path or "")
        found = sorted(below.iterdir()) if below.is_dir() else []
        listed = [
            FileInfo(str(each.relative_to(self.folder)), each.is_dir(), None if each.is_dir() else each.stat().st_size)
            for each in found
        ]
        return listed if path else listed + self.more

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        if remote_file_path.endswith(".bin"):
            self.read.append(remote_file_path)
            assert self.gate.wait(60)
        content = (self.folder / remote_file_path).read_bytes()
        Path(local_path).write_bytes(content[: len(content) - self.cut])


@pytest.fixture(autouse=True)
def nothing_registered(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.assets.clear()
    cloud.blobs.clear()
    cloud.staged.clear()
    monkeypatch.setattr(store, "BLOCK", BLOCK)


@pytest.fixture
def large(bench: Bench, tmp_path: Path) -> Release:
    """A release whose weights are nine blocks."""
    files = shutil.copytree(house.model_files(tmp_path, 1), tmp_path / "large")
    (files / "weights.bin").write_bytes(b"".join(bytes([each]) * BLOCK for each in range(BLOCKS)))
    return replace(bench.release(1), version=house.version_of(1, files))


@pytest.fixture
def remote(large: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """The same in a store elsewhere."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(Remote, "folder", Path(large.version.artifact_uri))
    for name, value in (("gate", threading.Event()), ("read", []), ("more", []), ("cut", 0)):
        monkeypatch.setattr(Remote, name, value)
    monkeypatch.setitem(registry._artifact_repository_registry._registry, "remote", Remote)  # noqa: SLF001 - the one way
    yield replace(large, version=replace(large.version, artifact_uri=f"remote://{tmp_path.name}/model"))
    Remote.gate.set()


def registered(cloud: Cloud) -> list[str]:
    return [version for kind, name, version in cloud.assets if (kind, name) == ("models", NAME)]


def weights(cloud: Cloud) -> bytes:
    (content,) = [content for path, (content, _) in cloud.blobs.items() if path.endswith("/weights.bin")]
    return content


def launches(bench: Bench, release: Release, most: int = 30) -> list[str]:
    """Launch by another watcher each time until it is through; what each said before."""
    said: list[str] = []
    for _ in range(most):
        bench.deployer = _another(bench)
        began = bench.cloud.now
        try:
            bench.deployer.launch(release)
        except UnderWay as told:
            said.append(str(told))
        else:
            return said
        finally:
            assert bench.cloud.now - began < bench.deployer.lease
    raise AssertionError(f"it never got through: {said}")


def _another(bench: Bench) -> Any:
    made = house.deployer_on(bench.cloud)
    made._azures = bench.deployer._azures  # noqa: SLF001 - connections cost a second, and hold nothing else
    return made


def test_no_launch_outlives_its_slice_and_each_goes_on_where_the_last_one_ended(bench: Bench, large: Release) -> None:
    bench.cloud.upload_rate = BLOCK / 20
    said = launches(bench, large)
    # The first slice makes the endpoint too.
    assert said == [f"{many} of 9 MB of the model's files are in the workspace" for many in (2, 5, 8)]
    assert bench.cloud.count(rf"{SENT}.*/weights.bin") == BLOCKS + 1, "nine blocks, and what makes them a file"
    assert weights(bench.cloud) == (Path(large.version.artifact_uri) / "weights.bin").read_bytes()
    assert registered(bench.cloud) == ["1"]
    assert bench.deployments() == {large.name}


def test_a_store_that_takes_longer_than_a_slice_for_one_block_still_gets_one_in_each(
    bench: Bench, large: Release
) -> None:
    bench.cloud.upload_rate = BLOCK / 60
    launches(bench, large)
    assert bench.cloud.count(rf"{SENT}.*/weights.bin") == BLOCKS + 1
    assert registered(bench.cloud) == ["1"]


def test_who_dies_in_a_slice_loses_one_block_at_most(bench: Bench, large: Release) -> None:
    bench.cloud.upload_rate = BLOCK / 20
    for _ in range(3):
        bench.cloud.fail(rf"{SENT}.*/weights.bin", 400, times=1)
        with contextlib.suppress(UnderWay, Terminal):
            _another(bench).launch(large)
    bench.cloud.faults.clear()
    launches(bench, large)
    assert len([call for call in bench.cloud.calls if "weights.bin" in call and "PUT" in call]) <= BLOCKS + 1 + 3
    assert registered(bench.cloud) == ["1"]
    assert weights(bench.cloud) == (Path(large.version.artifact_uri) / "weights.bin").read_bytes()


def test_a_file_that_is_there_whole_is_not_sent_again(bench: Bench, large: Release) -> None:
    launches(bench, large)
    sent = bench.cloud.count(SENT)
    bench.cloud.assets.clear()
    bench.cloud.endpoints[bench.endpoint].deployments.clear()
    launches(bench, large)
    assert bench.cloud.count(SENT) == sent
    assert registered(bench.cloud) == ["1"]


def test_a_file_of_another_size_is_sent_again(bench: Bench, large: Release) -> None:
    launches(bench, large)
    bench.cloud.assets.clear()
    bench.cloud.endpoints[bench.endpoint].deployments.clear()
    (Path(large.version.artifact_uri) / "weights.bin").write_bytes(b"retrained")
    launches(bench, large)
    assert weights(bench.cloud) == b"retrained"


def test_a_file_that_comes_slowly_is_not_waited_for_and_is_fetched_once(
    bench: Bench, remote: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "SLICE", 0.0)
    monkeypatch.setattr(artifacts, "LEAST", 0.01)
    for _ in range(20):
        with pytest.raises(UnderWay, match="0 of 9 MB"):
            _another(bench).launch(remote)
    assert Remote.read == ["weights.bin"]
    Remote.gate.set()
    launches(bench, remote, most=60)
    assert Remote.read == ["weights.bin"]
    assert registered(bench.cloud) == ["1"]
    assert weights(bench.cloud) == (Remote.folder / "weights.bin").read_bytes()


def test_what_was_fetched_is_found_by_the_next_process_and_gone_at_the_end(
    bench: Bench, remote: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    Remote.gate.set()
    bench.cloud.fail(rf"{SENT}.*/weights.bin", 400, times=9)
    with pytest.raises(Terminal):
        bench.deployer.launch(remote)
    bench.cloud.faults.clear()
    monkeypatch.setattr(copying, "FETCHES", artifacts.Fetches())
    launches(bench, remote)
    assert Remote.read == ["weights.bin"]
    (ours,) = Path(tempfile.gettempdir()).glob("watcher-azureml-*/")
    assert list(ours.iterdir()) == []
    assert ours.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_too_large_for_the_disk_is_not_begun(
    bench: Bench, remote: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    Remote.gate.set()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * BLOCK))
    with pytest.raises(Transient, match=r"is 9,000,000 bytes, and .* has 5,000,000 free: make room there, or point"):
        bench.deployer.launch(remote)
    assert (Remote.read, registered(bench.cloud)) == ([], [])


def test_a_file_that_is_missing_in_a_remote_store_is_named_and_not_looked_for_again(
    remote: Release, tmp_path: Path
) -> None:
    source = Source(remote.version.artifact_uri, None)
    with pytest.raises(Terminal, match=f"^there is no conda.yml in {re.escape(source.where)}: log"):
        one_file(source, "conda.yml", tmp_path)


def test_why_a_store_did_not_answer_is_told_early_however_long_its_address_is(
    remote: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OSError("the store is down")

    monkeypatch.setattr(Remote, "_download_file", down)
    address = f"{remote.version.artifact_uri}/{'deep/' * 40}model"
    with pytest.raises(Transient) as told:
        Source(address, None).download("conda.yaml", Path(tempfile.gettempdir()))
    assert "the store is down" in str(told.value)[:200]
    assert "deep/model: " in str(told.value)


def test_a_file_that_comes_short_is_not_taken(bench: Bench, remote: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    Remote.gate.set()
    monkeypatch.setattr(Remote, "cut", 1)
    with pytest.raises(Transient, match=r"has [\d,]+ bytes, and [\d,]+ came"):
        bench.deployer.launch(remote)
    assert registered(bench.cloud) == []


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_a_listing_that_leads_out_of_the_model_is_refused(bench: Bench, remote: Release, path: str) -> None:
    Remote.more.append(FileInfo(path, False, 5))
    with pytest.raises(Terminal, match="outside of its folder"):
        bench.deployer.launch(remote)


def test_a_folder_for_fetched_files_that_somebody_else_made_is_not_used(
    bench: Bench, remote: Release, tmp_path: Path
) -> None:
    Remote.gate.set()
    mine = artifacts._folder(artifacts.Source("x", None)).parent  # noqa: SLF001 - where it is
    shutil.rmtree(mine)
    mine.symlink_to(tmp_path)
    with pytest.raises(Transient, match="belongs to somebody else"):
        bench.deployer.launch(remote)


@pytest.mark.usefixtures("remote")
def test_what_was_fetched_and_never_sent_is_removed_in_time() -> None:
    old = artifacts._folder(artifacts.Source("old", None))  # noqa: SLF001 - what a process left that died
    (old / "weights").write_bytes(b"1")
    assert old.exists()
    artifacts._folder(artifacts.Source("new", None))  # noqa: SLF001 - as above
    assert old.exists()
    os.utime(old, (1.0, 1.0))
    artifacts._folder(artifacts.Source("new", None))  # noqa: SLF001 - as above
    assert not old.exists()


@pytest.fixture
def world(cloud: Cloud, tmp_path: Path) -> OnAzure:
    cloud.deployment_seconds, cloud.metrics_lag = 60.0, 60.0
    return on_azure(cloud, tmp_path)


def test_a_rollout_waits_for_slices_as_for_a_launch_and_none_counts_as_a_failed_try(
    world: OnAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BLOCK", 40)
    world.cloud.upload_rate = 2.0
    world.train(0.8)
    world.rest()
    assert world.champion() == 1
    lines = world.ledger.history(most=1000)
    told = [line for line in lines if line.event == "under_way"]
    assert len(told) > 3
    assert all((line.data or {})["seconds"] < AzureOnline.lease for line in told)
    assert all("MB of the model's files are in the workspace" in (line.data or {})["detail"] for line in told)
    assert [line for line in lines if line.event == "failed" and line.reason != "conflict"] == []
    assert world.cloud.count("PUT /models/") == 1
