"""DESIGN's invariants as watchers of a world: asked after every wake-up and every crash."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.loop.conduct import Conduct, answered
from tests.loop.world import MODEL, World
from watcher.decide.analysis import share
from watcher.decide.settle import live_of
from watcher.fakes.registry import FakeRegistry
from watcher.ports import Line
from watcher.slots import holders
from watcher.values import FINAL, Call, Crown, Kind, Marks, Probe, Release, State, Target, Version

FELL = (Call.ROLLED_BACK, Call.DISPLACED)
JUDGED = (Call.LOSES, Call.INVALID, Call.SUPERSEDED)


@dataclass
class Invariants:
    """Keeps what has to be remembered between two looks."""

    world: World
    people: bool = False
    """Whether people may move marks in this run: then the champion mark may move without the loop."""
    allowed: set[int] = field(default_factory=set)
    fallen: set[int] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    weights: dict[str, tuple[dict[str, int], float]] = field(default_factory=dict)
    champions: list[int | None] = field(default_factory=list)
    crowned_ever: bool = False
    lost: set[str] = field(default_factory=set)
    """Targets that somebody else just emptied or changed; forgiven until they are whole again."""
    shifts: int = 0
    moves: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    """Every change of a target's weights that was ours: the target, and release name -> percent."""
    seen: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    """Target -> its weights in turn, by version."""
    wanted: set[int] = field(default_factory=set)
    """Versions that ever were the champion, the challenger or what an order that is not met goes back to."""
    calls: dict[int, Call | None] = field(default_factory=dict)
    """What every version was called at the last look."""
    crowns: list[Crown] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    """Versions that a person ordered, or wanted to have judged again."""
    from_the_start: bool = False
    """Whether every probe of a rollout under way was seen here."""
    forgot: bool = False
    """Whether what the ledger remembers was lost, so that a state may be told once more."""
    told_before: int = 0
    probed: set[tuple[str, str]] = field(default_factory=set)
    """(target, release) of every probe that the release itself passed."""
    approved_at: dict[int, float] = field(default_factory=dict)
    """Version -> when a person last wrote its approval."""

    def __post_init__(self) -> None:
        self.world.watch.append(lambda _: self.look())
        self.champions.append(self.world.champion())
        self.conduct = Conduct(self.world)
        self.told_before = len(self.world.lines())
        self.from_the_start = self.on_fakes and self._read().challenger is None
        if self.on_fakes:
            self._hear()
            self._follow()

    @property
    def on_fakes(self) -> bool:
        """Whether everything that is done to this world can be heard; of real parts only what they are is seen."""
        return isinstance(self.world.registry, FakeRegistry)

    def _hear(self) -> None:
        """Learn what people and accidents do to this world from now on, at the moment they do it."""
        registry, deployer = self.world.registry, self.world.deployer
        for deed in ("lose", "meddle", "foreign"):
            _before(deployer, deed, self._disturbed)
        for order in ("set_alias", "set_champion", "rejudge", "set_tag"):
            _before(registry, order, self._asked)
        for loss in ("delete_model", "rename", "set_crown", "break_crown"):
            _before(registry, loss, self._marks_lost)
        _before(self.world.ledger, "wipe", self._memory_lost)

    def _follow(self) -> None:
        """Be there when the loop writes marks."""
        registry = self.world.registry
        _before(registry, "crown", self._crowning)
        _before(registry, "challenge", self._nominating)
        _before(registry, "approve", self._approving)
        _before(self.world.deployer, "shift", self._shifting)
        _before(
            self.world.deployer,
            "mirror",
            lambda target, name, percent, _: self.conduct.mirroring(target, name, percent),
        )
        _before(self.world.deployer, "launch", self.conduct.launching)
        _before(self.world.deployer, "retire", lambda target, name: self.conduct.retiring(target, name, self._read()))
        _after(self.world.deployer, "probe", self._probed)

    def _disturbed(self, target: Target, *_: Any, **__: Any) -> None:
        self.lost.add(target.name)

    def _asked(self, _name: str, *about: Any) -> None:
        version = next(part for part in about if isinstance(part, int))
        self.asked.add(version)
        self.fallen.discard(version)

    def _marks_lost(self, *_: Any) -> None:
        self.crowns.clear()
        self.fallen.clear()
        self.calls.clear()
        self.forgot = self.conduct.forgot = True

    def _memory_lost(self) -> None:
        self.forgot = True
        self.conduct.wiped()

    def _crowning(self, name: str, version: int, crown: Crown, expect: Marks) -> None:
        """No crown but for a version that serves alone, everywhere; none for one that fell."""
        now = self._read()
        if name != MODEL or now.champion == version or now.crown != expect.crown or now.champion != expect.champion:
            return
        for target in self.world.targets:
            whole = self.world.deployer.serving(target) == {version: 100}
            assert whole or target.name in self.lost, f"v{version} crowned before {target.name} was whole on it"
        assert version not in self.fallen, f"v{version} had fallen and is crowned again"
        assert crown.previous == now.champion, f"v{version} is crowned over v{crown.previous}, not v{now.champion}"

    def _nominating(self, name: str, version: int | None, expect: Marks) -> None:
        """Nothing at or below the floor is nominated, nothing that was called before."""
        now = self._read()
        if name != MODEL or version is None or now.challenger == version or now.crown != expect.crown:
            return
        floor = now.crown.floor if now.crown else 0
        assert version > floor, f"v{version} is nominated, the floor is {floor}"
        assert self.world.call(version) is None, f"v{version} is nominated once more"
        slot = not self.conduct.strict or MODEL in holders(self.world.ledger)
        assert slot, f"v{version} is nominated, and has no slot"
        assert now.hold is None or expect.hold is None, f"v{version} is nominated under a hold"
        crowned = now.crown.crowned if now.crown else None
        assert now.champion is not None or crowned is None, f"v{version} is nominated, and the champion is missing"
        for target in self.world.targets if now.champion == expect.champion else ():
            serving = self.world.deployer.serving(target)
            whole = serving == ({now.champion: 100} if now.champion else {})
            assert whole or target.name in self.lost, f"v{version} is nominated, and {target.name} serves {serving}"
        approval = self.world.policy.approval
        if approval is not None and approval.expires is not None:
            # The time counts from when the loop first saw it: a bake is more than any wake-up comes late.
            late = self.world.now - self.approved_at[version] - approval.expires
            assert late <= self.world.rollout.bake, f"v{version} is nominated on an approval that expired"

    def _approving(self, _name: str, version: int, *_: Any) -> None:
        self.approved_at[version] = self.world.now

    def _probed(self, probe: Probe, release: Release, *_: Any) -> None:
        if answered(probe, release):
            self.probed.add((release.target.name, release.name))

    def _shifting(self, target: Target, weights: Mapping[str, int], token: str) -> None:
        """A challenger gets its first traffic after a probe, and more only on figures that speak for it."""
        self.conduct.shifting(target)
        marks = self._read()
        place, seen = self.world.deployer.places[target.place], self.world.deployer.look(target)
        if marks.challenger is None or marks.challenger == marks.champion:
            return
        by_version = {release.version: release for release in seen.releases if release.ours}
        new, old = by_version.get(marks.challenger), by_version.get(marks.champion or -1)
        if new is None or weights.get(new.name, 0) <= place.weights.get(new.name, 0):
            return
        self.conduct.going_on(marks.challenger)
        assert (target.name, new.name) in self.probed or not self.from_the_start, f"{new.name} was never probed"
        if old is None or target.shape is not Kind.ENDPOINT:
            return
        if new.name not in place.weights:
            if token == seen.token:
                self._mirrored_first(target, new.name, marks.challenger)
            return
        rules = self.world.rollout.analysis
        if rules.no_traffic == "wait":
            assert new.traffic.available, f"{new.name} goes on, and its figures are not known"
            assert old.traffic.available, f"{new.name} goes on, and the champion's figures are not known"
            assert new.traffic.requests >= rules.min_requests, (
                f"{new.name} goes on after {new.traffic.requests} requests"
            )
        bad = share(new.traffic) - share(old.traffic) > rules.max_error_increase
        assert not bad or new.traffic.requests < rules.min_requests, f"{new.name} goes on with {new.traffic}"
        slow = (new.traffic.p95_ms or 0.0) > rules.max_p95_ratio * (old.traffic.p95_ms or float("inf"))
        assert not slow, f"{new.name} goes on with {new.traffic}, the champion has {old.traffic}"

    def _mirrored_first(self, target: Target, name: str, challenger: int) -> None:
        """Before anyone is given its answers, a challenger has answered copies for a whole bake, well enough."""
        endpoints = [t for t in self.world.targets if t.shape is Kind.ENDPOINT]
        rollout = self.world.rollout
        if not rollout.mirror or any(challenger in self.world.deployer.serving(t) for t in endpoints):
            return
        copies, place = self.world.deployer.look(target).mirrored, self.world.deployer.places[target.place]
        assert copies is not None, f"{name} gets traffic, and nothing was mirrored to it"
        assert (copies.release, copies.percent) == (name, rollout.mirror), f"{name} gets traffic after {copies}"
        baked = self.world.now - place.since
        assert baked >= rollout.bake - 0.1, f"{name} gets traffic after {baked:.1f} s of copies"
        rules, asked = rollout.analysis, copies.traffic.requests
        assert asked >= rules.min_requests or rules.no_traffic == "probe", f"{name} gets traffic after {asked} copies"
        if asked >= rules.min_requests:
            assert share(copies.traffic) <= rules.max_error_increase, f"{name} gets traffic after {copies}"
            if rules.max_disagreement is not None and rules.no_traffic == "wait":
                assert copies.compared >= rules.min_requests, f"{name} gets traffic after {copies}"
            most = 1.0 if rules.max_disagreement is None else rules.max_disagreement
            assert copies.disagreed <= most * copies.compared, f"{name} gets traffic after {copies}"

    def look(self) -> None:
        """Every invariant that can be seen from outside, now."""
        self._marks()
        if self.on_fakes:
            self.conduct.look(self._versions(), self._read())
        for target in self.world.targets:
            place = self.world.deployer.places.get(target.place)
            if place is not None:
                self._target(target.name, target.shape, place.weights)
        self.wanted |= self._wanted(self._read())

    def _versions(self) -> dict[int, Version]:
        with self._clear():
            return {v.number: v for v in self.world.registry.versions(MODEL, 0)}

    def _read(self) -> Marks:
        with self._clear():
            return self.world.registry.read(MODEL)

    @contextmanager
    def _clear(self) -> Iterator[None]:
        """Inside, the registry tells all, as it is now."""
        registry = self.world.registry
        if not self.on_fakes:
            yield
            return
        kept = registry.stale_writes, registry.listing
        registry.stale_writes, registry.listing = 0, lambda _, rows: rows
        try:
            yield
        finally:
            registry.stale_writes, registry.listing = kept

    def _marks(self) -> None:
        marks = self._read()
        for number, version in self._versions().items():
            if version.rejudge:
                self._asked(MODEL, number)
            if version.call is Call.WINS:
                self.allowed.add(number)
                assert number not in self.fallen or not self.on_fakes, f"v{number} had fallen and wins again"
            if version.call in FELL and self.calls.get(number) != version.call and number != marks.champion:
                self.fallen.add(number)
            judged = self.on_fakes and version.call in JUDGED
            over = self.calls.get(number) is Call.WINS and judged and number not in self.asked
            assert not over, f"v{number} had won, and is called {version.call}"
            self.calls[number] = version.call
        if marks.champion is not None:
            self.allowed.add(marks.champion)
        before = self.champions[-1]
        if marks.champion != before:
            self.champions.append(marks.champion)
            if not self.people and marks.champion is not None:
                self._crowned_whole(marks.champion)
                assert marks.champion not in self.fallen, f"v{marks.champion} had fallen and is champion again"
        if marks.crown and marks.crown.crowned is not None:
            self.crowned_ever = True
        self._crown(marks.crown)

    def _crown(self, crown: Crown | None) -> None:
        """The crown tag is numbered upwards, and its floor sinks only where a person wanted another verdict."""
        before = self.crowns[-1] if self.crowns else None
        if not self.on_fakes or crown is None or crown == before:
            return
        self.crowns.append(crown)
        if before is not None:
            assert crown.n > before.n, f"{before} was overwritten by {crown}"
            assert crown.floor >= before.floor or crown.floor + 1 in self.asked, f"the floor sank: {before}, {crown}"

    def _crowned_whole(self, champion: int) -> None:
        for target in self.world.targets:
            assert self.world.deployer.serving(target) == {champion: 100}, "crowned before every target was whole"

    def _target(self, name: str, shape: Kind, weights: dict[str, int]) -> None:
        target = next(t for t in self.world.targets if t.name == name)
        seen = self.world.deployer.look(target)
        live = {r.name: r for r in seen.releases if r.name in weights}
        disturbed = name in self.lost
        # A stream that still has to apply a move goes on with what it ran before.
        serves = (State.READY, State.STARTING) if shape is Kind.STREAM else (State.READY,)
        whole = bool(weights) and all(live[n].state in serves for n in weights)
        if weights:
            assert sum(weights.values()) == 100 or name in self.lost, f"{name}: weights {weights}"
        if whole and sum(weights.values()) == 100:
            self.served.add(name)
            self.lost.discard(name)
        elif name in self.served and self.crowned_ever:
            assert name in self.lost, f"{name} was left without a live, ready release: {weights}"
        for release in live.values():
            if release.ours:
                assert release.version in self.allowed, f"v{release.version} got traffic without a verdict or an order"
        if not seen.adopted or seen.problem:
            moved = self.weights.get(name, (None, 0.0))[0] not in (
                None,
                {str(live[n].version): weights[n] for n in live},
            )
            assert not moved or disturbed, f"{name} was moved, and it is not ours to move"
        self._baked(name, shape, {live[n].version: w for n, w in weights.items()}, disturbed=disturbed)

    def _baked(self, name: str, shape: Kind, serving: dict[int, int], *, disturbed: bool) -> None:
        before, since = self.weights.get(name, ({}, self.world.now))
        current = {str(v): w for v, w in serving.items()}
        place = next(self.world.deployer.places[t.place] for t in self.world.targets if t.name == name)
        if current == before:
            return
        marks = self._read()
        challenger = str(marks.challenger)
        forward = current.get(challenger, 0) > before.get(challenger, 0) > 0
        if forward and shape is Kind.ENDPOINT and marks.challenger != marks.champion:
            waited = place.since - since
            assert waited >= self.world.rollout.bake - 0.1, f"{name} went on after {waited:.1f} s of baking"
        if self.on_fakes and name in self.weights and not disturbed:
            self.moves.append((name, dict(place.weights)))
            gained = {v for v in serving if current[str(v)] > before.get(str(v), 0)}
            assert gained <= self._wanted(marks) | (self.wanted - self.fallen), (
                f"{name}: {before} -> {current} without a reason"
            )
        if self.on_fakes:
            self.seen.setdefault(name, []).append(self._labelled(name, place.weights))
        self.weights[name] = (current, place.since)
        self.shifts += 1

    def _labelled(self, name: str, weights: dict[str, int]) -> dict[str, int]:
        """Weights as the history tells them: by version, a foreign release by its name."""
        target = next(t for t in self.world.targets if t.name == name)
        return live_of(replace(self.world.deployer.look(target), weights=weights))

    def _wanted(self, marks: Marks) -> set[int]:
        """The versions that may gain traffic now."""
        back = marks.crown.previous if marks.crown and not marks.crown.met else None
        return {v for v in (marks.champion, marks.challenger, back) if v is not None}

    def at_rest(self) -> None:
        """What must hold when nothing is due any more."""
        marks = self._read()
        versions = self._versions()
        champion = versions.get(marks.champion or -1)
        if champion is None:
            return
        unmet = champion.call is Call.UNMET
        wanted = marks.crown.previous if unmet and marks.crown and marks.crown.previous else marks.champion
        for target in self.world.targets:
            assert self.world.deployer.serving(target) == {wanted: 100}, f"{target.name} at rest\n{self.world.tail()}"
        assert marks.challenger is None
        if not unmet:
            assert marks.crown is not None
            assert marks.crown.crowned == marks.champion
            assert marks.crown.met
            for version in versions.values():
                judged = version.call in FINAL or version.call in (Call.WINS, Call.UNMET)
                assert judged or version.number == marks.champion, f"v{version.number} has no verdict"
        if self.on_fakes:
            assert MODEL not in holders(self.world.ledger), "a slot is held, and nothing is being rolled out"
        self._history()

    def _history(self) -> None:
        """The last `live` line of each target is what it serves."""
        for target in self.world.targets:
            lines = [x for x in self.world.lines("live") if x.target == target.name]
            serving = {str(v): w for v, w in self.world.deployer.serving(target).items()}
            assert lines
            assert (lines[-1].data or {}).get("weights") == serving
            told = iter(x.data["weights"] for x in lines if x.data)
            for weights in self.seen.get(target.name, []) if self.on_fakes else []:
                assert weights in told, f"{target.name} served {weights}, and the history does not say so"

    def quiet(self) -> None:
        """Nothing is due: looking again does nothing, says nothing and finds nothing that nobody needs."""
        marks, lines = self._read(), len(self.world.lines())
        for _ in range(3):
            self.world.now += 100.0
            woken = self.world.wake()
            assert not woken.acted, f"at rest, and then {woken.step.slot}"
        news = self.world.lines()[lines:]
        assert not news, f"at rest, and then told {news[0]}"
        assert self._read() == marks
        self._told_once()
        if woken.step.reason == "nothing_to_do":
            self._no_strays(marks)

    def _no_strays(self, marks: Marks) -> None:
        for target in self.world.targets:
            serving, kept = self.world.deployer.serving(target), {marks.champion}
            for release in self.world.deployer.look(target).releases:
                needed = release.version in serving or release.version in kept or not release.ours
                assert needed, f"v{release.version} was left behind on {target.name}"

    def _told_once(self) -> None:
        """No state is told twice in a row, no verdict given twice in the same words."""
        if self.forgot:
            return
        lines = self.world.lines()[self.told_before :]
        for before, line in itertools.pairwise(lines):
            # Of settings that somebody changes back and forth nothing else tells.
            again = line.event == "told" and line.reason != "target_left" and _said(line) == _said(before)
            assert not again, f"told twice: {line}"
        verdicts: dict[int | None, object] = {}
        for line in (x for x in lines if x.event == "verdict"):
            again = verdicts.get(line.version) == line.reason and line.version not in self.asked
            assert not again, f"v{line.version} was judged {line.reason} twice"
            verdicts[line.version] = line.reason

    def one_launch_each(self) -> None:
        launches = self.world.deployer.launches
        assert len(launches) == len(set(launches)), f"launched twice: {launches}"

    def intent_before_act(self) -> None:
        """Every change of a target was announced by an intent that names its release or its weights."""
        intents = [x.data["slot"] for x in self.world.lines("intent") if x.data]
        for name, key in self.world.deployer.launches:
            announced = [slot for slot in intents if slot.startswith(f"launch:{name}:") and slot.endswith(f"-v{key}")]
            assert announced, f"{key} was launched on {name} without a word"
        for name, weights in self.moves:
            what = ",".join(f"{release}={percent}" for release, percent in sorted(weights.items()))
            assert f"shift:{name}:{what}" in intents, f"{name} was shifted to {what or 'nothing'} without a word"


def _said(line: Line) -> object:
    return line.event, line.version, line.reason, line.data


def _after(of: Any, name: str, heard: Callable[..., None]) -> None:
    """Let `heard` have the answer and the arguments of each call of a method."""
    method = getattr(of, name)

    def call(*arguments: Any, **named: Any) -> Any:
        answer = method(*arguments, **named)
        heard(answer, *arguments, **named)
        return answer

    setattr(of, name, call)


def _before(of: Any, name: str, heard: Callable[..., None]) -> None:
    """Let `heard` have the arguments of each call of a method before the method has them."""
    method = getattr(of, name)

    def call(*arguments: Any, **named: Any) -> Any:
        heard(*arguments, **named)
        return method(*arguments, **named)

    setattr(of, name, call)
