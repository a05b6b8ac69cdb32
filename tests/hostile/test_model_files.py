"""Whatever lies beside a model, it is read as what it is or the version is not judged by it; nothing of it is run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import strategies as hostile
from tests.judge.world import World
from watcher.errors import Transient
from watcher.judge import explain
from watcher.registry import model_file
from watcher.registry.client import Client
from watcher.registry.evidence import VersionEvidence
from watcher.registry.metrics import Metrics
from watcher.values import Artifacts, Call, EvidenceOf, Identity, Status, Version

SPECS = st.fixed_dictionaries(
    {"type": st.sampled_from(("double", "long", "tensor", "array", "object")) | hostile.texts(60)},
    optional={
        "name": hostile.texts(100),
        "required": st.booleans() | hostile.values(),
        "tensor-spec": st.fixed_dictionaries({"dtype": hostile.texts(40), "shape": hostile.values()})
        | hostile.values(),
        "items": hostile.values(),
        "shape": hostile.values(),
    },
)
SCHEMAS = st.lists(SPECS, max_size=3).map(json.dumps) | hostile.yaml_texts()
MODEL_FILES = st.fixed_dictionaries(
    {
        "flavors": st.dictionaries(hostile.texts(60), hostile.values(), max_size=3),
        "signature": st.none() | st.fixed_dictionaries({"inputs": SCHEMAS, "outputs": SCHEMAS}) | hostile.values(),
    },
    optional={
        "mlflow_version": hostile.values(),
        "model_id": hostile.values(),
        "saved_input_example_info": hostile.values(),
    },
).map(json.dumps)
CONTENTS = st.one_of(hostile.yaml_texts(), hostile.texts()).map(lambda text: text.encode("utf-8", "surrogatepass"))
BYTES = CONTENTS | st.binary(max_size=200)
FILES = st.fixed_dictionaries(
    {"MLmodel": MODEL_FILES.map(str.encode) | BYTES},
    optional={
        "requirements.txt": BYTES,
        "python_env.yaml": BYTES,
        "serving_input_example.json": BYTES,
        "input_example.json": BYTES,
    },
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="watcher-hostile-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def evidence() -> VersionEvidence:
    client = Client("sqlite://", "sqlite://", {})
    return VersionEvidence(client, Metrics(client))


@given(files=FILES)
def test_any_files_are_evidence_or_a_problem_and_never_a_reason_to_win(
    files: dict[str, bytes], folder: Path, evidence: VersionEvidence
) -> None:
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    version = Version(Identity("m", 3, 0, "s3://x"), Status.READY, str(folder))
    found = evidence.of(version)
    assert found.problem is not None or evidence.example(version) == found.example
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    world = World()
    candidate = world.candidate
    known = replace(found, identity=candidate.identity, metrics=world.known.metrics if world.known else {})
    verdict = explain(replace(world, known=known).snapshot(), candidate.number, 1e6)
    shown = "".join(f.measured + f.bound + f.detail for f in verdict.findings)
    assert hostile.is_plain(shown), shown
    assert len(shown) < 3 * hostile.SAFE_IN_A_LINE
    if known.problem is not None or known.signature is None:
        assert verdict.call in {Call.INVALID, Call.WAITS}


@given(text=hostile.texts(300))
def test_a_location_in_any_words_is_somewhere_or_nowhere_and_is_never_followed_out_of_it(
    text: str, evidence: VersionEvidence
) -> None:
    version = Version(Identity("m", 3, 0, text), Status.READY, text)
    try:
        found = evidence.of(version)
    except Transient as error:
        hostile.must_be_plain(error)
        return
    assert isinstance(found, EvidenceOf)
    assert found.artifacts is not Artifacts.PRESENT or found.problem is not None
    if found.problem is not None:
        assert hostile.is_plain(found.problem), found.problem


@given(content=BYTES)
def test_an_example_is_json_in_the_protocol_or_none(content: bytes) -> None:
    for kind in ("dataframe", "ndarray", None):
        found = model_file.example(content, kind)
        if found is not None:
            assert isinstance(json.loads(found.body), dict)


@pytest.mark.parametrize("text", hostile.DEEP_JSON)
def test_json_without_end_is_no_example_and_no_signature(text: str) -> None:
    body = {"flavors": {}, "signature": {"inputs": text}}
    assert model_file.example(text.encode(), "dataframe") is None
    try:
        found = model_file.model_file(json.dumps(body).encode())
    except model_file.Malformed:
        return
    assert found.signature is None


def test_links_out_of_the_folder_are_not_followed(folder: Path, evidence: VersionEvidence) -> None:
    secret = folder.parent / f"{folder.name}-secret"
    secret.write_text("hunter2==1\n")
    try:
        for old in folder.iterdir():
            old.unlink()
        (folder / "MLmodel").write_text("flavors: {}")
        (folder / "requirements.txt").symlink_to(secret)
        found = evidence.of(Version(Identity("m", 3, 0, "s3://x"), Status.READY, str(folder)))
    finally:
        secret.unlink()
    assert found.requirements == ()
