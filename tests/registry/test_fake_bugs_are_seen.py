"""Each of these bugs in the registry in memory is found by the histories of a normal run: they can see."""

# ruff: noqa: ARG001, ARG005, SLF001  what is put in place of a function takes what it took; the rules lie inside

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.registry.fuzz import difference, slice_of_every_run
from watcher.errors import Conflict, Terminal
from watcher.fakes import models, registry
from watcher.fakes.models import Model, World
from watcher.fakes.registry import FakeRegistry, Refused
from watcher.values import NOTHING, Call, Gone, Marks, Metric, Status, Version

Bug = Callable[[pytest.MonkeyPatch], None]


def numbers_of_deleted_versions_are_used_again(patch: pytest.MonkeyPatch) -> None:
    deleted = Model.without_version
    patch.setattr(Model, "without_version", lambda *a, **k: _lowered(deleted(*a, **k)))


def _lowered(model: Model) -> Model:
    return replace(model, highest=max(model.versions, default=0))


def the_aliases_of_a_deleted_version_go_with_it(patch: pytest.MonkeyPatch) -> None:
    deleted = Model.without_version
    patch.setattr(Model, "without_version", lambda self, n, at, *, aliases: deleted(self, n, at, aliases=not aliases))


def deleting_a_version_does_not_touch_the_model(patch: pytest.MonkeyPatch) -> None:
    deleted = Model.without_version
    patch.setattr(
        Model, "without_version", lambda self, n, at, *, aliases: deleted(self, n, self.updated_ms, aliases=aliases)
    )


def a_new_version_does_not_touch_the_model(patch: pytest.MonkeyPatch) -> None:
    added = Model.with_version
    patch.setattr(Model, "with_version", lambda self, version, updated_ms=None: added(self, version))


def a_tag_touches_the_model(patch: pytest.MonkeyPatch) -> None:
    tagged = FakeRegistry._tag_version

    def touching(self: FakeRegistry, name: str, *rest: Any) -> None:
        tagged(self, name, *rest)
        self._become(self._world.with_model(replace(self._model(name), updated_ms=self._now_ms())))

    patch.setattr(FakeRegistry, "_tag_version", touching)


def an_alias_touches_the_model(patch: pytest.MonkeyPatch) -> None:
    mark = FakeRegistry._mark

    def touching(self: FakeRegistry, name: str, **marks: Any) -> None:
        mark(self, name, **marks)
        self._become(self._world.with_model(replace(self._model(name), updated_ms=self._now_ms())))

    patch.setattr(FakeRegistry, "_mark", touching)


def a_rename_loses_the_aliases(patch: pytest.MonkeyPatch) -> None:
    renamed = World.renamed

    def forgetful(self: World, model: Model, *rest: Any) -> World:
        marks = replace(model.marks, champion=None, challenger=None)
        return renamed(self, replace(model, marks=marks), *rest)

    patch.setattr(World, "renamed", forgetful)


def a_rename_does_not_touch_the_model(patch: pytest.MonkeyPatch) -> None:
    renamed = World.renamed
    patch.setattr(World, "renamed", lambda self, model, name, now_ms: renamed(self, model, name, model.updated_ms))


def a_rename_loses_the_evidence(patch: pytest.MonkeyPatch) -> None:
    renamed = World.renamed
    patch.setattr(World, "renamed", lambda self, model, *rest: _blind(renamed(self, model, *rest)))


def _blind(world: World) -> World:
    return replace(world, evidence=NOTHING)


def a_rename_replaces_a_model_of_that_name(patch: pytest.MonkeyPatch) -> None:
    rename = FakeRegistry.rename

    def careless(self: FakeRegistry, name: str, new_name: str) -> None:
        if name != new_name and name in self._world.models and new_name in self._world.models:
            self.delete_model(new_name)
        rename(self, name, new_name)

    patch.setattr(FakeRegistry, "rename", careless)


def an_alias_may_be_called_latest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "_RESERVED", re.compile("[vV][0-9]+$"))


def an_alias_may_be_called_like_a_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "_RESERVED", re.compile("(?i:latest)$"))


def an_alias_may_be_as_long_as_one_likes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "_LONGEST_ALIAS", 256)


def an_alias_may_point_nowhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeRegistry, "set_alias", lambda self, name, alias, version: self._alias(name, alias, version))


def removing_an_alias_that_is_not_there_is_refused(patch: pytest.MonkeyPatch) -> None:
    delete = FakeRegistry.delete_alias

    def strict(self: FakeRegistry, name: str, alias: str) -> None:
        delete_is_needed = getattr(self._model(name).marks, alias, None) is not None
        if alias in {"champion", "challenger"} and not delete_is_needed:
            raise Refused("there is no such alias", "RESOURCE_DOES_NOT_EXIST")
        delete(self, name, alias)

    patch.setattr(FakeRegistry, "delete_alias", strict)


def a_model_created_again_has_its_old_marks(patch: pytest.MonkeyPatch) -> None:
    gone: dict[str, Marks] = {}
    delete, create = FakeRegistry.delete_model, FakeRegistry.create_model

    def remember(self: FakeRegistry, name: str) -> None:
        before = self._world.models.get(name)
        delete(self, name)
        if before is not None:
            gone[name] = before.marks

    def recall(self: FakeRegistry, name: str) -> None:
        create(self, name)
        if name in gone:
            self._mark(name, crown=gone[name].crown, hold=gone[name].hold)

    patch.setattr(FakeRegistry, "delete_model", remember)
    patch.setattr(FakeRegistry, "create_model", recall)


def creating_a_model_that_is_there_says_that_it_is_missing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "_THERE", "RESOURCE_DOES_NOT_EXIST")


def a_model_may_have_any_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "_can_be_model", lambda name: True)


def a_tag_may_have_any_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "_TAG", re.compile("(?s).*"))


def the_number_of_the_crown_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "_n", lambda marks: 0)


def a_challenge_does_not_compare_the_champion(patch: pytest.MonkeyPatch) -> None:
    challenge = FakeRegistry.challenge

    def careless(self: FakeRegistry, name: str, version: int | None, expect: Marks) -> None:
        now = self._world.models.get(name)
        challenge(self, name, version, replace(expect, champion=now.marks.champion) if now else expect)

    patch.setattr(FakeRegistry, "challenge", careless)


def a_crowning_does_not_compare_the_challenger(patch: pytest.MonkeyPatch) -> None:
    crown = FakeRegistry.crown

    def careless(self: FakeRegistry, name: str, version: int, written: Any, expect: Marks) -> None:
        now = self._world.models.get(name)
        crown(self, name, version, written, replace(expect, challenger=now.marks.challenger) if now else expect)

    patch.setattr(FakeRegistry, "crown", careless)


def a_version_that_is_gone_may_be_crowned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeRegistry, "_still", lambda self, name, version: None)


def a_write_to_a_model_that_is_gone_is_refused_for_good(patch: pytest.MonkeyPatch) -> None:
    compared = FakeRegistry._compared

    def harsh(self: FakeRegistry, name: str) -> Marks:
        try:
            return compared(self, name)
        except Conflict as conflict:
            raise Terminal(str(conflict)) from None

    patch.setattr(FakeRegistry, "_compared", harsh)


def taking_a_verdict_away_leaves_the_wish_for_another(patch: pytest.MonkeyPatch) -> None:
    tagged = FakeRegistry._tag_version

    def half(self: FakeRegistry, name: str, version: int, key: str, value: str | None) -> None:
        if (key, value) != ("watcher.rejudge", None):
            tagged(self, name, version, key, value)

    patch.setattr(FakeRegistry, "_tag_version", half)


def a_version_to_be_judged_again_is_not_listed_below_the_bound(patch: pytest.MonkeyPatch) -> None:
    listed = FakeRegistry.versions
    patch.setattr(
        FakeRegistry, "versions", lambda self, name, above, most=200, also=(): [
            v for v in listed(self, name, above, most, also) if v.number > above
        ],
    )  # fmt: skip


def a_listing_includes_the_bound(patch: pytest.MonkeyPatch) -> None:
    listed = FakeRegistry.versions
    patch.setattr(FakeRegistry, "versions", lambda self, name, above, *more: listed(self, name, above - 1, *more))


def a_listing_brings_along_what_nobody_named(patch: pytest.MonkeyPatch) -> None:
    listed = FakeRegistry.versions
    patch.setattr(
        FakeRegistry,
        "versions",
        lambda self, name, above, most=200, also=(): listed(self, name, above, most, also and range(99)),
    )


def a_listing_gives_the_oldest_first(patch: pytest.MonkeyPatch) -> None:
    listed = FakeRegistry.versions
    patch.setattr(FakeRegistry, "versions", lambda self, *rest: listed(self, *rest)[::-1])


def a_listing_is_not_cut(patch: pytest.MonkeyPatch) -> None:
    listed = FakeRegistry.versions
    patch.setattr(
        FakeRegistry, "versions", lambda self, name, above, most=200, also=(): listed(self, name, above, 200, also)
    )


def changes_of_the_very_moment_are_not_told(patch: pytest.MonkeyPatch) -> None:
    changed = FakeRegistry.changed
    patch.setattr(FakeRegistry, "changed", lambda self, since_ms: changed(self, since_ms + 1))


def the_newest_version_may_be_a_deleted_one(patch: pytest.MonkeyPatch) -> None:
    deleted = Model.without_version

    def forgetful(self: Model, *rest: Any, **more: Any) -> Model:
        found = deleted(self, *rest, **more)
        return replace(found, marks=replace(found.marks, newest=self.marks.newest))

    patch.setattr(Model, "without_version", forgetful)


def a_deleted_version_is_still_found(patch: pytest.MonkeyPatch) -> None:
    version = FakeRegistry.version
    seen: dict[tuple[str, int], Version] = {}

    def remembering(self: FakeRegistry, name: str, number: int) -> Version | Gone:
        found = version(self, name, number)
        if isinstance(found, Version):
            seen[name, number] = found
        return seen.get((name, number), found)

    patch.setattr(FakeRegistry, "version", remembering)


def a_crown_that_cannot_be_read_counts_as_none(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeRegistry, "break_crown", lambda self, name: self.set_crown(name, None))


def a_crown_written_over_one_that_cannot_be_read_stays_unreadable(patch: pytest.MonkeyPatch) -> None:
    mark = FakeRegistry._mark

    def stubborn(self: FakeRegistry, name: str, **marks: Any) -> None:
        mark(self, name, **(marks if marks.get("problem") else {k: v for k, v in marks.items() if k != "problem"}))

    patch.setattr(FakeRegistry, "_mark", stubborn)


def a_verdict_that_nobody_knows_counts_as_a_win(patch: pytest.MonkeyPatch) -> None:
    tagged = registry._tagged

    def trusting(version: Version, tags: Any) -> Version:
        found = tagged(version, tags)
        return replace(found, call=Call.WINS) if "watcher.verdict" in tags and found.call is None else found

    patch.setattr(registry, "_tagged", trusting)


def what_people_write_is_not_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "short", str)


def a_release_of_a_model_that_is_not_held_is_refused(patch: pytest.MonkeyPatch) -> None:
    hold = FakeRegistry.hold

    def strict(self: FakeRegistry, name: str, who: str | None) -> None:
        if who is None and self._model(name).marks.hold is None:
            raise Terminal("it is not held")
        hold(self, name, who)

    patch.setattr(FakeRegistry, "hold", strict)


def a_number_that_is_not_finite_is_trusted(patch: pytest.MonkeyPatch) -> None:
    def trusting(key: str, value: float, dataset: str | None = None, digest: str | None = None) -> Metric:
        return Metric(value, "memory", dataset, digest)

    patch.setattr(registry, "measured", trusting)
    patch.setattr(models, "measured", trusting)


def the_first_number_logged_counts(patch: pytest.MonkeyPatch) -> None:
    log = FakeRegistry.log_metric

    def once(self: FakeRegistry, name: str, version: int, key: str, *rest: Any) -> None:
        if key not in self._world.evidence[self._needs(name, version).identity].metrics:
            log(self, name, version, key, *rest)

    patch.setattr(FakeRegistry, "log_metric", once)


def the_data_set_of_a_number_is_lost(patch: pytest.MonkeyPatch) -> None:
    log = FakeRegistry.log_metric
    patch.setattr(
        FakeRegistry, "log_metric", lambda self, name, version, key, value, *_: log(self, name, version, key, value)
    )


def a_failed_registration_looks_pending(patch: pytest.MonkeyPatch) -> None:
    finish = FakeRegistry.set_status

    def hopeful(self: FakeRegistry, name: str, version: int, status: Status) -> None:
        finish(self, name, version, Status.PENDING if status is Status.FAILED else status)

    patch.setattr(FakeRegistry, "set_status", hopeful)


BUGS: tuple[Bug, ...] = tuple(
    bug for name, bug in list(globals().items()) if getattr(bug, "__annotations__", {}).keys() == {"patch", "return"}
)


def test_there_are_enough_bugs() -> None:
    assert len(BUGS) >= 40


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_histories_see_that(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    histories = slice_of_every_run()
    bug(monkeypatch)
    assert any(map(_seen, histories))


def _seen(history: Any) -> bool:
    try:
        return difference(history) is not None
    except (ArithmeticError, AttributeError, LookupError, TypeError):
        return False  # a bug that breaks the fake instead of changing its answers proves nothing
