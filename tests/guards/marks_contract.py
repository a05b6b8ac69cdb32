"""What marks promise, held against every small state of a registry in each dialect. Fails by raising.

A write happens whole where nothing changed since it was decided, a repeated one does nothing, and any other leaves
everything as it is; no call is made that the registry would refuse, and none that it need not answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from watcher.errors import Conflict, Terminal
from watcher.registry import tags
from watcher.registry.client import Client
from watcher.registry.dialects import MLFLOW, UNITY_CATALOG, WORKSPACE, Dialect
from watcher.registry.errors import Absent
from watcher.registry.marks import ModelMarks, VersionMarks
from watcher.registry.pointers import Aliases, ModelTags
from watcher.values import Call, Crown, Marks

NAMES = {MLFLOW: "churn", WORKSPACE: "churn", UNITY_CATALOG: "prod.risk.churn"}
VERSIONS = (1, 2, 3)
NEXT = Crown(crowned=2, previous=1, floor=2, met=True, n=3)
CROWNS = (None, Crown(crowned=1, n=1), Crown(crowned=1, floor=1, n=2), NEXT)
NO_VERSION = (0, -1, 2**31, 10**30)


class Registry:
    """One model in memory behind MLflow's calls, as strict as the strictest registry of its dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect, self.name, self.there = dialect, NAMES[dialect], True
        self.aliases: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {str(number): {} for number in VERSIONS}
        self.reads = 0
        """Of the model."""
        self.writes = 0

    def ask(self, doing: str, call: Callable[[Any], Any]) -> Any:
        return call(self)

    def marks(self) -> ModelMarks:
        client = cast("Client", self)
        pointers = Aliases(client) if self.dialect.aliases else ModelTags(client)
        newest = None if self.dialect.latest_versions else lambda _: max(map(int, self.versions))
        return ModelMarks(client, self.dialect, pointers, newest)

    def get_registered_model(self, name: str) -> Any:
        self.reads += 1
        self._known(name)
        latest = [SimpleNamespace(version=max(self.versions))] if self.dialect.latest_versions else None
        return SimpleNamespace(name=name, aliases=dict(self.aliases), tags=dict(self.tags), latest_versions=latest)

    def get_model_version(self, name: str, version: str) -> Any:
        return SimpleNamespace(version=version, tags=dict(self._version(name, version)))

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        assert self.dialect.aliases
        self._version(name, version)
        self.aliases[alias] = version
        self.writes += 1

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        assert self.dialect.aliases
        self._known(name)
        self.aliases.pop(alias, None)
        self.writes += 1

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self._known(name)
        self._write(self.tags, key, value)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        self._known(name)
        self._remove(self.tags, key)

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self._write(self._version(name, version), key, value)

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        self._remove(self._version(name, version), key)

    def _known(self, name: str) -> None:
        if not self.there or name != self.name:
            raise Absent(name)

    def _version(self, name: str, version: str) -> dict[str, str]:
        self._known(name)
        assert 0 < int(version) < 2**31, f"{version} is no number that a registry can be asked for"
        if version not in self.versions:
            raise Absent(f"{name} {version}")
        return self.versions[version]

    def _write(self, where: dict[str, str], key: str, value: str) -> None:
        assert self.dialect.dotted_keys or "." not in key, f"the registry refuses the key {key}"
        where[key] = value
        self.writes += 1

    def _remove(self, where: dict[str, str], key: str) -> None:
        assert self.dialect.quiet_removal or key in where, f"the registry has no tag {key}"
        where.pop(key, None)
        self.writes += 1


def states(dialect: Dialect) -> Iterator[Registry]:
    """Every small state of one model's marks."""
    for champion, challenger, crown in itertools.product((None, 1, 2), (None, 2, 3), CROWNS):
        registry = Registry(dialect)
        for mark, version in ((tags.CHAMPION, champion), (tags.CHALLENGER, challenger)):
            if version is not None and dialect.aliases:
                registry.aliases[mark] = str(version)
            elif version is not None:
                registry.tags[dialect.key(tags.PREFIX + mark)] = str(version)
        if crown is not None:
            registry.tags[dialect.key(tags.CROWN)] = tags.crown_text(crown)
        yield registry


def seen_before(now: Marks) -> Iterator[Marks]:
    """What the marks may have been when the write was decided."""
    yield now
    yield replace(now, champion=3)
    yield replace(now, challenger=1)
    yield replace(now, crown=replace(now.crown or Crown(), n=9))


def holds(dialect: Dialect) -> None:
    """The whole contract in one dialect."""
    for write in (_crown, _challenge, _no_challenger, _write_crown):
        for registry in states(dialect):
            now = registry.marks().read(registry.name)
            for before in seen_before(now):
                twin = Registry(dialect)
                twin.aliases, twin.tags = dict(registry.aliases), dict(registry.tags)
                _compare_and_set(twin, now, before, write)
    gone = Registry(dialect)
    gone.there = False
    assert not gone.marks().read(gone.name).exists
    for write in (_crown, _challenge, _no_challenger, _write_crown):
        assert _refuses(partial(write, gone, Marks(gone.name))), "a model that is gone was written to"
    _orders(Registry(dialect))
    _held(Registry(dialect))
    _called(Registry(dialect))


Write = Callable[[Registry, Marks], Callable[[Marks], Marks]]
"""Writes through the marks, expecting some; gives what it makes of the marks."""


def _crown(registry: Registry, expect: Marks) -> Callable[[Marks], Marks]:
    registry.marks().crown(registry.name, 2, NEXT, expect)
    return lambda now: replace(now, champion=2, crown=NEXT)


def _challenge(registry: Registry, expect: Marks) -> Callable[[Marks], Marks]:
    registry.marks().challenge(registry.name, 3, expect)
    return lambda now: replace(now, challenger=3)


def _no_challenger(registry: Registry, expect: Marks) -> Callable[[Marks], Marks]:
    registry.marks().challenge(registry.name, None, expect)
    return lambda now: replace(now, challenger=None)


def _write_crown(registry: Registry, expect: Marks) -> Callable[[Marks], Marks]:
    registry.marks().write_crown(registry.name, NEXT, expect)
    return lambda now: replace(now, crown=NEXT)


def _compare_and_set(registry: Registry, now: Marks, expect: Marks, write: Write) -> None:
    said = f"{write.__name__} in {registry.dialect.called} over {now}, expecting {expect}"
    # A person's move of the champion mark takes nothing from a crown that is only numbered onwards; and who crowned
    # and died between mark and tag may go on.
    numbers = [marks.crown.n if marks.crown else 0 for marks in (now, expect)]
    half_done = write is _crown and now.champion == 2
    unmoved = now.challenger == expect.challenger and (now.champion == expect.champion or half_done)
    same = numbers[0] == numbers[1] and (write is _write_crown or unmoved)
    try:
        wanted = write(registry, expect)(now)
    except Conflict:
        assert not same, f"refused: {said}"
        assert registry.writes == 0, f"refused and written: {said}"
        return
    assert registry.marks().read(registry.name) == wanted, f"not what was asked for: {said}"
    if not same:
        assert wanted == now, f"written over what nobody expected: {said}"
    if wanted == now:
        assert registry.writes == 0, f"written once more: {said}"
    registry.writes = 0
    write(registry, expect)
    assert registry.writes == 0, f"repeated, and written again: {said}"
    assert registry.marks().read(registry.name) == wanted


def _orders(registry: Registry) -> None:
    """A person's order moves the mark; a number that no version has is refused in a sentence."""
    marks = registry.marks()
    marks.set_champion(registry.name, 3)
    assert marks.read(registry.name).champion == 3
    assert marks.read(registry.name).newest == max(VERSIONS)
    for number in (*NO_VERSION, 99):
        try:
            marks.set_champion(registry.name, number)
        except Terminal:
            continue
        raise AssertionError(f"v{number} is the champion")
    assert marks.read(registry.name).champion == 3


def _held(registry: Registry) -> None:
    marks = registry.marks()
    for who in (None, "ana", "ben", None, None):
        before = registry.reads
        marks.hold(registry.name, who)
        assert registry.reads == before or not registry.dialect.quiet_removal, "read, and nothing was asked"
        assert marks.read(registry.name).hold == who


def _called(registry: Registry) -> None:
    """Verdicts are written, taken back with what asked for that, and none is written for a number without a version."""
    versions = VersionMarks(cast("Client", registry))
    name, key = registry.name, registry.dialect.key
    for expect, call in itertools.pairwise((None, None, Call.WINS, Call.WINS, Call.LOSES, None, None)):
        before = registry.writes
        versions.tag(name, 1, call, expect)
        assert registry.writes == before or call is not expect, f"{call} is written once more"
        assert registry.versions["1"].get(key(tags.VERDICT)) == (call.value if call else None)
    versions.approve(name, 1, "approved_by", "ana")
    versions.tag(name, 1, Call.LOSES, None)
    for call, expect in ((Call.WINS, None), (None, Call.WINS)):
        assert _refuses(partial(versions.tag, name, 1, call, expect)), "written over a verdict that nobody expected"
    versions.rejudge(name, 1)
    assert tags.numbers(registry.dialect.read(registry.tags)) == (set() if registry.dialect.whole_hits else {1})
    versions.tag(name, 1, None, Call.LOSES)
    assert registry.versions["1"] == {"approved_by": "ana"}
    assert not registry.tags
    assert not (registry.dialect.whole_hits and registry.reads), "the model is read, and has nothing to say"
    for number in (*NO_VERSION, 99):
        assert _refuses(partial(versions.tag, name, number, Call.LOSES, None)), f"v{number} was called something"


def _refuses(deed: Callable[[], object]) -> bool:
    try:
        deed()
    except Conflict:
        return True
    return False
