"""Marks of one model: read in one call, written only where nothing changed since they were seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from watcher.errors import Conflict, Terminal
from watcher.registry import tags
from watcher.registry.client import Client
from watcher.registry.dialects import MLFLOW, Dialect
from watcher.registry.errors import Absent
from watcher.registry.names import checked, number, possible, same
from watcher.registry.pointers import Aliases, NotAVersion, Pointers
from watcher.text import plain
from watcher.values import Call, Crown, Marks

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel


def _crown(texts: Mapping[str, str]) -> tuple[Crown | None, str | None]:
    if tags.CROWN not in texts:
        return None, None
    try:
        return tags.crown_from(texts[tags.CROWN]), None
    except tags.NotACrown as error:
        return None, f"the tag {tags.CROWN} cannot be read: {error}"


class ModelMarks:
    """Aliases and tags of registered models. The registry has no compare-and-set: reads come just before writes."""

    def __init__(
        self,
        client: Client,
        dialect: Dialect = MLFLOW,
        pointers: Pointers | None = None,
        newest: Callable[[str], int] | None = None,
    ) -> None:
        self._client = client
        self._dialect = dialect
        self._pointers = pointers or Aliases(client)
        self._newest = newest
        """Finds the newest version's number where a model does not name it."""

    def read(self, name: str) -> Marks:
        checked(name, self._dialect)
        try:
            model = self._client.ask(f"read the marks of {name!r}", lambda c: c.get_registered_model(name))
        except Absent:
            return Marks(name, exists=False)
        same(name, model.name)
        return self.of(model)

    def of(self, model: RegisteredModel) -> Marks:
        """The marks inside one answer of the registry."""
        self._pointers.require(str(model.name))
        aliases: Mapping[str, object] = model.aliases or {}
        texts = self._dialect.read(model.tags or {})
        crown, problem = _crown(texts)
        hold = texts.get(tags.HOLD)
        champion, unreadable = self._pointer(aliases, texts, tags.CHAMPION)
        challenger, unreadable_too = self._pointer(aliases, texts, tags.CHALLENGER)
        return Marks(
            name=str(model.name),
            champion=champion,
            challenger=challenger,
            crown=crown,
            hold=None if hold is None else tags.short(hold),
            newest=self._newest_of(model),
            problem=problem or unreadable or unreadable_too,
        )

    def _pointer(
        self, aliases: Mapping[str, object], texts: Mapping[str, str], mark: str
    ) -> tuple[int | None, str | None]:
        try:
            return self._pointers.read(aliases, texts, mark), None
        except NotAVersion as error:
            return None, str(error)

    def _newest_of(self, model: RegisteredModel) -> int:
        if self._newest is not None:
            return self._newest(str(model.name))
        return max((number(v.version) for v in model.latest_versions or ()), default=0)

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
            self._mark(name, tags.CHAMPION, version)
        self._set_tag(name, tags.CROWN, tags.crown_text(crown))

    def challenge(self, name: str, version: int | None, expect: Marks) -> None:
        now = self._present(name)
        if now.challenger == version:
            return
        if _n(now) != _n(expect) or now.challenger != expect.challenger or now.champion != expect.champion:
            raise Conflict(_changed(now, expect))
        if version is not None:
            self._mark(name, tags.CHALLENGER, version)
        else:
            self._unmark(name, tags.CHALLENGER)

    def write_crown(self, name: str, crown: Crown, expect: Marks) -> None:
        now = self._present(name)
        if now.crown == crown:
            return
        if _n(now) != _n(expect):
            raise Conflict(_changed(now, expect))
        self._set_tag(name, tags.CROWN, tags.crown_text(crown))

    def set_champion(self, name: str, version: int) -> None:
        checked(name, self._dialect)
        try:
            self._mark(name, tags.CHAMPION, version)
        except Conflict as gone:
            raise Terminal(str(gone)) from None

    def hold(self, name: str, who: str | None) -> None:
        checked(name, self._dialect)
        key = self._dialect.key(tags.HOLD)
        if who is not None:
            self._client.ask(f"hold {name!r}", lambda c: c.set_registered_model_tag(name, key, tags.short(who)))
        elif self._dialect.quiet_removal or self._holds(name):
            self._client.ask(f"release {name!r}", lambda c: c.delete_registered_model_tag(name, key))

    def _holds(self, name: str) -> bool:
        model = self._client.ask(f"read the marks of {name!r}", lambda c: c.get_registered_model(name))
        return tags.HOLD in self._dialect.read(model.tags or {})

    def _present(self, name: str) -> Marks:
        now = self.read(name)
        if not now.exists:
            raise Conflict(f"the registered model {name!r} does not exist any more")
        return now

    def _mark(self, name: str, alias: str, version: int) -> None:
        doing = f"set the {self._pointers.spoken} {alias} of {name!r} to version {version}"
        if not possible(version):
            raise Conflict(f"could not {doing}: no version has that number")
        self._pointers.require(name)
        try:
            self._pointers.put(doing, name, alias, version)
        except Absent as error:
            raise Conflict(str(error)) from None

    def _unmark(self, name: str, alias: str) -> None:
        try:
            self._pointers.remove(f"remove the {self._pointers.spoken} {alias} of {name!r}", name, alias)
        except Absent as error:
            raise Conflict(str(error)) from None

    def _set_tag(self, name: str, key: str, value: str) -> None:
        try:
            spelled = self._dialect.key(key)
            doing = f"write the tag {spelled} of {name!r}"
            self._client.ask(doing, lambda c: c.set_registered_model_tag(name, spelled, value))
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
        self._dialect = client.dialect

    def tag(self, name: str, version: int, call: Call | None, expect: Call | None) -> None:
        try:
            held = self._read(name, version)
            now = tags.call_from(held.get(tags.VERDICT))
            if now not in {call, expect}:
                raise Conflict(f"version {version} of {name!r} is called {now}; expected {expect}")
            if call is None:
                # The verdict first: after a crash in between, `rejudge` still asks for the whole.
                for key in (tags.VERDICT, tags.REJUDGE):
                    if key in held:
                        self._delete(name, version, key)
                self._forget(name, version)
            elif now is not call:
                self._set(name, version, tags.VERDICT, call.value)
        except Absent as error:
            raise Conflict(str(error)) from None

    def rejudge(self, name: str, version: int) -> None:
        self._set(name, version, tags.REJUDGE, "yes")
        if not self._dialect.whole_hits:
            # Nobody finds the version by its tag: the model says which one is meant.
            key = self._dialect.key(tags.again(version))
            doing = f"write the tag {key} of {name!r}"
            self._client.ask(doing, lambda c: c.set_registered_model_tag(name, key, "yes"))

    def approve(self, name: str, version: int, tag: str, who: str) -> None:
        self._set(name, version, tag, tags.short(who))

    def _read(self, name: str, version: int) -> Mapping[str, str]:
        doing = _doing("read", name, version, self._dialect.key(tags.VERDICT), self._dialect)
        found = self._client.ask(doing, lambda c: c.get_model_version(name, str(version)))
        return self._dialect.read(found.tags or {})

    def _set(self, name: str, version: int, key: str, value: str) -> None:
        spelled = self._dialect.key(key)
        doing = _doing("write", name, version, spelled, self._dialect)
        self._client.ask(doing, lambda c: c.set_model_version_tag(name, str(version), spelled, value))

    def _delete(self, name: str, version: int, key: str) -> None:
        spelled = self._dialect.key(key)
        doing = _doing("remove", name, version, spelled, self._dialect)
        self._client.ask(doing, lambda c: c.delete_model_version_tag(name, str(version), spelled))

    def _forget(self, name: str, version: int) -> None:
        if self._dialect.whole_hits:
            return
        key = self._dialect.key(tags.again(version))
        doing = f"remove the tag {key} of {name!r}"
        model = self._client.ask(doing, lambda c: c.get_registered_model(name))
        if key in (model.tags or {}):
            self._client.ask(doing, lambda c: c.delete_registered_model_tag(name, key))


def _doing(verb: str, name: str, version: int, key: str, dialect: Dialect) -> str:
    checked(name, dialect)
    doing = f"{verb} the tag {plain(key, 100)} of version {version} of {name!r}"
    if not possible(version):
        raise Absent(f"could not {doing}: no version has that number")
    return doing
