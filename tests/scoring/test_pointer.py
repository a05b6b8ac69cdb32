"""What a pointer says is read as it is meant, or refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployers.pointer import PointerDeployer
from scoring import environment, pointer, types
from scoring.errors import POINTER, USAGE, Stop
from scoring.report import Report
from watcher.naming import release_name
from watcher.values import Identity, Kind, Release, Status, Target, Version

WHOLE: dict[str, Any] = {
    "format": 1,
    "owner": "tests",
    "model": "churn",
    "token": "t",
    "live": "churn-v1",
    "releases": {
        "churn-v1": {"version": 1, "key": "1-a", "uri": "/models/1", "trial": None},
        "churn-v2": {"version": 2, "key": "2-a", "uri": "/models/2", "trial": None},
    },
}
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def test_a_pointer_names_what_is_live_and_what_is_staged() -> None:
    found = pointer.parse(WHOLE, "here")
    assert found.live is not None
    assert (found.live.version, found.live.uri, found.token) == (1, "/models/1", "t")
    assert [one.version for one in found.staged] == [2]
    assert found.named("churn-v2") == found.staged[0]
    assert pointer.parse({**WHOLE, "live": None}, "here").live is None


@given(_json | st.dictionaries(st.sampled_from([*WHOLE]), _json, max_size=3).map(lambda change: {**WHOLE, **change}))
def test_whatever_a_pointer_holds_it_is_one_or_a_sentence(told: Any) -> None:
    found: pointer.Pointer | Stop
    try:
        found = pointer.parse(told, "here")
    except Stop as error:
        found = error
    if isinstance(found, Stop):
        assert found.kind == POINTER
        assert str(found).startswith("here is no release pointer")
    else:
        assert isinstance(found.model, str)
        assert found.live is None or type(found.live.version) is int


def test_what_the_deployer_writes_a_job_reads(tmp_path: Any) -> None:
    settings = {"pointer": str(tmp_path / "churn.json"), "trial": "none"}
    target = Target("live", "stream", Kind.STREAM, "churn", "tests", "stream:p", settings)
    version = Version(Identity("churn", 7, 1, "s"), Status.READY, "/models/7")
    release = Release(target, release_name(version.identity), version)
    deployer = PointerDeployer()
    deployer.launch(release)
    staged = pointer.read(settings["pointer"])
    assert staged is not None
    assert (staged.live, [one.uri for one in staged.staged]) == (None, ["/models/7"])
    seen = deployer.observe(target)
    assert [one.state for one in seen.releases] == ["ready"]
    deployer.shift(target, {release.name: 100}, seen.token)
    found = pointer.read(settings["pointer"])
    assert found is not None
    assert found.live == pointer.Release(release.name, "churn", 7, version.identity.key, "/models/7")


@pytest.mark.parametrize(
    ("wanted", "there", "fits"),
    [
        ("double", "int64", True),
        ("double", "float", True),
        ("double", "decimal128", True),
        ("double", "string", False),
        ("long", "int32", True),
        ("long", "uint32", True),
        ("long", "double", False),
        ("integer", "int64", False),
        ("integer", "uint32", False),
        ("float", "double", False),
        ("float", "int32", False),
        ("float", "int16", True),
        ("boolean", "bool", True),
        ("boolean", "int8", False),
        ("string", "dictionary", True),
        ("datetime", "date32", True),
        ("datetime", "string", False),
        ("binary", "large_binary", True),
    ],
)
def test_a_column_fits_where_no_value_could_be_cut(wanted: str, there: str, fits: bool) -> None:
    import pyarrow as pa

    special = {
        "decimal128": pa.decimal128(10, 2),
        "dictionary": pa.dictionary(pa.int8(), pa.string()),
        "bool": pa.bool_(),
        "double": pa.float64(),
        "float": pa.float32(),
    }
    assert types.takes(wanted, special.get(there) or getattr(pa, there)()) is fits


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), ""),
        (("scikit-learn==1.7.2", "numpy"), ""),
        (("scikit-learn==1.6.0",), "there is 1.7.2"),
        (("torch",), "not installed"),
        (("nowhere; python_version < '3'",), ""),
        (("git+https://example.com/x",), "no requirement that can be checked"),
    ],
)
def test_requirements_are_held_against_what_is_where_the_job_runs(lines: tuple[str, ...], words: str) -> None:
    there = {"python": "3.11.7", "packages": {"scikit_learn": "1.7.2", "numpy": "2.3.0"}}
    found = environment.unmet(lines, there)
    assert (words in found) if words else not found


def test_a_version_that_is_pinned_by_its_uri_is_a_pointer_that_never_moves() -> None:
    found = pointer.read("models:/ml.risk.churn/12")
    assert found is not None
    assert found.live == pointer.Release("v12", "ml.risk.churn", 12, "", "models:/ml.risk.churn/12")
    assert pointer.read("models:/ml.risk.churn/12") == found
    assert pointer.read("") is None


@pytest.mark.parametrize(
    "uri", ["models:/churn@champion", "models:/churn/Production", "models:/m-123", "models:/churn/"]
)
def test_what_may_mean_another_version_tomorrow_is_no_pointer(uri: str) -> None:
    with pytest.raises(Stop, match="models:/NAME/VERSION") as stopped:
        pointer.read(uri)
    assert stopped.value.kind == USAGE


def test_a_job_that_was_told_its_version_reports_nowhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = Report("models:/churn/12", "batch", "spark")
    assert report.before() == {}
    report.start()
    report.end()
    assert list(tmp_path.iterdir()) == []
