"""Random histories of a registry: recorded on MLflow's own, and told again to the one in memory.

A history is recorded once, with what MLflow answered, and replayed on as many registries in memory as there are
questions: a replay takes milliseconds.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.registry_suite import SIGNATURE, World
from tests.contract.test_registry_fake import FakeWorld
from tests.registry.mlflow_world import MlflowWorld, sqlite_registry
from watcher.errors import Conflict, Terminal, WatcherError
from watcher.fakes.registry import FakeRegistry
from watcher.registry.tags import CROWN, crown_text
from watcher.values import Artifacts, Call, Crown, Gone, Marks, Status, Version

NAMES = ("it's", "both ' and \"")
There = Mapping[str, Mapping[int, str]]
"""Model -> version -> the act that made it."""
ODD = ("nobody", "", " ", "a/b", "..")
"""Names that no registered model has, most of which none can have."""
ALIASES = ("latest", "LATEST", "v3", "V12", "a b", "", "x" * 255, "x" * 256, "größe\n")
NUMBERS = (-1, 0, 1, 2, 3, 4, 5, 6, 2**31)
LOGGED = "logged"
"""Tag of the versions that have a logged model, and so evidence."""
EVERY = 8
"""Acts between two looks at everything."""


class Fake(FakeWorld):
    """The registry in memory, in people's hands."""

    def delete_tag(self, name: str, version: int, key: str) -> None:
        self.fake.delete_tag(name, version, key)

    def set_crown(self, name: str, crown: Crown) -> None:
        self.fake.set_crown(name, crown)

    def finish(self, name: str, version: int, status: Status) -> None:
        self.fake.set_status(name, version, status)


class Real(MlflowWorld):
    """MLflow's own registry, in people's hands."""

    def delete_tag(self, name: str, version: int, key: str) -> None:
        self.client.delete_model_version_tag(name, str(version), key)

    def set_crown(self, name: str, crown: Crown) -> None:
        self.client.set_registered_model_tag(name, CROWN, crown_text(crown))

    def finish(self, name: str, version: int, status: Status) -> None:
        source = str(self.client.get_model_version(name, str(version)).source)
        self.client.finalize_logged_model(
            source.removeprefix("models:/"), "READY" if status is Status.READY else "FAILED"
        )

    def log_metric(
        self, name: str, version: int, key: str, value: float, dataset: str | None = None, digest: str | None = None
    ) -> None:
        found = self.client.get_model_version(name, str(version))  # a model that was renamed has other numbers
        self.runs[name, version] = str(found.run_id), str(found.source).removeprefix("models:/")
        super().log_metric(name, version, key, value, dataset, digest)


@dataclass(frozen=True)
class Told:
    """One act of a history, and what MLflow answered to it."""

    act: str
    name: str
    other: str
    number: int
    crown: Crown
    ticks: int
    since_ms: int
    alias: str
    looks: bool
    """Whether whoever acts reads the marks first, instead of going by what it read long ago."""
    twist: str | None
    """The one mark of which whoever acts expects something else."""
    seen: object = None
    """The marks that were read first."""
    answer: object = None
    state: object = None
    """Everything that can be seen after it; None where nobody looked."""

    def __str__(self) -> str:
        about = f"{self.name!r} {self.number} {self.other!r} {self.alias[:9]!r} {self.crown} since {self.since_ms}"
        return f"{self.act} {about} -> {self.answer}"


@dataclass
class Teller:
    """Tells a history to one world."""

    world: Any
    """`Fake` or `Real`."""
    tick: Callable[[int], None]
    expect: dict[str, Marks] = field(default_factory=dict)

    def tell(self, told: Told) -> tuple[object, object]:
        """The marks that were read first, and what this world answers."""
        self.tick(told.ticks)
        if told.looks and told.name in NAMES:
            self.expect[told.name] = self.world.registry.read(told.name)
        return _marks(self.expect.get(told.name, Marks(told.name))), self._answer(told)

    def _answer(self, told: Told) -> object:
        act, is_port = (PORTS[told.act], True) if told.act in PORTS else (PEOPLE[told.act], False)
        try:
            return "done", act(self.world, told, _twisted(told, self.expect.get(told.name, Marks(told.name))))
        except WatcherError as error:
            return _kind(error) if is_port else getattr(error, "code", type(error).__name__)
        except Exception as error:
            code = getattr(error, "error_code", None)
            if code is None or is_port:
                raise
            return code

    def state(self) -> object:
        """All that the loop can see of this world."""
        registry = self.world.registry
        versions = {name: registry.versions(name, 0) for name in NAMES}
        newest = [next((v for v in versions[name] if LOGGED in v.tags), None) for name in NAMES]
        return (
            list(map(str, _changes(registry.changed(0)))),
            sorted(registry.names()),
            [_marks(registry.read(name)) for name in NAMES],
            {name: [_plain(v) for v in there] for name, there in versions.items()},
            [_evidence(self.world, v) for v in newest if v is not None],
        )


def _twisted(told: Told, marks: Marks) -> Marks:
    match told.twist:
        case "champion":
            return replace(marks, champion=1 if marks.champion is None else None)
        case "challenger":
            return replace(marks, challenger=1 if marks.challenger is None else None)
        case "crown":
            return replace(marks, crown=Crown(n=_n(marks) + 1))
        case _:
            return marks


def _n(marks: Marks) -> int:
    return marks.crown.n if marks.crown else 0


def _kind(error: WatcherError) -> str:
    return next((kind.__name__ for kind in (Conflict, Terminal) if isinstance(error, kind)), type(error).__name__)


def _called(world: Any, told: Told) -> Call | None:
    """What whoever acts takes the version to be called."""
    found = world.registry.version(told.name, told.number) if told.looks else None
    return found.call if isinstance(found, Version) else None


Act = Callable[[Any, Told, Marks], object]

PEOPLE: Mapping[str, Act] = {
    "create model": lambda w, t, _: w.create_model(t.name),
    "create version": lambda w, t, _: w.create_version(
        t.name, files=False, tags={"by": "ann"} if t.crown.met else None
    ),
    "create logged version": lambda w, t, _: w.create_version(
        t.name, {"auc": t.number / 8}, SIGNATURE, {LOGGED: "yes"}
    ),
    "create pending version": lambda w, t, _: w.create_version(t.name, tags={LOGGED: "yes"}, files=False, pending=True),
    "finish version": lambda w, t, _: _logged(w, t, Status.PENDING) and w.finish(t.name, t.number, Status.READY),
    "fail version": lambda w, t, _: _logged(w, t, Status.PENDING) and w.finish(t.name, t.number, Status.FAILED),
    "log metric": lambda w, t, _: _logged(w, t) and _log(w, t),
    "delete version": lambda w, t, _: w.delete_version(t.name, t.number),
    "delete model": lambda w, t, _: t.crown.floor < 1 and w.delete_model(t.name),
    "rename": lambda w, t, _: w.rename(t.name, t.other),
    "set champion": lambda w, t, _: w.set_alias(t.name, "champion", t.number),
    "set challenger": lambda w, t, _: w.set_alias(t.name, "challenger", t.number),
    "set another alias": lambda w, t, _: w.set_alias(t.name, t.alias, t.number),
    "delete champion": lambda w, t, _: w.delete_alias(t.name, "champion"),
    "delete challenger": lambda w, t, _: w.delete_alias(t.name, "challenger"),
    "delete another alias": lambda w, t, _: w.delete_alias(t.name, t.alias),
    "break crown": lambda w, t, _: w.break_crown(t.name),
    "set crown": lambda w, t, _: w.set_crown(t.name, t.crown),
    "set a verdict": lambda w, t, _: w.set_tag(t.name, t.number, "watcher.verdict", ["maybe", "wins"][t.crown.n % 2]),
    "set tag": lambda w, t, _: w.set_tag(t.name, t.number, "it's \N{SNOWMAN}"[: t.crown.n + 1], "<b>"),
    "delete tag": lambda w, t, _: w.delete_tag(t.name, t.number, ["by", "watcher.verdict", "none"][t.crown.n % 3]),
}
PORTS: Mapping[str, Act] = {
    "crown": lambda w, t, e: w.registry.crown(t.name, t.number, t.crown, e),
    "challenge": lambda w, t, e: w.registry.challenge(t.name, t.number, e),
    "unmark": lambda w, t, e: w.registry.challenge(t.name, None, e),
    "write crown": lambda w, t, e: w.registry.write_crown(t.name, t.crown, e),
    "tag": lambda w, t, _: w.registry.tag(t.name, t.number, list(Call)[t.crown.floor], _called(w, t)),
    "untag": lambda w, t, _: w.registry.tag(t.name, t.number, None, _called(w, t)),
    "order": lambda w, t, _: w.registry.set_champion(t.name, t.number),
    "hold": lambda w, t, _: w.registry.hold(t.name, [" ann\n", "", "x" * 1_500][t.crown.n % 3]),
    "release": lambda w, t, _: w.registry.hold(t.name, None),
    "rejudge": lambda w, t, _: w.registry.rejudge(t.name, t.number),
    "approve": lambda w, t, _: w.registry.approve(t.name, t.number, "approved_by", ["ann", " "][t.crown.n % 2]),
    "read": lambda w, t, _: _marks(w.registry.read(t.name)),
    "marks": lambda w, t, _: sorted(map(str, map(_marks, w.registry.marks([t.other, t.name]).values()))),
    "changed": lambda w, t, _: list(map(str, _changes(w.registry.changed(t.since_ms)))),
    "version": lambda w, t, _: _plain(w.registry.version(t.name, t.number)),
    "versions": lambda w, t, _: [_plain(v) for v in w.registry.versions(t.name, t.number, 1)],
    "versions and marked": lambda w, t, _: [_plain(v) for v in w.registry.versions(t.name, 3, 200, (1, t.number))],
    "evidence": lambda w, t, _: _logged(w, t) and _evidence_told(w, t),
}
ACTS = (
    *PEOPLE,
    *PORTS,
    *("rename", "set another alias", "crown", "challenge", "delete version", "create logged version"),
    *("versions", "versions and marked"),
    *("log metric",) * 4,
)
PENDING, WITH_EVIDENCE = {"create pending version"}, {"create pending version", "create logged version"}
NEEDS: Mapping[str, set[str]] = {
    "finish version": PENDING, "fail version": PENDING, "log metric": WITH_EVIDENCE, "evidence": WITH_EVIDENCE,
}  # fmt: skip
"""Acts that are mostly done to versions made in a certain way."""
VALUES = (0.5, 0.0, -0.0, float("nan"), float("inf"), 0.25, -3.5)


def _logged(world: World, told: Told, status: Status | None = None) -> bool:
    if told.name not in NAMES:
        return False
    found = world.registry.version(told.name, told.number)
    return isinstance(found, Version) and LOGGED in found.tags and status in (None, found.status)


def _log(world: World, told: Told) -> object:
    key, value = ("auc", "loss")[told.crown.n % 2], VALUES[told.crown.floor]
    dataset, digest = ("d", "e") if told.crown.met else (None, None)
    world.log_metric(told.name, told.number, key, value, dataset, digest)
    return _evidence_told(world, told)


def _evidence_told(world: World, told: Told) -> object:
    version = world.registry.version(told.name, told.number)
    assert isinstance(version, Version)
    return _evidence(world, version)


def _evidence(world: World, version: Version) -> object:
    found = world.registry.of(version)
    numbers = {
        key: (None if metric.problem else metric.value, metric.dataset, metric.digest)
        for key, metric in sorted(found.metrics.items())
    }
    assert world.registry.example(version) == found.example
    return found.identity.version, found.artifacts is Artifacts.PRESENT, found.signature, numbers


def _plain(version: Version | Gone) -> object:
    """A version without its source, which the two invent differently."""
    if isinstance(version, Gone):
        return version
    identity = version.identity
    facts = (version.status, sorted(version.tags.items()), version.call, version.rejudge)
    return identity.name, identity.version, identity.created_ms, facts


def _marks(marks: Marks) -> object:
    crown = marks.crown, bool(marks.problem)
    return marks.name, marks.champion, marks.challenger, crown, marks.hold, marks.newest, marks.exists


def _changes(changes: Sequence[Any]) -> list[Any]:
    """As they came; those of one moment by name, which nothing promises."""
    moments = [change.updated_ms for change in changes]
    assert moments == sorted(moments, reverse=True)
    return sorted(changes, key=lambda change: (-change.updated_ms, change.name))


def _acts(chance: random.Random) -> Iterator[str]:
    """All of them in a random order, again and again."""
    yield from ("create logged version", "create pending version") * 2
    while True:
        yield from chance.sample(ACTS, len(ACTS))


def _line(act: str, chance: random.Random, now_ms: int, there: There) -> Told:
    name = chance.choice(NAMES) if chance.random() < 0.95 else chance.choice(ODD)
    fitting = [number for number, made in there.get(name, {}).items() if made in NEEDS.get(act, made)]
    return Told(
        act,
        name=name,
        other=chance.choice((*NAMES, *NAMES, *ODD)),
        number=chance.choice(fitting[-2:] if fitting and chance.random() < 0.8 else NUMBERS),
        crown=Crown(
            chance.choice((None, 1, 2)), chance.choice((None, 3)), chance.randrange(7), chance.random() < 0.5,
            chance.randrange(3), chance.choice((None, 1)),
        ),
        # MLflow keeps one number for each key and millisecond.
        ticks=1 if act == "log metric" else chance.choice((0, 0, 1, 1, 3)),
        alias=chance.choice(ALIASES),
        since_ms=now_ms - chance.choice((-1, 0, 1, 2, 20)),
        looks=chance.random() < 0.6,
        twist=chance.choice((None, None, None, "champion", "challenger", "crown")),
    )  # fmt: skip


@dataclass
class Clock:
    """The virtual time of one registry."""

    now_ms: int = 1_000_000

    def tick(self, ticks: int) -> None:
        self.now_ms += ticks


@dataclass(frozen=True)
class History:
    """What was done to MLflow's registry, and what it answered."""

    seed: int
    dangling: bool
    told: tuple[Told, ...]

    def coverage(self) -> Counter[tuple[str, str]]:
        """(act, answer) -> how often: `done`, `nothing to do`, a kind of error, or MLflow's code."""
        return Counter((t.act, t.answer if isinstance(t.answer, str) else _done(t.answer)) for t in self.told)


def _there(told: Sequence[Told]) -> There:
    there: dict[str, dict[int, str]] = {}
    for line in told:
        match line.act, line.answer:
            case act, ("done", int(number)) if act.startswith("create"):
                there.setdefault(line.name, {})[number] = act
            case "delete version", ("done", _):
                del there[line.name][line.number]
            case "delete model", ("done", None):
                there.pop(line.name, None)
            case "rename", ("done", _):
                there[line.other] = there.pop(line.name, {})
            case (("finish version" | "fail version"), ("done", None)):
                there[line.name][line.number] = "create logged version"
    return there


def _done(answer: object) -> str:
    return "nothing to do" if answer == ("done", False) else "done"


def record(folder: Path, seed: int, steps: int) -> History:
    """A random history on an empty registry of MLflow's own, in a SQLite file."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch, _quick_database():
        for module in ("store.model_registry.sqlalchemy_store", "tracking._tracking_service.client"):
            patch.setattr(f"mlflow.{module}.get_current_time_millis", lambda: clock.now_ms)
        uri = sqlite_registry(folder)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        world = Real(uri, folder)
        teller = Teller(world, clock.tick)
        chance = random.Random(seed)
        told: list[Told] = []
        for step, act in enumerate(itertools.islice(_acts(chance), steps)):
            line = _line(act, chance, clock.now_ms, _there(told))
            seen, answer = teller.tell(line)
            state = teller.state() if step % EVERY == 0 or step == steps - 1 else None
            told.append(Told(**(vars(line) | {"seen": seen, "answer": answer, "state": state})))
    return History(seed, world.dangling, tuple(told))


@functools.cache
def slice_of_every_run() -> tuple[History, ...]:
    """The histories of a normal run, recorded once for all who replay them."""
    return tuple(recorded(seed, 200) for seed in range(1, 6))


def recorded(seed: int, steps: int) -> History:
    """A history on a registry that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="watcher-fuzz-") as folder:
        return record(Path(folder), seed, steps)


def coverage(histories: Iterable[History]) -> Counter[tuple[str, str]]:
    """What all of them reached."""
    return sum((history.coverage() for history in histories), Counter())


def difference(history: History) -> str | None:
    """Where the registry in memory first answers otherwise than MLflow did, None where it never does."""
    clock, world = Clock(), Fake()
    # In the middle of a millisecond: seconds that are not whole have no exact form.
    world.registry = world.fake = FakeRegistry(lambda: (clock.now_ms + 0.5) / 1000)
    world.fake.dangling = history.dangling
    teller = Teller(world, clock.tick)
    for step, told in enumerate(history.told):
        before = "\n".join(map(str, history.told[max(0, step - 6) : step + 1]))
        seen, answer = teller.tell(told)
        if seen != told.seen:
            return f"seed {history.seed}, before act {step}: the fake shows {seen}, MLflow {told.seen}\n{before}"
        if answer != told.answer:
            return f"seed {history.seed}, act {step}: the fake answers {answer}\n{before}"
        if told.state is not None and (state := teller.state()) != told.state:
            return f"seed {history.seed}, after act {step}:\n{before}\nMLflow: {told.state}\nfake:   {state}"
    return None


@contextlib.contextmanager
def _quick_database() -> Iterator[None]:
    """SQLite does not wait for the disk: a file that one test reads needs no power cut."""
    import sqlalchemy

    def hurry(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", hurry)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", hurry)


def report(reached: Counter[tuple[str, str]]) -> str:
    """A line for each act, with what came of it how often."""
    lines = []
    for act in (*PEOPLE, *PORTS):
        counts = {answer: n for (name, answer), n in sorted(reached.items()) if name == act}
        lines.append(f"{act:24}" + "  ".join(f"{answer} {n}" for answer, n in counts.items()))
    return "\n".join(lines)
