"""In MLflow's own store: whatever people write is read as text about the thing it was written about, and no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.hostile import strategies as hostile
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry
from watcher.errors import Conflict, Terminal, Transient, WatcherError
from watcher.values import Call, Crown, Gone, Identity, Marks, Version

pytestmark = pytest.mark.slow
FEW = settings(
    max_examples=max(settings().max_examples // 10, 1),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make an example small takes minutes on a database
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowWorld]:
    folder = tmp_path_factory.mktemp("registry")
    uri = sqlite_registry(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        made = MlflowWorld(uri, folder)
        made.create_version("bystander", {"auc": 0.6}, files=False, tags={"by": "ann"})
        made.create_version("bystander", {"auc": 0.7}, files=False)
        made.set_alias("bystander", "champion", 1)
        yield made


def bystander(world: MlflowWorld) -> object:
    """All that there is of a model that nobody touches."""
    versions = world.registry.versions("bystander", 0)
    return world.registry.read("bystander"), versions, [world.registry.of(version) for version in versions]


def written(world: MlflowWorld, name: str) -> bool:
    """Whether MLflow itself takes the name for a new model."""
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException):
        world.delete_model(name)
    try:
        world.create_model(name)
    except MlflowException:
        return False
    return True


@FEW
@given(
    name=hostile.names(),
    tag=hostile.storable(100),
    value=hostile.storable(),
    text=hostile.storable(4_000),
    metric=hostile.storable(200),
    number=hostile.numbers(),
)
def test_what_is_written_about_one_model_is_read_about_that_model(
    *, name: str, tag: str, value: str, text: str, metric: str, number: float, world: MlflowWorld
) -> None:
    from mlflow.exceptions import MlflowException

    before = bystander(world)
    if name == "bystander" or not written(world, name):
        return
    world.client.update_registered_model(name, text)
    first = world.create_version(name, {"auc": 0.8}, files=False)
    second = world.create_version(name, {"auc": 0.9}, files=False)
    with contextlib.suppress(MlflowException):
        world.set_tag(name, second, tag, value)
        world.client.set_registered_model_tag(name, tag, value)
    with contextlib.suppress(MlflowException):
        world.set_alias(name, text[:200], first)
    with contextlib.suppress(MlflowException):
        world.log_metric(name, second, metric, number, text[:400], value[:30])
    registry = world.registry
    registry.hold(name, text)
    registry.crown(name, first, Crown(crowned=first, n=1), registry.read(name))
    registry.tag(name, second, Call.LOSES, None)
    registry.rejudge(name, first)
    marks = registry.read(name)
    assert (marks.champion, marks.challenger, marks.newest) == (first, None, second)
    assert marks.hold is not None
    assert hostile.is_plain(marks.hold)
    found = registry.versions(name, first)
    assert [(v.identity.name, v.number, v.call, v.rejudge) for v in found] == [
        (name, second, Call.LOSES, False),
        (name, first, None, True),
    ]
    assert registry.version(name, second) == found[0]
    evidence = registry.of(found[0])
    assert evidence.metrics["auc"].value == 0.9 or metric == "auc"
    assert name in registry.names()
    assert registry.marks([name, "bystander"]) == {name: marks, "bystander": before[0]}  # type: ignore[index]
    assert bystander(world) == before


@FEW
@given(name=hostile.texts(300), number=st.integers(-(2**70), 2**70), who=hostile.texts())
def test_a_question_about_any_name_is_answered_in_plain_words(
    name: str, number: int, who: str, world: MlflowWorld
) -> None:
    before = bystander(world)
    registry = world.registry
    asked = (
        lambda: registry.read(name),
        lambda: registry.version(name, number),
        lambda: registry.versions(name, number),
        lambda: registry.set_champion(name, number),
        lambda: registry.rejudge(name, number),
        lambda: registry.approve(name, number, who, who),
        lambda: registry.challenge(name, number, Marks(name)),
        lambda: registry.tag(name, number, Call.WINS, None),
        lambda: registry.hold(name, who),
    )
    for ask in asked:
        try:
            answer = ask()
        except (Terminal, Conflict) as error:
            hostile.must_be_plain(error)
        except Transient as error:
            raise AssertionError(f"it would be asked for ever: {error}") from error
        else:
            assert answer in (Marks(name, exists=False), Gone(number), []), answer
    assert bystander(world) == before


@FEW
@given(source=hostile.storable(300), run=hostile.storable(60), tag=hostile.texts(60))
def test_a_version_of_any_source_is_looked_at_and_harms_no_other(
    source: str, run: str, tag: str, world: MlflowWorld
) -> None:
    before = bystander(world)
    (version,) = world.registry.versions("bystander", 1)
    for uri in (source, f"models:/{source}", f"runs:/{source}", f"file:///{source}", f"http://{source}"):
        identity = Identity("bystander", 2, version.identity.created_ms, uri)
        strange = replace(version, identity=identity, artifact_uri=uri, run_id=run, tags={tag: tag})
        assert isinstance(strange, Version)
        try:
            found = world.registry.of(strange)
        except WatcherError as error:
            hostile.must_be_plain(error)
            continue
        assert found.problem is None or hostile.is_plain(found.problem)
        assert found.metrics == {} or uri == version.identity.source
    assert bystander(world) == before
