"""DESIGN's invariants as watchers of a world: asked after every wake-up and every crash."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.loop.world import MODEL, World
from watcher.values import FINAL, Call, Kind, State, Version


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

    def __post_init__(self) -> None:
        self.world.watch.append(lambda _: self.look())
        self.champions.append(self.world.champion())

    def look(self) -> None:
        """Every invariant that can be seen from outside, now."""
        self._marks()
        for target in self.world.targets:
            place = self.world.deployer.places.get(target.place)
            if place is not None:
                self._target(target.name, target.shape, place.weights)

    def _versions(self) -> dict[int, Version]:
        return {v.number: v for v in self.world.registry.versions(MODEL, 0)}

    def _marks(self) -> None:
        marks = self.world.registry.read(MODEL)
        for number, version in self._versions().items():
            if version.call is Call.WINS:
                self.allowed.add(number)
            if version.call in (Call.ROLLED_BACK, Call.DISPLACED):
                self.fallen.add(number)
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

    def _crowned_whole(self, champion: int) -> None:
        for target in self.world.targets:
            assert self.world.deployer.serving(target) == {champion: 100}, "crowned before every target was whole"

    def _target(self, name: str, shape: Kind, weights: dict[str, int]) -> None:
        target = next(t for t in self.world.targets if t.name == name)
        seen = self.world.deployer.look(target)
        live = {r.name: r for r in seen.releases if r.name in weights}
        whole = bool(weights) and all(live[n].state is State.READY for n in weights)
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
        self._baked(name, shape, {live[n].version: w for n, w in weights.items()})

    def _baked(self, name: str, shape: Kind, serving: dict[int, int]) -> None:
        before, since = self.weights.get(name, ({}, self.world.now))
        current = {str(v): w for v, w in serving.items()}
        place = next(self.world.deployer.places[t.place] for t in self.world.targets if t.name == name)
        if current == before:
            return
        marks = self.world.registry.read(MODEL)
        challenger = str(marks.challenger)
        forward = current.get(challenger, 0) > before.get(challenger, 0) > 0
        if forward and shape is Kind.ENDPOINT and marks.challenger != marks.champion:
            waited = place.since - since
            assert waited >= self.world.rollout.bake - 0.1, f"{name} went on after {waited:.1f} s of baking"
        self.weights[name] = (current, place.since)
        self.shifts += 1

    def at_rest(self) -> None:
        """What must hold when nothing is due any more."""
        marks = self.world.registry.read(MODEL)
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
        self._history()

    def _history(self) -> None:
        """The last `live` line of each target is what it serves."""
        for target in self.world.targets:
            lines = [x for x in self.world.lines("live") if x.target == target.name]
            serving = {str(v): w for v, w in self.world.deployer.serving(target).items()}
            assert lines
            assert lines[-1].data == {"weights": serving}

    def one_launch_each(self) -> None:
        launches = self.world.deployer.launches
        assert len(launches) == len(set(launches)), f"launched twice: {launches}"

    def intent_before_act(self) -> None:
        """Every change of a target was announced by an intent that names its release or its weights."""
        intents = [x.data["slot"] for x in self.world.lines("intent") if x.data]
        for name, key in self.world.deployer.launches:
            announced = [slot for slot in intents if slot.startswith(f"launch:{name}:") and slot.endswith(f"-v{key}")]
            assert announced, f"{key} was launched on {name} without a word"
