"""Marks of one model: read in one call, written only where nothing changed since they were seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from watcher.errors import Conflict, Terminal
from watcher.registry import tags
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.registry.names import checked, number, possible, same
from watcher.values import Call, Crown, Marks

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel


def marks_of(model: RegisteredModel) -> Marks:
    """The marks inside one answer of the registry."""
    aliases: Mapping[str, object] = model.aliases or {}
    texts: Mapping[str, str] = model.tags or {}
    crown, problem = _crown(texts)
    hold = texts.get(tags.HOLD)
    return Marks(
        name=str(model.name),
        champion=_alias(aliases, tags.CHAMPION),
        challenger=_alias(aliases, tags.CHALLENGER),
        crown=crown,
        hold=None if hold is None else tags.short(hold),
        newest=max((number(v.version) for v in model.latest_versions or ()), default=0),
        problem=problem,
    )


def _alias(aliases: Mapping[str, object], name: str) -> int | None:
    value = aliases.get(name)
    return None if value is None else number(value)


def _crown(texts: Mapping[str, str]) -> tuple[Crown | None, str | None]:
    if tags.CROWN not in texts:
        return None, None
    try:
        return tags.crown_from(texts[tags.CROWN]), None
    except tags.NotACrown as error:
        return None, f"the tag {tags.CROWN} cannot be read: {error}"


class ModelMarks:
    """Aliases and tags of registered models. The registry has no compare-and-set: reads come just before writes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read(self, name: str) -> Marks:
        checked(name)
        try:
            model = self._client.ask(f"read the marks of {name!r}", lambda c: c.get_registered_model(name))
        except Absent:
            return Marks(name, exists=False)
        same(name, model.name)
        return marks_of(model)

    def crown(self, name: str, version: int, crown: Crown, expect: Marks) -> None:
        now = self._present(name)
        if now.champion == version and now.crown == crown:
            return
        # A first attempt may have moved the alias and died before the tag.
        if (
            _n(now) != _n(expect)
            or now.challenger != expect.challenger
            or now.champion not in {expect.champion, version}
        ):
            raise Conflict(_changed(now, expect))
        if now.champion != version:
            self._set_alias(name, tags.CHAMPION, version)
        self._set_tag(name, tags.CROWN, tags.crown_text(crown))

    def challenge(self, name: str, version: int | None, expect: Marks) -> None:
        now = self._present(name)
        if now.challenger == version:
            return
        if _n(now) != _n(expect) or now.challenger != expect.challenger or now.champion != expect.champion:
            raise Conflict(_changed(now, expect))
        if version is not None:
            self._set_alias(name, tags.CHALLENGER, version)
        else:
            self._delete_alias(name, tags.CHALLENGER)

    def write_crown(self, name: str, crown: Crown, expect: Marks) -> None:
        now = self._present(name)
        if now.crown == crown:
            return
        if _n(now) != _n(expect):
            raise Conflict(_changed(now, expect))
        self._set_tag(name, tags.CROWN, tags.crown_text(crown))

    def set_champion(self, name: str, version: int) -> None:
        checked(name)
        try:
            self._set_alias(name, tags.CHAMPION, version)
        except Conflict as gone:
            raise Terminal(str(gone)) from None

    def hold(self, name: str, who: str | None) -> None:
        checked(name)
        if who is not None:
            self._client.ask(f"hold {name!r}", lambda c: c.set_registered_model_tag(name, tags.HOLD, tags.short(who)))
        else:
            self._client.ask(f"release {name!r}", lambda c: c.delete_registered_model_tag(name, tags.HOLD))

    def _present(self, name: str) -> Marks:
        now = self.read(name)
        if not now.exists:
            raise Conflict(f"the registered model {name!r} does not exist any more")
        return now

    def _set_alias(self, name: str, alias: str, version: int) -> None:
        doing = f"set the alias {alias} of {name!r} to version {version}"
        if not possible(version):
            raise Conflict(f"could not {doing}: no version has that number")
        try:
            self._client.ask(doing, lambda c: c.set_registered_model_alias(name, alias, str(version)))
        except Absent as error:
            raise Conflict(str(error)) from None

    def _delete_alias(self, name: str, alias: str) -> None:
        try:
            doing = f"remove the alias {alias} of {name!r}"
            self._client.ask(doing, lambda c: c.delete_registered_model_alias(name, alias))
        except Absent as error:
            raise Conflict(str(error)) from None

    def _set_tag(self, name: str, key: str, value: str) -> None:
        try:
            doing = f"write the tag {key} of {name!r}"
            self._client.ask(doing, lambda c: c.set_registered_model_tag(name, key, value))
        except Absent as error:
            raise Conflict(str(error)) from None


def _n(marks: Marks) -> int:
    return marks.crown.n if marks.crown else 0


def _changed(now: Marks, expect: Marks) -> str:
    def seen(marks: Marks) -> str:
        return f"champion {marks.champion}, challenger {marks.challenger}, n {_n(marks)}"

    return f"the marks of {now.name!r} are {seen(now)}; expected {seen(expect)}"


class VersionMarks:
    """Tags of model versions: verdicts by the loop; approval and `rejudge` by people."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def tag(self, name: str, version: int, call: Call | None) -> None:
        try:
            if call is not None:
                self._set(name, version, tags.VERDICT, call.value)
            else:
                # The verdict first: after a crash in between, `rejudge` still asks for the whole.
                self._delete(name, version, tags.VERDICT)
                self._delete(name, version, tags.REJUDGE)
        except Absent as error:
            raise Conflict(str(error)) from None

    def rejudge(self, name: str, version: int) -> None:
        self._set(name, version, tags.REJUDGE, "yes")

    def approve(self, name: str, version: int, tag: str, who: str) -> None:
        self._set(name, version, tag, tags.short(who))

    def _set(self, name: str, version: int, key: str, value: str) -> None:
        doing = _doing("write", name, version, key)
        self._client.ask(doing, lambda c: c.set_model_version_tag(name, str(version), key, value))

    def _delete(self, name: str, version: int, key: str) -> None:
        doing = _doing("remove", name, version, key)
        self._client.ask(doing, lambda c: c.delete_model_version_tag(name, str(version), key))


def _doing(verb: str, name: str, version: int, key: str) -> str:
    checked(name)
    doing = f"{verb} the tag {key} of version {version} of {name!r}"
    if not possible(version):
        raise Absent(f"could not {doing}: no version has that number")
    return doing
