"""DESIGN's invariants as watchers of a world: asked after every wake-up and every crash."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.loop.conduct import JUDGED, Conduct, answered, record_of
from tests.loop.tap import on_call, on_return
from tests.loop.world import MODEL, World
from watcher.decide.analysis import share
from watcher.decide.settle import live_of
from watcher.fakes.registry import FakeRegistry
from watcher.ports import Line
from watcher.reconcile import LEASES
from watcher.slots import holders
from watcher.values import (
    FINAL,
    Call,
    Crown,
    Kind,
    Marks,
    Probe,
    Release,
    SeenRelease,
    State,
    Step,
    Target,
    Verb,
    Version,
)

NEWS = ("order", "unmet", "crowned", "rolled_back")
"""What a line tells of a champion or of a rollout."""
FELL = (Call.ROLLED_BACK, Call.DISPLACED)


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
    accepted: dict[str, set[int]] = field(default_factory=dict)
    """Target -> versions that might gain traffic when it was shifted, where that takes effect later."""
    displaced: set[int] = field(default_factory=set)
    """Versions that reigned until an order replaced them, and were called nothing before."""
    shifted: dict[str, dict[str, int]] = field(default_factory=dict)
    """Target -> the weights that were asked of it last."""
    probed: dict[tuple[str, str], float] = field(default_factory=dict)
    """(target, release) -> when the release itself last passed its probe."""
    late: dict[str, dict[str, int] | None] = field(default_factory=dict)
    """Target -> the weights that a worker gave it which was overtaken beyond its lease; None once they were seen."""
    named: set[str] = field(default_factory=set)
    """Targets that the settings named at the last look."""
    returned: dict[str, list[float]] = field(default_factory=dict)
    """Target -> each time when the settings began to name it."""
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
            on_call(deployer, deed, self._disturbed)
        for order in ("set_alias", "set_champion", "rejudge", "set_tag"):
            on_call(registry, order, self._asked)
        for loss in ("delete_model", "rename", "set_crown", "break_crown"):
            on_call(registry, loss, self._marks_lost)
        on_call(self.world.ledger, "wipe", self._memory_lost)

    def _follow(self) -> None:
        """Be there when the loop writes marks."""
        registry = self.world.registry
        on_call(registry, "crown", self._crowning)
        on_call(registry, "challenge", self._nominating)
        on_call(registry, "approve", self._approving)
        on_call(self.world.deployer, "shift", self._shifting)
        on_call(
            self.world.deployer,
            "mirror",
            lambda target, name, percent, _: self.conduct.mirroring(target, name, percent),
        )
        on_call(self.world.deployer, "launch", lambda release: self.conduct.launching(release, self._read()))
        on_call(self.world.evaluator, "start", self.conduct.scoring)
        on_call(registry, "write_crown", self._ordering)
        on_call(
            registry,
            "tag",
            lambda _, number, call, __: self.conduct.tagging(number, call, self._versions(), self._read()),
        )
        self.conduct.hear()
        on_call(self.world.deployer, "retire", lambda target, name: self.conduct.retiring(target, name, self._read()))
        on_return(self.world.deployer, "probe", self._probed)
        on_return(self.world.deployer, "shift", self._shifted)

    def _disturbed(self, target: Target, *_: Any, **__: Any) -> None:
        self.lost.add(target.name)
        self.conduct.disturbed.add(target.name)

    def _asked(self, _name: str, *about: Any) -> None:
        version = next(part for part in about if isinstance(part, int))
        self.asked.add(version)
        self.fallen.discard(version)
        self.displaced.discard(version)

    def _marks_lost(self, *_: Any) -> None:
        self.crowns.clear()
        self.fallen.clear()
        self.displaced.clear()
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
            seen = self.world.deployer.look(target)
            ready = {r.name for r in seen.releases if r.version == version and r.state is State.READY}
            alone = self.world.deployer.serving(target) == {version: 100} and bool(ready & seen.weights.keys())
            forgiven = target.name in self.lost or self.conduct.raced
            assert (alone and not seen.moving) or forgiven, f"v{version} crowned before {target.name} was whole on it"
        assert version not in self.fallen, f"v{version} had fallen and is crowned again"
        assert crown.previous == now.champion, f"v{version} is crowned over v{crown.previous}, not v{now.champion}"

    def _nominating(self, name: str, version: int | None, expect: Marks) -> None:
        """Nothing at or below the floor is nominated, nothing that was called before."""
        now = self._read()
        if name != MODEL or version is None or now.challenger == version or now.crown != expect.crown:
            return
        floor = now.crown.floor if now.crown else 0
        assert version > floor, f"v{version} is nominated, the floor is {floor}"
        self.conduct.nominating(version)
        assert self._call(version) is None, f"v{version} is nominated once more"
        crown = now.crown or Crown()
        assert self.world.mode == "deploy", f"v{version} is nominated, and only advice is asked for"
        assert crown.met or crown.crowned is None, f"v{version} is nominated, and an order is not met"
        slot = not self.conduct.strict or MODEL in holders(self.world.ledger)
        assert slot, f"v{version} is nominated, and has no slot"
        assert now.hold is None or expect.hold is None, f"v{version} is nominated under a hold"
        crowned = now.crown.crowned if now.crown else None
        assert now.champion is not None or crowned is None, f"v{version} is nominated, and the champion is missing"
        for target in self.world.targets if now.champion == expect.champion else ():
            serving = self.world.deployer.serving(target)
            whole = serving == ({now.champion: 100} if now.champion else {})
            assert whole or self.conduct.raced, f"v{version} is nominated, and {target.name} serves {serving}"
            seen = self.world.deployer.look(target)
            free = seen.adopted and not seen.problem and not seen.moving
            free = free and (not self.conduct.strict or self.conduct.can_be_seen(target))
            assert free or self.conduct.raced, f"v{version} is nominated, and {target.name} cannot be moved"
        approval = self.world.policy.approval
        if approval is not None and approval.expires is not None:
            # The time counts from when the loop first saw it: a bake is more than any wake-up comes late.
            late = self.world.now - self.approved_at.get(version, self.world.now) - approval.expires
            assert late <= self.world.rollout.bake, f"v{version} is nominated on an approval that expired"

    def _ordering(self, name: str, crown: Crown, expect: Marks) -> None:
        """An order raises the floor above all there is, and goes back to what served; it is met once that is seen."""
        now = self._read()
        held = now.crown or Crown()
        if name != MODEL or now.crown != expect.crown or now.champion != expect.champion or self.conduct.raced:
            return
        if crown.met and not (held.met and held.crowned == crown.crowned) and now.champion in self._versions():
            key = self._versions()[now.champion].identity.key
            for target in self.world.targets:
                seen = self.world.deployer.look(target)
                ready = [r.name for r in seen.releases if r.key == key and r.state is State.READY]
                whole = len(ready) == 1 and dict(seen.weights) == {ready[0]: 100} and not seen.moving
                assert whole, f"v{crown.crowned} is met, and {target.name} is not whole on it: {seen}"
        if crown.crowned == held.crowned:
            return
        if self._call(crown.crowned) is not Call.WINS:
            assert crown.floor >= now.newest, f"v{crown.crowned} never won, and is no order: {crown}"
        if now.challenger == now.champion:
            return
        serving = [self._served_whole(target) for target in self.world.targets]
        last = held.crowned if held.met else held.previous
        back = serving[0] if serving and len(set(serving)) == 1 and serving[0] is not None else last
        gone = back not in self._versions()
        assert crown.previous == back or (gone and crown.previous is None), f"served {serving}, and {crown}"

    def _served_whole(self, target: Target) -> int | None:
        """The version that a target serves alone, None where there is none, or none that was ever to stay."""
        seen, keys = self.world.deployer.look(target), {v.identity.key for v in self._versions().values()}
        record = record_of(self.world.kept())
        passing = record.rollout if record else None
        whole = [r for r in seen.releases if seen.weights.get(r.name) == 100 and r.key in keys]
        return next((r.version for r in whole if r.version != passing), None)

    def _approving(self, _name: str, version: int, *_: Any) -> None:
        self.approved_at[version] = self.world.now

    def _probed(self, probe: Probe, release: Release, *_: Any) -> None:
        if answered(probe, release):
            self.probed[release.target.name, release.name] = self.world.now

    def _shifting(self, target: Target, weights: Mapping[str, int], token: str) -> None:
        """A challenger gets its first traffic after a probe, and more only on figures that speak for it."""
        self.conduct.shifting(target)
        self.shifted[target.name] = dict(weights)
        marks = self._read()
        if self.world.deployer.shift_seconds:
            self.accepted[target.name] = self.accepted.get(target.name, set()) | self._may_gain(marks)
        place, seen = self.world.deployer.places[target.place], self.world.deployer.look(target)
        if marks.challenger is None or marks.challenger == marks.champion:
            return
        by_version = {release.version: release for release in seen.releases if release.ours}
        new, old = by_version.get(marks.challenger), by_version.get(marks.champion or -1)
        if new is None or weights.get(new.name, 0) <= place.weights.get(new.name, 0):
            return
        self.conduct.going_on(marks.challenger, marks.hold)
        assert (target.name, new.name) in self.probed or not self.from_the_start, f"{new.name} was never probed"
        if marks.champion is None or target.shape is not Kind.ENDPOINT:
            return
        if token == seen.token and not self.conduct.raced:
            self._next_stage(target, new, weights)
        if old is None:
            return
        if new.name not in place.weights:
            if token == seen.token:
                self._mirrored_first(target, new.name, marks.challenger)
            return
        self._good_enough(target, new, old)

    def _shifted(self, _: None, target: Target, weights: Mapping[str, int], _token: str) -> None:
        """A worker overtaken beyond its lease may shift once too late (ADR 0004); at rest nothing is left of it."""
        if self.world.atomic or not self.conduct.raced:
            return
        slot = Step(Verb.SHIFT, target.name, weights=weights).slot
        announced = max(line.at for line in self.world.lines("intent") if line.data and line.data["slot"] == slot)
        if self.world.now > announced + LEASES * self.world.deployer.lease:
            assert not self.late, f"{target.name} is shifted late, after {self.late}"
            self.late[target.name] = dict(weights)

    def _good_enough(self, target: Target, new: SeenRelease, old: SeenRelease) -> None:
        """What the challenger answered since the target changed speaks for more, or it was asked after its bake."""
        rules, place = self.world.rollout.analysis, self.world.deployer.places[target.place]
        if rules.no_traffic == "wait":
            assert new.traffic.available, f"{new.name} goes on, and its figures are not known"
            assert old.traffic.available, f"{new.name} goes on, and the champion's figures are not known"
            assert new.traffic.requests >= rules.min_requests, (
                f"{new.name} goes on after {new.traffic.requests} requests"
            )
        elif new.traffic.requests < rules.min_requests:
            asked = self.probed.get((target.name, new.name), 0.0)
            baked = place.since + self.world.rollout.bake
            assert asked >= baked - 0.1, f"{new.name} goes on without requests, and was not asked since {baked}"
        bad = share(new.traffic) - share(old.traffic) > rules.max_error_increase
        assert not bad or new.traffic.requests < rules.min_requests, f"{new.name} goes on with {new.traffic}"
        slow = (new.traffic.p95_ms or 0.0) > rules.max_p95_ratio * (old.traffic.p95_ms or float("inf"))
        assert not slow, f"{new.name} goes on with {new.traffic}, the champion has {old.traffic}"

    def _next_stage(self, target: Target, new: SeenRelease, weights: Mapping[str, int]) -> None:
        """A challenger takes one stage of its canary after the other, on no endpoint two ahead of another."""
        places = [self.world.deployer.places[t.place] for t in self.world.targets if t.shape is Kind.ENDPOINT]
        at = self.world.deployer.places[target.place].weights.get(new.name, 0)
        following = min(percent for percent in self.world.rollout.canary if percent > at)
        assert weights[new.name] == following, f"{new.name} goes from {at}% to {weights[new.name]}%"
        others = [place.weights.get(name, 0) for place in places for name in place.releases if name == new.name]
        assert at <= min(others), f"{new.name} goes on from {at}% on {target.name}, and is at {others}"

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
        probed = self.probed.get((target.name, name), 0.0) >= place.since + rollout.bake - 0.1
        enough = asked >= rules.min_requests or (rules.no_traffic == "probe" and probed)
        assert enough, f"{name} gets traffic after {asked} copies"
        if asked >= rules.min_requests:
            assert share(copies.traffic) <= rules.max_error_increase, f"{name} gets traffic after {copies}"
            if rules.max_disagreement is not None and rules.no_traffic == "wait":
                assert copies.compared >= rules.min_requests, f"{name} gets traffic after {copies}"
            most = 1.0 if rules.max_disagreement is None else rules.max_disagreement
            assert copies.disagreed <= most * copies.compared, f"{name} gets traffic after {copies}"

    def look(self) -> None:
        """Every invariant that can be seen from outside, now."""
        self._marks()
        names = {target.name for target in self.world.targets}
        for name in names - self.named:
            self.returned.setdefault(name, []).append(self.world.now)
        self.named = names
        if self.on_fakes:
            self.conduct.look(self._versions(), self._read())
        for target in self.world.targets:
            place = self.world.deployer.places.get(target.place)
            if place is not None:
                self._target(target.name, target.shape, place.weights)
        self.wanted |= self._wanted(self._read())
        record = record_of(self.world.kept()) if self.on_fakes else None
        reigned = any(self.champions) or self.crowned_ever or bool(self.crowns)
        assert record is None or not record.crowned_at or reigned, f"nothing reigned, and {record} knows since when"

    def _versions(self) -> dict[int, Version]:
        with self._clear():
            return {v.number: v for v in self.world.registry.versions(MODEL, 0)}

    def _call(self, number: int | None) -> Call | None:
        found = self._versions().get(number or 0)
        return found.call if found else None

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
        kept, asked = (registry.stale_writes, registry.listing), len(registry.calls)
        registry.stale_writes, registry.listing = 0, lambda _, rows: rows
        try:
            yield
        finally:
            registry.stale_writes, registry.listing = kept
            while len(registry.calls) > asked:
                registry.calls.pop()

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
        if crown.displaced is not None and self._call(crown.displaced) is None:
            self.displaced.add(crown.displaced)
        if before is not None:
            assert crown.n > before.n, f"{before} was overwritten by {crown}"
            again = crown.floor + 1 in self.asked - {self.champions[-1]}
            assert crown.floor >= before.floor or again, f"the floor sank: {before}, {crown}"

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
            accepted = self.on_fakes and self.world.deployer.shift_seconds and weights == self.shifted.get(name)
            assert not moved or disturbed or accepted, f"{name} was moved, and it is not ours to move"
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
            allowed = self._may_gain(marks) | self.accepted.get(name, set())
            if not gained <= allowed:
                assert self.late.get(name) == place.weights, f"{name}: {before} -> {current} without a reason"
                self.late[name] = None
        if self.on_fakes:
            self.seen.setdefault(name, []).append(self._labelled(name, place.weights))
        self.weights[name] = (current, place.since)
        self.shifts += 1

    def _labelled(self, name: str, weights: dict[str, int]) -> dict[str, int]:
        """Weights as the history tells them: by version, a foreign release by its name."""
        target = next(t for t in self.world.targets if t.name == name)
        return live_of(replace(self.world.deployer.look(target), weights=weights))

    def _may_gain(self, marks: Marks) -> set[int]:
        return self._wanted(marks) | (self.wanted - self.fallen)

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
        unmet = champion.call is Call.UNMET and not (marks.crown and marks.crown.met)
        wanted = marks.crown.previous if unmet and marks.crown and marks.crown.previous else marks.champion
        for target in self.world.targets:
            assert self.world.deployer.serving(target) == {wanted: 100}, f"{target.name} at rest\n{self.world.tail()}"
        assert marks.challenger is None
        if not unmet:
            assert champion.call is not Call.UNMET, f"v{champion.number} is met, and called unmet"
            assert marks.crown is not None
            assert marks.crown.crowned == marks.champion
            assert marks.crown.met
            displaced = [v for number, v in versions.items() if number in self.displaced - {marks.champion}]
            fell = all(v.call in FELL for v in displaced) or self.conduct.untagged
            assert fell, f"{displaced} reigned, and are not called displaced"
            for version in versions.values():
                judged = version.call in FINAL or version.call in (Call.WINS, Call.UNMET)
                assert judged or version.number == marks.champion, f"v{version.number} has no verdict"
        if self.on_fakes:
            assert MODEL not in holders(self.world.ledger), "a slot is held, and nothing is being rolled out"
            record = record_of(self.world.kept())
            settled = record is None or unmet or record.settled == marks.newest
            assert settled, f"every version up to v{marks.newest} has its verdict, and {record} does not say so"
            there = {
                f"wrote:{t.name}:{r.key}" for t in self.world.targets for r in self.world.deployer.look(t).releases
            }
            gone = {key for key in record.told if key.startswith("wrote:")} - there if record else set()
            assert not gone, f"remembered of releases that are gone: {gone}"
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
        for before, line in itertools.pairwise(lines if not self.conduct.strict else ()):
            again = line.event == "told" and line.reason != "target_left" and _said(line) == _said(before)
            assert not again, f"told twice: {line}"
        left: dict[str | None, float] = {}
        for line in (x for x in lines if x.reason == "target_left"):
            back = any(left.get(line.target, 0.0) < at <= line.at for at in self.returned.get(line.target or "", []))
            assert line.target not in left or back, f"told twice: {line}"
            left[line.target] = line.at
        for before, line in itertools.pairwise(x for x in lines if x.event in NEWS):
            again = (line.event, line.version, line.data) == (before.event, before.version, before.data)
            another = line.event == "rolled_back" and line.version in self.asked
            assert not again or another, f"told twice: {line}"
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
