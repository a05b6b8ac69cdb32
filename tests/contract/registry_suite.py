"""What every registry must do for the loop; run on the fake and on each adapter."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pytest

from watcher.errors import Conflict, Terminal
from watcher.ports import Evidence, Feed, Orders, Registry
from watcher.values import Artifacts, Call, Column, Crown, Gone, Marks, Signature, Status, Version

HOSTILE_NAMES = [
    "it's",
    'say "hi"',
    "both ' and \"",
    "x' OR name != '",
    "a;b -- c",
    "per%cent_and\\slash",
    "back`tick",
    "line\nbreak",
    "ünï 😀",
    "<img src=x onerror=alert(1)>",
    "$(touch x)",
]

SIGNATURE = Signature((Column("age", "long"), Column("income", "double", required=False)), (Column(None, "double"),))


class AllPorts(Feed, Registry, Orders, Evidence, Protocol):
    """One object that is all four."""


class World(ABC):
    """One registry as the loop sees it, and the same one in the hands of people and training jobs."""

    registry: AllPorts
    dangling = True
    """Whether aliases of a deleted version stay behind."""

    @abstractmethod
    def name(self, text: str) -> str:
        """A model's name that no other test uses."""

    @abstractmethod
    def tick(self) -> None:
        """Let at least a millisecond pass."""

    @abstractmethod
    def create_model(self, name: str) -> None: ...

    @abstractmethod
    def create_version(
        self,
        name: str,
        metrics: Mapping[str, float] | None = None,
        signature: Signature | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        files: bool = True,
        pending: bool = False,
    ) -> int: ...

    @abstractmethod
    def set_alias(self, name: str, alias: str, version: int) -> None: ...

    @abstractmethod
    def delete_alias(self, name: str, alias: str) -> None: ...

    @abstractmethod
    def delete_version(self, name: str, version: int) -> None: ...

    @abstractmethod
    def delete_model(self, name: str) -> None: ...

    @abstractmethod
    def rename(self, name: str, new_name: str) -> None: ...

    @abstractmethod
    def break_crown(self, name: str) -> None: ...

    @abstractmethod
    def set_tag(self, name: str, version: int, key: str, value: str) -> None: ...

    @abstractmethod
    def log_metric(
        self, name: str, version: int, key: str, value: float, dataset: str | None = None, digest: str | None = None
    ) -> None: ...


class RegistrySuite:
    """The contract. A subclass gives the fixture `world`."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    @pytest.fixture
    def model(self, world: World) -> str:
        """A model with three versions."""
        name = world.name("churn")
        world.create_model(name)
        for _ in range(3):
            world.create_version(name, files=False)
        return name

    # Marks

    def test_a_model_that_is_not_there_does_not_exist(self, world: World) -> None:
        name = world.name("nobody")
        assert world.registry.read(name) == Marks(name, exists=False)

    def test_a_model_without_versions_exists_without_marks(self, world: World) -> None:
        name = world.name("empty")
        world.create_model(name)
        assert world.registry.read(name) == Marks(name)

    def test_one_read_shows_both_aliases_the_crown_the_hold_and_the_newest_number(
        self, world: World, model: str
    ) -> None:
        world.set_alias(model, "champion", 1)
        world.set_alias(model, "challenger", 3)
        crown = Crown(crowned=1, previous=None, floor=1, met=True, n=1)
        world.registry.write_crown(model, crown, world.registry.read(model))
        world.registry.hold(model, "ann: fraud week")
        assert world.registry.read(model) == Marks(
            model, champion=1, challenger=3, crown=crown, hold="ann: fraud week", newest=3
        )

    def test_a_deleted_version_is_gone_and_its_alias_dangles_where_the_registry_keeps_it(
        self, world: World, model: str
    ) -> None:
        world.set_alias(model, "champion", 3)
        world.delete_version(model, 3)
        seen = world.registry.read(model)
        assert (seen.champion, seen.newest) == (3 if world.dangling else None, 2)
        assert world.registry.version(model, 3) == Gone(3)

    def test_a_crown_tag_that_cannot_be_read_is_no_crown_and_says_so(self, world: World, model: str) -> None:
        world.registry.write_crown(model, Crown(crowned=1, n=1), world.registry.read(model))
        world.break_crown(model)
        seen = world.registry.read(model)
        assert seen.crown is None
        assert seen.problem is not None

    def test_a_broken_crown_tag_is_repaired_by_the_next_write(self, world: World, model: str) -> None:
        world.break_crown(model)
        world.registry.write_crown(model, Crown(crowned=1, n=1), world.registry.read(model))
        seen = world.registry.read(model)
        assert (seen.crown, seen.problem) == (Crown(crowned=1, n=1), None)

    # Crown

    def test_crowning_moves_the_alias_and_writes_the_tag(self, world: World, model: str) -> None:
        world.set_alias(model, "champion", 1)
        world.set_alias(model, "challenger", 2)
        crown = Crown(crowned=2, previous=1, floor=1, met=True, n=1)
        world.registry.crown(model, 2, crown, world.registry.read(model))
        seen = world.registry.read(model)
        assert (seen.champion, seen.challenger, seen.crown) == (2, 2, crown)

    def test_crowning_twice_is_success(self, world: World, model: str) -> None:
        expect = world.registry.read(model)
        crown = Crown(crowned=2, n=1)
        world.registry.crown(model, 2, crown, expect)
        world.registry.crown(model, 2, crown, expect)
        assert world.registry.read(model).crown == crown

    def test_crowning_completes_what_a_crash_after_the_alias_left(self, world: World, model: str) -> None:
        world.set_alias(model, "champion", 1)
        expect = world.registry.read(model)
        world.set_alias(model, "champion", 2)
        world.registry.crown(model, 2, Crown(crowned=2, n=1), expect)
        seen = world.registry.read(model)
        assert (seen.champion, seen.crown) == (2, Crown(crowned=2, n=1))

    @pytest.mark.parametrize("moved", ["champion", "challenger"])
    def test_crowning_conflicts_with_a_mark_that_a_person_moved(self, world: World, model: str, moved: str) -> None:
        world.set_alias(model, "champion", 1)
        world.set_alias(model, "challenger", 2)
        expect = world.registry.read(model)
        world.set_alias(model, moved, 3)
        before = world.registry.read(model)
        with pytest.raises(Conflict):
            world.registry.crown(model, 2, Crown(crowned=2, n=1), expect)
        assert world.registry.read(model) == before

    def test_crowning_conflicts_with_a_crown_written_meanwhile(self, world: World, model: str) -> None:
        expect = world.registry.read(model)
        world.registry.write_crown(model, Crown(crowned=3, n=1), expect)
        with pytest.raises(Conflict):
            world.registry.crown(model, 2, Crown(crowned=2, n=1), expect)
        assert world.registry.read(model).champion is None

    def test_crowning_a_deleted_version_conflicts(self, world: World, model: str) -> None:
        expect = world.registry.read(model)
        world.delete_version(model, 2)
        with pytest.raises(Conflict):
            world.registry.crown(model, 2, Crown(crowned=2, n=1), expect)
        assert world.registry.read(model).crown is None

    def test_writing_a_mark_of_a_deleted_model_conflicts(self, world: World, model: str) -> None:
        expect = world.registry.read(model)
        world.delete_model(model)
        writes: list[Callable[[], None]] = [
            lambda: world.registry.crown(model, 2, Crown(crowned=2, n=1), expect),
            lambda: world.registry.challenge(model, 2, expect),
            lambda: world.registry.write_crown(model, Crown(n=1), expect),
            lambda: world.registry.tag(model, 2, Call.WINS, None),
        ]
        for write in writes:
            with pytest.raises(Conflict):
                write()
        assert not world.registry.read(model).exists

    def test_the_crown_tag_alone_conflicts_only_with_another_n(self, world: World, model: str) -> None:
        expect = world.registry.read(model)
        world.set_alias(model, "champion", 1)
        world.registry.write_crown(model, Crown(crowned=1, n=1), expect)
        world.registry.write_crown(model, Crown(crowned=1, n=1), expect)
        with pytest.raises(Conflict):
            world.registry.write_crown(model, Crown(crowned=2, n=1), expect)
        assert world.registry.read(model).crown == Crown(crowned=1, n=1)

    # Challenger

    def test_the_challenger_is_marked_and_unmarked_and_repeats_are_success(self, world: World, model: str) -> None:
        none = world.registry.read(model)
        world.registry.challenge(model, 2, none)
        world.registry.challenge(model, 2, none)
        marked = world.registry.read(model)
        assert marked.challenger == 2
        world.registry.challenge(model, None, marked)
        world.registry.challenge(model, None, marked)
        assert world.registry.read(model).challenger is None

    @pytest.mark.parametrize("version", [3, None])
    def test_the_challenger_conflicts_with_a_champion_that_a_person_moved(
        self, world: World, model: str, version: int | None
    ) -> None:
        world.set_alias(model, "challenger", 2)
        expect = world.registry.read(model)
        world.set_alias(model, "champion", 1)
        with pytest.raises(Conflict):
            world.registry.challenge(model, version, expect)
        assert world.registry.read(model).challenger == 2

    def test_a_challenger_that_a_person_removed_is_not_marked_again(self, world: World, model: str) -> None:
        world.set_alias(model, "challenger", 2)
        expect = world.registry.read(model)
        world.delete_alias(model, "challenger")
        with pytest.raises(Conflict):
            world.registry.challenge(model, 3, expect)

    # Versions

    def test_a_version_is_itself_by_name_number_time_and_source(self, world: World, model: str) -> None:
        first = world.registry.version(model, 1)
        assert isinstance(first, Version)
        assert (first.identity.name, first.identity.version) == (model, 1)
        world.tick()
        world.delete_model(model)
        world.create_model(model)
        assert world.create_version(model, files=False) == 1
        again = world.registry.version(model, 1)
        assert isinstance(again, Version)
        assert again.identity != first.identity
        assert again.identity.key != first.identity.key

    def test_the_number_of_a_deleted_version_is_not_used_again(self, world: World, model: str) -> None:
        world.delete_version(model, 3)
        assert world.create_version(model, files=False) == 4

    @pytest.mark.parametrize("number", [0, -1, 99, 2**31, 10**30])
    def test_a_version_that_never_was_is_gone(self, world: World, model: str, number: int) -> None:
        assert world.registry.version(model, number) == Gone(number)

    def test_a_version_of_a_model_that_is_not_there_is_gone(self, world: World) -> None:
        assert world.registry.version(world.name("nobody"), 1) == Gone(1)

    def test_versions_come_highest_first_by_number_not_by_text(self, world: World, model: str) -> None:
        for _ in range(8):
            world.create_version(model, files=False)
        assert [v.number for v in world.registry.versions(model, above=8)] == [11, 10, 9]

    def test_versions_are_as_many_as_asked_for(self, world: World, model: str) -> None:
        assert [v.number for v in world.registry.versions(model, above=0, most=2)] == [3, 2]

    def test_a_version_to_be_judged_again_is_listed_whatever_its_number(self, world: World, model: str) -> None:
        world.registry.rejudge(model, 1)
        found = world.registry.versions(model, above=2)
        assert [(v.number, v.rejudge) for v in found] == [(3, False), (1, True)]

    def test_what_a_listing_brings_along_is_as_a_direct_get_gives_it(self, world: World, model: str) -> None:
        world.registry.tag(model, 2, Call.LOSES, None)
        world.create_version(model, files=False)
        found = world.registry.versions(model, above=3, also=(1, 2, 9))
        assert found[0].number == 4
        assert all(v == world.registry.version(model, v.number) for v in found)
        assert {v.number for v in found} in ({4}, {1, 2, 4})

    def test_what_a_listing_brings_along_takes_no_place_of_what_is_new(self, world: World, model: str) -> None:
        found = world.registry.versions(model, above=1, most=1, also=(1,))
        assert [v.number for v in found if v.number > 1] == [3]

    def test_a_deleted_version_is_not_listed(self, world: World, model: str) -> None:
        world.delete_version(model, 2)
        assert [v.number for v in world.registry.versions(model, above=0)] == [3, 1]

    def test_versions_of_a_model_that_is_not_there_are_none(self, world: World) -> None:
        assert list(world.registry.versions(world.name("nobody"), above=0)) == []

    def test_a_listed_version_is_the_version_of_a_direct_get(self, world: World, model: str) -> None:
        world.create_version(model, tags={"team": "fraud"})
        assert world.registry.versions(model, above=3)[0] == world.registry.version(model, 4)

    def test_a_version_that_is_still_uploading_is_pending(self, world: World, model: str) -> None:
        number = world.create_version(model, pending=True)
        found = world.registry.version(model, number)
        assert isinstance(found, Version)
        assert found.status is Status.PENDING

    # Tags

    @pytest.mark.parametrize("call", list(Call))
    def test_a_verdict_is_written_as_a_tag_and_read_back(self, world: World, model: str, call: Call) -> None:
        world.registry.tag(model, 2, call, None)
        world.registry.tag(model, 2, call, None)
        found = world.registry.version(model, 2)
        assert isinstance(found, Version)
        assert found.call is call
        assert found.tags["watcher.verdict"] == call.value

    def test_removing_a_verdict_removes_the_wish_to_judge_again(self, world: World, model: str) -> None:
        world.registry.tag(model, 2, Call.LOSES, None)
        world.registry.rejudge(model, 2)
        world.registry.tag(model, 2, None, Call.LOSES)
        world.registry.tag(model, 2, None, Call.LOSES)
        found = world.registry.version(model, 2)
        assert isinstance(found, Version)
        assert (found.call, found.rejudge) == (None, False)

    @pytest.mark.parametrize("text", ["maybe", "WINS", "wins ", "<b>wins</b>"])
    def test_a_verdict_in_words_of_somebody_else_is_none(self, world: World, model: str, text: str) -> None:
        world.set_tag(model, 2, "watcher.verdict", text)
        found = world.registry.version(model, 2)
        assert isinstance(found, Version)
        assert found.call is None

    def test_tagging_a_deleted_version_conflicts(self, world: World, model: str) -> None:
        world.delete_version(model, 2)
        for call in (Call.WINS, None):
            with pytest.raises(Conflict):
                world.registry.tag(model, 2, call, None)

    def test_a_verdict_is_not_written_over_one_that_came_in_between(self, world: World, model: str) -> None:
        world.registry.tag(model, 2, Call.ROLLED_BACK, None)
        for call, expect in ((Call.WINS, None), (None, Call.WINS), (Call.DISPLACED, Call.WINS)):
            with pytest.raises(Conflict, match="rolled_back"):
                world.registry.tag(model, 2, call, expect)
        assert _version(world, model, 2).call is Call.ROLLED_BACK
        world.registry.tag(model, 2, Call.DISPLACED, Call.ROLLED_BACK)
        assert _version(world, model, 2).call is Call.DISPLACED

    # Orders

    def test_a_person_moves_the_champion(self, world: World, model: str) -> None:
        world.registry.set_champion(model, 2)
        world.registry.set_champion(model, 1)
        assert world.registry.read(model).champion == 1

    @pytest.mark.parametrize("number", [99, 0, 2**40])
    def test_an_order_to_a_version_that_is_not_there_is_refused(self, world: World, model: str, number: int) -> None:
        orders: list[Callable[[], None]] = [
            lambda: world.registry.set_champion(model, number),
            lambda: world.registry.rejudge(model, number),
            lambda: world.registry.approve(model, number, "approved_by", "ann"),
        ]
        for order in orders:
            with pytest.raises(Terminal):
                order()

    def test_an_order_about_a_model_that_is_not_there_is_refused(self, world: World) -> None:
        name = world.name("nobody")
        orders: list[Callable[[], None]] = [
            lambda: world.registry.hold(name, "ann"),
            lambda: world.registry.hold(name, None),
            lambda: world.registry.set_champion(name, 1),
        ]
        for order in orders:
            with pytest.raises(Terminal):
                order()

    def test_a_hold_lasts_until_it_is_released(self, world: World, model: str) -> None:
        world.registry.hold(model, "ann")
        world.registry.hold(model, "bob")
        assert world.registry.read(model).hold == "bob"
        world.registry.hold(model, None)
        world.registry.hold(model, None)
        assert world.registry.read(model).hold is None

    def test_an_approval_is_a_tag_with_who_gave_it(self, world: World, model: str) -> None:
        world.registry.approve(model, 2, "approved_by", "ann")
        found = world.registry.version(model, 2)
        assert isinstance(found, Version)
        assert found.tags["approved_by"] == "ann"

    # Feed

    def test_a_new_version_shows_in_the_changes_newest_first(self, world: World) -> None:
        old, new = world.name("old"), world.name("new")
        world.create_model(old)
        world.tick()
        world.create_model(new)
        world.tick()
        start = _updated(world, new)
        world.create_version(old, files=False)
        ours = [c.name for c in world.registry.changed(start) if c.name in {old, new}]
        assert ours == [old, new]

    def test_a_change_at_the_very_moment_asked_for_is_shown(self, world: World, model: str) -> None:
        at = _updated(world, model)
        assert model in {c.name for c in world.registry.changed(at)}
        assert model not in {c.name for c in world.registry.changed(at + 1)}

    def test_deleting_a_version_and_renaming_touch_the_model(self, world: World, model: str) -> None:
        at = _updated(world, model)
        world.tick()
        world.delete_version(model, 3)
        deleted = _updated(world, model)
        assert deleted > at
        world.tick()
        other = world.name("renamed")
        world.rename(model, other)
        assert _updated(world, other) > deleted

    def test_tags_aliases_and_metrics_touch_nothing(self, world: World, model: str) -> None:
        number = world.create_version(model, {"auc": 0.9})
        at = _updated(world, model)
        world.tick()
        world.set_alias(model, "champion", 1)
        world.registry.write_crown(model, Crown(n=1), world.registry.read(model))
        world.registry.hold(model, "ann")
        world.registry.tag(model, 1, Call.LOSES, None)
        world.log_metric(model, number, "auc", 0.91)
        world.delete_alias(model, "champion")
        assert _updated(world, model) == at

    def test_marks_of_many_are_those_of_one(self, world: World, model: str) -> None:
        other = world.name("other")
        world.create_model(other)
        world.set_alias(model, "champion", 2)
        found = world.registry.marks([model, other, model])
        assert found == {model: world.registry.read(model), other: world.registry.read(other)}

    def test_marks_of_many_never_invent_a_model(self, world: World, model: str) -> None:
        ghost = world.name("ghost")
        found = world.registry.marks([model, ghost])
        assert found[model].exists
        assert ghost not in found or not found[ghost].exists

    def test_all_models_are_named(self, world: World, model: str) -> None:
        other = world.name("other")
        world.create_model(other)
        found = world.registry.names()
        assert {model, other} <= set(found)
        assert len(found) == len(set(found))

    def test_a_renamed_model_is_gone_under_its_old_name_and_whole_under_its_new_one(
        self, world: World, model: str
    ) -> None:
        world.set_alias(model, "champion", 2)
        crown = Crown(crowned=2, n=1)
        world.registry.write_crown(model, crown, world.registry.read(model))
        new = world.name("renamed")
        world.rename(model, new)
        assert world.registry.read(model) == Marks(model, exists=False)
        assert world.registry.version(model, 2) == Gone(2)
        assert world.registry.read(new) == Marks(new, champion=2, crown=crown, newest=3)

    # Names

    @pytest.mark.parametrize("text", HOSTILE_NAMES)
    def test_a_hostile_name_is_a_name_like_any_other(self, world: World, text: str) -> None:
        name = world.name(text)
        for there in (name, world.name("bystander")):
            world.create_model(there)
            world.create_version(there, files=False)
            world.create_version(there, files=False)
        world.registry.rejudge(name, 1)
        world.registry.crown(name, 2, Crown(crowned=2, n=1), world.registry.read(name))
        world.registry.tag(name, 2, Call.WINS, None)
        assert world.registry.read(name).champion == 2
        assert [(v.identity.name, v.number) for v in world.registry.versions(name, above=1)] == [(name, 2), (name, 1)]
        assert name in world.registry.names()
        assert name in {c.name for c in world.registry.changed(0)}

    # Evidence

    def test_metrics_signature_and_environment_are_read(self, world: World) -> None:
        name = world.name("scored")
        found = _evidence(world, name, world.create_version(name, {"auc": 0.9}, SIGNATURE))
        assert found.artifacts is Artifacts.PRESENT
        assert found.problem is None
        assert found.signature == SIGNATURE
        assert {k: (m.value, m.problem) for k, m in found.metrics.items()} == {"auc": (0.9, None)}

    def test_the_last_metric_logged_counts_with_its_data_set(self, world: World) -> None:
        name = world.name("scored")
        number = world.create_version(name, {"auc": 0.9})
        world.tick()
        world.log_metric(name, number, "auc", 0.8, "holdout", "abc12345")
        metric = _evidence(world, name, number).metrics["auc"]
        assert (metric.value, metric.dataset, metric.digest) == (0.8, "holdout", "abc12345")

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_metric_that_is_not_finite_has_a_problem(self, world: World, value: float) -> None:
        name = world.name("scored")
        number = world.create_version(name, {"log_loss": value, "auc": 0.9})
        found = _evidence(world, name, number).metrics
        assert found["log_loss"].problem is not None
        assert found["auc"].problem is None

    def test_zero_is_a_number_like_any_other(self, world: World) -> None:
        name = world.name("scored")
        metric = _evidence(world, name, world.create_version(name, {"errors": 0.0})).metrics["errors"]
        assert (metric.value, metric.problem) == (0.0, None)

    def test_artifacts_that_the_storage_does_not_have_are_absent(self, world: World) -> None:
        name = world.name("hollow")
        world.create_version(name)
        found = _evidence(world, name, world.create_version(name, {"auc": 0.9}, files=False))
        assert found.artifacts is Artifacts.ABSENT
        assert found.metrics["auc"].value == 0.9

    def test_evidence_belongs_to_the_version_that_was_asked_for(self, world: World) -> None:
        name = world.name("scored")
        first = world.create_version(name, {"auc": 0.7})
        second = world.create_version(name, {"auc": 0.8})
        assert _evidence(world, name, first).metrics["auc"].value == 0.7
        assert _evidence(world, name, second).metrics["auc"].value == 0.8
        assert _evidence(world, name, second).identity == _version(world, name, second).identity


def _version(world: World, name: str, number: int) -> Version:
    found = world.registry.version(name, number)
    assert isinstance(found, Version)
    return found


def _evidence(world: World, name: str, number: int) -> Any:
    version = _version(world, name, number)
    found = world.registry.of(version)
    assert world.registry.example(version) == found.example
    return found


def _updated(world: World, name: str) -> int:
    return next(c.updated_ms for c in world.registry.changed(0) if c.name == name)
