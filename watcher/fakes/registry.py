"""A model registry in memory that behaves as MLflow's own does, with faults on request.

Every state is a value that is never changed, only replaced: a snapshot costs nothing, and a stale read is an old state.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeVar

from watcher.errors import Conflict, Terminal
from watcher.fakes.models import Model, World, evidence_of, measured
from watcher.registry.tags import short
from watcher.values import (
    NOTHING,
    Artifacts,
    Call,
    Change,
    Crown,
    EvidenceOf,
    Example,
    Gone,
    Identity,
    Marks,
    Metric,
    Signature,
    Status,
    Version,
)

T = TypeVar("T")
When = Literal["before", "between", "after"]

_REMEMBERED = 64
# With $, as MLflow has them: a line break at the end passes.
_ALIAS = re.compile(r"[\w\-]+$")
_RESERVED = re.compile(r"(?i:latest)\Z|[vV]\d+$")
_LONGEST_ALIAS = 255
_TAG = re.compile(r"[/\w.\- :]*$")
_INVALID, _MISSING, _THERE = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


class Refused(Terminal):
    """What people ask for and MLflow does not do; `code` is the error code that it answers with."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Fault:
    """An error that a verb raises once: before its effect, after it, or `between` its two writes."""

    error: BaseException
    when: When = "before"


@dataclass(frozen=True, slots=True)
class State:
    """A snapshot: the registry as it is, as it was, and the faults still to come."""

    world: World
    past: tuple[World, ...]
    faults: Mapping[str, tuple[Fault, ...]]


class FakeRegistry:
    """Feed, Registry, Orders and Evidence; and, below, what people and training jobs do to a registry."""

    def __init__(self, clock: Callable[[], float], staleness: float = 0.0) -> None:
        self.staleness = staleness
        self.dangling = True
        """Whether aliases of a deleted version stay behind, as they do before MLflow 3.17."""
        self.stale_writes = 0
        """Reads answer from so many writes ago."""
        self.stale_compare = False
        """Whether the read just before a write is as stale as the others."""
        self.listing: Callable[[str, list[Any]], Sequence[Any]] = lambda _verb, rows: rows
        """Given the verb and its rows, the rows that a listing shows instead: fewer, or in another order."""
        self.calls: deque[tuple[Any, ...]] = deque(maxlen=10_000)
        """Verb and arguments of the last calls of a port, in order."""
        self.any_name = False
        """Whether models and tags may have names that MLflow refuses, as in another registry."""
        self._clock = clock
        self._world = World(NOTHING)
        self._past: deque[World] = deque(maxlen=_REMEMBERED)
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)

    # Scripting

    def fail(self, verb: str, error: BaseException, when: When = "before", times: int = 1) -> None:
        """Let the next calls of a verb raise; faults of one verb come in the order they were asked for."""
        self._faults[verb].extend([Fault(error, when)] * times)

    def snapshot(self) -> State:
        """Everything but the settings and the recorded calls, as one value."""
        faults = {verb: tuple(queue) for verb, queue in self._faults.items() if queue}
        return State(self._world, tuple(self._past), faults)

    def restore(self, state: State) -> None:
        """Become what `snapshot` saw."""
        self._world = state.world
        self._past = deque(state.past, maxlen=_REMEMBERED)
        self._faults = defaultdict(deque, {verb: deque(queue) for verb, queue in state.faults.items()})

    # Feed

    def changed(self, since_ms: int) -> Sequence[Change]:
        self._enter("changed", since_ms)
        models = self._seen().models
        rows = [Change(name, m.updated_ms) for name, m in models.items() if m.updated_ms >= since_ms]
        rows.sort(key=lambda change: change.updated_ms, reverse=True)
        return self._leave("changed", self.listing("changed", rows))

    def marks(self, names: Iterable[str]) -> Mapping[str, Marks]:
        wanted = tuple(names)
        self._enter("marks", *wanted)
        rows = [self._marks_of(self._seen(), name) for name in wanted]
        return self._leave("marks", {m.name: m for m in self.listing("marks", rows)})

    def names(self) -> Sequence[str]:
        self._enter("names")
        return self._leave("names", self.listing("names", sorted(self._seen().models)))

    # Registry

    def read(self, name: str) -> Marks:
        self._enter("read", name)
        return self._leave("read", self._marks_of(self._seen(), name))

    def version(self, name: str, version: int) -> Version | Gone:
        self._enter("version", name, version)
        self._named(name)
        model = self._seen().models.get(name)
        found = model.versions.get(version) if model else None
        return self._leave("version", found or Gone(version))

    def versions(self, name: str, above: int, most: int = 200, also: Collection[int] = ()) -> Sequence[Version]:
        self._enter("versions", name, above, most, tuple(also))
        self._named(name)
        model = self._seen().models.get(name)
        there = sorted(model.versions.values(), key=_number, reverse=True) if model else []
        newest = [v for v in there if v.number > above][:most]
        more = [v for v in there if v not in newest and (v.rejudge or v.number in also)]
        rows = sorted(newest + more, key=_number, reverse=True)
        return self._leave("versions", self.listing("versions", rows))

    def crown(self, name: str, version: int, crown: Crown, expect: Marks) -> None:
        self._enter("crown", name, version, crown)
        now = self._compared(name)
        if now.champion != version or now.crown != crown:
            same = _n(now) == _n(expect) and now.challenger == expect.challenger
            if not same or now.champion not in {expect.champion, version}:
                raise Conflict(f"the marks of {name!r} changed")
            if now.champion != version:
                self._still(name, version)
                self._mark(name, champion=version)
            self._between("crown")
            self._mark(name, crown=crown, problem=None)
        self._leave("crown", None)

    def challenge(self, name: str, version: int | None, expect: Marks) -> None:
        self._enter("challenge", name, version)
        now = self._compared(name)
        if now.challenger != version:
            same = _n(now) == _n(expect) and now.challenger == expect.challenger and now.champion == expect.champion
            if not same:
                raise Conflict(f"the marks of {name!r} changed")
            if version is not None:
                self._still(name, version)
            self._mark(name, challenger=version)
        self._leave("challenge", None)

    def write_crown(self, name: str, crown: Crown, expect: Marks) -> None:
        self._enter("write_crown", name, crown)
        now = self._compared(name)
        if now.crown != crown:
            if _n(now) != _n(expect):
                raise Conflict(f"the crown of {name!r} changed")
            self._mark(name, crown=crown, problem=None)
        self._leave("write_crown", None)

    def tag(self, name: str, version: int, call: Call | None, expect: Call | None) -> None:
        self._enter("tag", name, version, call)
        self._still(name, version)
        now, held = self._held(name, version)
        if now not in {call, expect}:
            raise Conflict(f"version {version} of {name!r} is called {now}; expected {expect}")
        if call is None:
            if "watcher.verdict" in held:
                self._tag_version(name, version, "watcher.verdict", None)
            self._between("tag")
            self._still(name, version)
            if "watcher.rejudge" in held:
                self._tag_version(name, version, "watcher.rejudge", None)
        elif now is not call:
            self._tag_version(name, version, "watcher.verdict", call.value)
        self._leave("tag", None)

    # Orders

    def set_champion(self, name: str, version: int) -> None:
        self._enter("set_champion", name, version)
        self._needs(name, version)
        self._mark(name, champion=version)
        self._leave("set_champion", None)

    def hold(self, name: str, who: str | None) -> None:
        self._enter("hold", name, who)
        self._model(name)
        self._mark(name, hold=None if who is None else short(who))
        self._leave("hold", None)

    def rejudge(self, name: str, version: int) -> None:
        self._enter("rejudge", name, version)
        self._needs(name, version)
        self._tag_version(name, version, "watcher.rejudge", "yes")
        self._leave("rejudge", None)

    def approve(self, name: str, version: int, tag: str, who: str) -> None:
        self._enter("approve", name, version, tag, who)
        self._needs(name, version)
        self._tag_version(name, version, tag, short(who))
        self._leave("approve", None)

    # Evidence

    def of(self, version: Version) -> EvidenceOf:
        self._enter("of", version.identity)
        found = self._seen().evidence.get(version.identity)
        return self._leave("of", found or EvidenceOf(version.identity, artifacts=Artifacts.ABSENT))

    def example(self, version: Version) -> Example | None:
        self._enter("example", version.identity)
        found = self._seen().evidence.get(version.identity)
        return self._leave("example", found.example if found else None)

    # A person, or a training job

    def create_model(self, name: str) -> None:
        """Register a model, without versions. `Refused` where it is there already."""
        self._named(name)
        if name in self._world.models:
            raise Refused(f"the registered model {name!r} exists already", _THERE)
        now = self._now_ms()
        self._become(self._world.with_model(Model(Marks(name), NOTHING, now, 0)))

    def create_version(
        self,
        name: str,
        metrics: Mapping[str, float | Metric] = NOTHING,
        signature: Signature | None = None,
        status: Status = Status.READY,
        *,
        source: str | None = None,
        created_ms: int | None = None,
        tags: Mapping[str, str] = NOTHING,
        evidence: EvidenceOf | None = None,
        **facts: Any,
    ) -> int:
        """Add a version (and its model, if need be) and return its number. `facts` are fields of `EvidenceOf`.

        `created_ms` in the past is a commit that came late: MLflow stamps times before it commits.
        """
        if name not in self._world.models:
            self.create_model(name)
        model = self._model(name)
        number = model.highest + 1
        at = self._now_ms() if created_ms is None else created_ms
        identity = Identity(name, number, at, source or f"models:/m-{self._world.writes:032x}")
        place = source if source and not source.startswith("models:/") else f"memory:/{name}/{number}"
        version = _tagged(Version(identity, status, place), dict(tags))
        known = evidence or evidence_of(identity, metrics, signature, facts)
        changed = model.with_version(version, at)
        self._become(self._world.with_model(changed).with_evidence(replace(known, identity=identity)))
        return number

    def set_status(self, name: str, version: int, status: Status) -> None:
        """Finish or fail a registration."""
        found = self._needs(name, version)
        self._become(self._world.with_model(self._model(name).with_version(replace(found, status=status))))

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias to an existing version; only `champion` and `challenger` are looked at."""
        _can_be_alias(alias)
        self._model(name)
        if _RESERVED.match(alias):
            raise Refused(f"the alias {alias!r} is reserved", _INVALID)
        self._needs(name, version)
        self._alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; one that is not there is no error."""
        _can_be_alias(alias)
        self._model(name)
        self._alias(name, alias, None)

    def delete_version(self, name: str, version: int) -> None:
        """Delete a version; its number is not used again."""
        self._needs(name, version)
        model = self._model(name).without_version(version, self._now_ms(), aliases=not self.dangling)
        self._become(self._world.with_model(model))

    def delete_model(self, name: str) -> None:
        """Delete a model with all its marks; numbers start again at 1 if it is created again."""
        self._model(name)
        self._become(self._world.without_model(name))

    def rename(self, name: str, new_name: str) -> None:
        """Rename a model; its versions, aliases and tags go with it."""
        model = self._model(name)
        if not new_name.strip():
            raise Refused("a registered model needs a name", "INTERNAL_ERROR")
        self._named(new_name)
        if new_name in self._world.models and new_name != name:
            raise Refused(f"the registered model {new_name!r} exists already", _THERE)
        self._become(self._world.renamed(model, new_name, self._now_ms()))

    def set_crown(self, name: str, crown: Crown | None) -> None:
        """Write or remove the crown tag, as a person who knows what it is."""
        self._model(name)
        self._mark(name, crown=crown, problem=None)

    def break_crown(self, name: str) -> None:
        """Write something into the crown tag that cannot be read."""
        self._model(name)
        self._mark(name, crown=None, problem="the tag watcher.crown cannot be read: it is not JSON")

    def set_tag(self, name: str, version: int, key: str, value: str) -> None:
        """Write a tag on a version."""
        self._model(name)
        if not self.any_name and (not _TAG.match(key) or _not_unique(key)):
            raise Refused(f"{key!r} cannot be the key of a tag", _INVALID)
        self._needs(name, version)
        self._tag_version(name, version, key, value)

    def delete_tag(self, name: str, version: int, key: str) -> None:
        """Remove a tag from a version; one that is not there is no error."""
        self._needs(name, version)
        self._tag_version(name, version, key, None)

    def log_metric(
        self, name: str, version: int, key: str, value: float, dataset: str | None = None, digest: str | None = None
    ) -> None:
        """Log a metric of a version; the last one logged counts."""
        metric = measured(key, value, dataset, digest)
        self._evidence(name, version, lambda e: replace(e, metrics={**e.metrics, key: metric}))

    def set_evidence(self, name: str, version: int, **facts: Any) -> None:
        """Replace fields of a version's evidence, for example `artifacts=Artifacts.ABSENT`."""
        self._evidence(name, version, lambda e: replace(e, **facts))

    # Inside

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _seen(self) -> World:
        ago = min(self.stale_writes, len(self._past))
        return self._past[-ago] if ago else self._world

    def _named(self, name: str) -> None:
        """Raise `Refused` where no registered model can have this name."""
        if not (self.any_name or _can_be_model(name)):
            raise Refused(f"no registered model can be called {name!r}", _INVALID)

    def _marks_of(self, world: World, name: str) -> Marks:
        self._named(name)
        model = world.models.get(name)
        return model.marks if model else Marks(name, exists=False)

    def _compared(self, name: str) -> Marks:
        now = self._marks_of(self._before_write(), name)
        if not now.exists:
            raise Conflict(f"the registered model {name!r} does not exist any more")
        return now

    def _before_write(self) -> World:
        """What the read just before a write shows."""
        return self._seen() if self.stale_compare else self._world

    def _held(self, name: str, version: int) -> tuple[Call | None, Mapping[str, str]]:
        """What a version is called, and its tags, as a write compares with them."""
        model = self._before_write().models.get(name)
        found = model.versions.get(version) if model else None
        return (found.call, found.tags) if found else (None, NOTHING)

    def _enter(self, verb: str, *arguments: Any) -> None:
        self.calls.append((verb, *arguments))
        self._raise(verb, "before")

    def _between(self, verb: str) -> None:
        self._raise(verb, "between")

    def _leave(self, verb: str, answer: T) -> T:
        self._raise(verb, "after")
        return answer

    def _raise(self, verb: str, when: When) -> None:
        queue = self._faults.get(verb)
        if queue and queue[0].when == when:
            raise queue.popleft().error

    def _become(self, world: World) -> None:
        self._past.append(self._world)
        self._world = replace(world, writes=self._world.writes + 1)

    def _model(self, name: str) -> Model:
        self._named(name)
        model = self._world.models.get(name)
        if model is None:
            raise Refused(f"there is no registered model {name!r}", _MISSING)
        return model

    def _needs(self, name: str, version: int) -> Version:
        self._named(name)
        model = self._world.models.get(name)
        found = model.versions.get(version) if model else None
        if found is None:
            raise Refused(f"there is no version {version} of {name!r}", _MISSING)
        return found

    def _still(self, name: str, version: int) -> None:
        """Raise `Conflict` where the version is gone."""
        try:
            self._needs(name, version)
        except Refused as refused:
            raise Conflict(str(refused)) if refused.code == _MISSING else refused from None

    def _mark(self, name: str, **marks: Any) -> None:
        model = self._model(name)
        self._become(self._world.with_model(replace(model, marks=replace(model.marks, **marks))))

    def _alias(self, name: str, alias: str, version: int | None) -> None:
        if alias in {"champion", "challenger"}:
            self._mark(name, **{alias: version})

    def _tag_version(self, name: str, version: int, key: str, value: str | None) -> None:
        model = self._model(name)
        found = model.versions[version]
        tags = {k: v for k, v in found.tags.items() if k != key}
        if value is not None:
            tags[key] = value
        self._become(self._world.with_model(model.with_version(_tagged(found, tags))))

    def _evidence(self, name: str, version: int, change: Callable[[EvidenceOf], EvidenceOf]) -> None:
        identity = self._needs(name, version).identity
        self._become(self._world.with_evidence(change(self._world.evidence[identity])))


@lru_cache(maxsize=1_024)
def _can_be_model(name: str) -> bool:
    return bool(name.strip()) and "/" not in name and ":" not in name and not _not_unique(name)


def _not_unique(path: str) -> bool:
    """Whether a file system would take this for another path, or for one outside its folder."""
    norm = posixpath.normpath(path)
    return norm != path or norm == "." or norm.startswith(("..", "/"))


def _can_be_alias(alias: str) -> None:
    """Raise `Refused` where no alias can have this name."""
    if not _ALIAS.match(alias) or len(alias) > _LONGEST_ALIAS:
        raise Refused(f"{alias!r} cannot be an alias", _INVALID)


def _number(version: Version) -> int:
    return version.number


def _n(marks: Marks) -> int:
    return marks.crown.n if marks.crown else 0


def _tagged(version: Version, tags: Mapping[str, str]) -> Version:
    said = tags.get("watcher.verdict")
    call = Call(said) if said in set(Call) else None
    return replace(version, tags=tags, call=call, rejudge="watcher.rejudge" in tags)
