"""DESIGN's invariants over a universe: each write of the loop is held against the world as it was just then.

A process decides on what it was shown, so a write is right if it was right at some moment between the beginning of its
wake-up (and the registry's staleness before that) and now: `Truth.since` gives the states of that window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.ports import Was
from watcher.fakes.models import Model
from watcher.fakes.models import World as Models
from watcher.naming import release_name
from watcher.ports import Line
from watcher.reconcile import LEASES
from watcher.values import Call, Crown, Kind, Mode, Observed, State, Target

if TYPE_CHECKING:
    from tests.simulation.universe import Frame, Universe

REMEMBERED = 40
FELL = (Call.ROLLED_BACK, Call.DISPLACED)


class Violation(AssertionError):
    """An invariant of DESIGN.md does not hold."""


@dataclass
class Truth:
    """What has to be remembered of one model."""

    states: list[tuple[float, Model | None]] = field(default_factory=list)
    """Every state of the model with when it began, the last ones."""
    entitled: set[str] = field(default_factory=set)
    """Identity keys that may have traffic: tagged `wins`, or champion once."""
    fallen: set[str] = field(default_factory=set)
    """Rolled back or displaced, and no person said otherwise since."""
    nominated: set[str] = field(default_factory=set)
    probed: set[tuple[str, str]] = field(default_factory=set)
    """(target, release) that answered its example since it was launched."""
    crowned: int | None = None
    """What the crown tag names, and since when."""
    reigns_since: float = 0.0

    def copy(self) -> Truth:
        return Truth(
            list(self.states), set(self.entitled), set(self.fallen), set(self.nominated), set(self.probed),
            self.crowned, self.reigns_since,
        )  # fmt: skip

    def since(self, when: float) -> list[Model | None]:
        """The states that were true at some moment from `when` on, the newest first."""
        found = []
        for began, model in reversed(self.states):
            found.append(model)
            if began <= when:
                break
        return found


class Checks:
    """Told of everything by the ports; raises Violation at the write that breaks an invariant."""

    def __init__(self) -> None:
        self.u: Universe
        self.truths: dict[str, Truth] = {}
        self.wiped_at = 0.0
        self.did: Counter[str] = Counter()

    def watch(self, universe: Universe) -> None:
        self.u = universe
        self.truths = self.truths or {name: Truth([(0.0, None)]) for name in universe.names}

    def copy(self) -> Checks:
        """What is remembered, for another universe."""
        twin = Checks()
        twin.truths = {name: truth.copy() for name, truth in self.truths.items()}
        return twin

    def wiped(self) -> None:
        self.wiped_at = self.u.now

    # What is told

    def changed(self, after: Models) -> None:
        """The registry is another one, whoever did it."""
        for name, truth in self.truths.items():
            model = after.models.get(name)
            before = truth.states[-1][1]
            if model is before:
                continue
            truth.states.append((self.u.now, model))
            del truth.states[:-REMEMBERED]
            if model is None or model.marks.challenger is None:
                self.u.rolling.discard(name)
            self._note(truth, before, model)

    def _note(self, truth: Truth, before: Model | None, model: Model | None) -> None:
        if model is None:
            return
        crowned = model.marks.crown.crowned if model.marks.crown else None
        if crowned != truth.crowned:
            # A process that dies in the write leaves the time at which it decided.
            since = self.u.frames[-1].began if self.u.registry.acting else self.u.now
            truth.crowned, truth.reigns_since = crowned, since
        champion = model.marks.champion
        if champion is not None and champion in model.versions:
            key = model.versions[champion].identity.key
            truth.entitled.add(key)
            if before is None or before.marks.champion != champion:
                truth.fallen.discard(key)
                truth.nominated.discard(key)
        for number, version in model.versions.items():
            if version is (before.versions.get(number) if before else None):
                continue
            key = version.identity.key
            if version.call is Call.WINS:
                truth.entitled.add(key)
            if version.call in FELL:
                truth.fallen.add(key)
            taken_away = before is not None and number in before.versions and before.versions[number].call is not None
            taken_away = taken_away and version.call is None and not self.u.registry.acting
            if version.rejudge or taken_away:
                truth.fallen.discard(key)
                truth.nominated.discard(key)

    def observed(self, target: Target, seen: Observed) -> None:
        self.u.frames[-1].targets[target.name] = seen

    def saved(self, key: str, lines: Sequence[Line]) -> None:
        for line in lines:
            if line.event == "intent" and line.data:
                self.u.frames[-1].verb = line.data["verb"]
                self.u.frames[-1].intended = self.u.now
            if line.reason:
                self.u.coverage["reason", line.reason] += 1

    def probed(self, target: Target, release: str) -> None:
        self.truths[target.model].probed.add((target.name, release))

    def target_changed(self, verb: str, target: Target, was: Was, name: str) -> None:
        frame = self.u.frames[-1]
        self._announced(frame, target.name, name)
        self._free_to_act(frame)
        check(frame.watched.mode is Mode.DEPLOY, f"{verb} in mode advise")
        seen = frame.targets[target.name]
        check(seen.problem is None, f"{verb} on {target.name}, of which it was told: {seen.problem}")
        self.did[verb] += 1
        if verb == "launch":
            self._launched(frame, target, was, name)
        elif verb == "retire":
            self._retired(frame, target, was, name)
        else:
            self._shifted(frame, target, was)

    def registry_changed(self, verb: str, before: Models, after: Models) -> None:
        frame = self.u.frames[-1]
        name = frame.watched.name
        old, new = before.models[name], after.models[name]
        self._announced(frame, None, None)
        self._free_to_act(frame)
        self.did[verb] += 1
        if old.marks.champion != new.marks.champion:
            self._crowned(frame, old, new)
        elif old.marks.crown != new.marks.crown:
            self._crown_written(frame, old, new)
        if old.marks.challenger != new.marks.challenger and new.marks.challenger is not None:
            self._nominated(frame, old, new)
        if old.versions != new.versions:
            self._tagged(frame, old, new)

    # Invariants

    def _window(self, frame: Frame) -> list[Model]:
        states = self.truths[frame.watched.name].since(frame.began - self.u.registry.staleness)
        return [model for model in states if model is not None]

    def _announced(self, frame: Frame, target: str | None, release: str | None) -> None:
        """9: the intent is written before the act, and nobody else's is in its place."""
        row = self.u.ledger.peek(frame.watched.name)
        if row is None or self.wiped_at >= frame.began:
            return
        intent = row["intent"] or {}
        if intent.get("worker") == frame.process.loop.worker:
            step = str(intent["step"])
            check(release is None or f":{target or ''}:" in step, f"acted beside its intent {step}")
            return
        late = self.u.now - frame.intended > self.u.deployer.lease
        check(late, f"acted without its intent; there is {intent}")

    def _free_to_act(self, frame: Frame) -> None:
        check(not (frame.paused and self.u.stopped()), "acted although a person had paused everything")

    def _allowed_now(self, window: Iterable[Model]) -> set[int]:
        """Versions that some mark of the window lets a target serve."""
        found: set[int] = set()
        for model in window:
            marks, crown = model.marks, model.marks.crown or Crown()
            found |= {n for n in (marks.champion, marks.challenger) if n is not None}
            champion = model.versions.get(marks.champion or -1)
            if champion is not None and champion.call is Call.UNMET and crown.previous is not None:
                found.add(crown.previous)
        return found

    def _launched(self, frame: Frame, target: Target, was: Was, name: str) -> None:
        window = self._window(frame)
        place = self.u.deployer.places[target.place]
        placed = place.releases[name]
        self.truths[target.model].probed.discard((target.name, name))
        known = any(
            placed.version in m.versions and m.versions[placed.version].identity.key == placed.key for m in window
        )
        check(known, f"launched {name}, which the registry does not know")
        check(placed.version in self._allowed_now(window), f"launched v{placed.version}, which nothing marks")
        seen = frame.targets[target.name].release(name)
        check(seen is None or seen.state is State.FAILED, f"launched {name}, which it had seen {seen and seen.state}")

    def _retired(self, frame: Frame, target: Target, was: Was, name: str) -> None:
        gone = was.releases[name]
        check(gone.owner == target.owner, f"removed {name}, which is not ours")
        check(not was.weights.get(name), f"removed {name}, which was live")
        window = self._window(frame)
        needed = [gone.version in self._allowed_now([m]) and self._is(m, gone.version, gone.key) for m in window]
        check(not needed or not all(needed), f"removed v{gone.version}, which is needed")
        crowns = [m.marks.crown.previous if m.marks.crown else None for m in window]
        if crowns and all(n == gone.version for n in crowns) and self._is(window[0], gone.version, gone.key):
            warm = self.u.now - self.truths[target.model].reigns_since
            least = frame.watched.rollout.keep_warm - self.u.slack
            check(warm >= least, f"removed v{gone.version} after {warm:.1f} s of keeping it warm")

    def _is(self, model: Model, number: int, key: str) -> bool:
        return number in model.versions and model.versions[number].identity.key == key

    def _shifted(self, frame: Frame, target: Target, was: Was) -> None:
        place = self.u.deployer.places[target.place]
        window, truth = self._window(frame), self.truths[target.model]
        check(frame.targets[target.name].adopted, f"moved {target.name}, which nobody lent")
        weights = {place.releases[n].version: w for n, w in place.weights.items()}
        before = {was.releases[n].version: w for n, w in was.weights.items() if n in was.releases}
        if not weights:
            never = any((m.marks.crown or Crown()).crowned is None for m in window)
            check(never, f"emptied {target.name} although something was crowned")
        else:
            check(sum(weights.values()) == 100, f"weights {weights} on {target.name}")
            for name in place.weights:
                placed = place.releases[name]
                ready = placed.failed is None and self.u.now >= placed.ready_at
                check(ready, f"gave traffic to {name}, which is not ready")
                check(placed.owner == target.owner, f"moved traffic to {name}, which is not ours")
                check(placed.key in truth.entitled, f"v{placed.version} got traffic without a verdict or an order")
        allowed = self._allowed_now(window)
        check(set(weights) <= allowed, f"{target.name} got {weights}; marks allow {sorted(allowed)}")
        self._forward(frame, target, was, before, weights)

    def _forward(
        self, frame: Frame, target: Target, was: Was, before: Mapping[int, int], after: Mapping[int, int]
    ) -> None:
        """3 and 12: what a step forward of the challenger needs."""
        window = self._window(frame)
        challengers = {m.marks.challenger for m in window} - {m.marks.champion for m in window} - {None}
        for number in challengers & set(after):
            if number is None or after[number] <= before.get(number, 0):
                continue
            if any(n == number for m in window if self._unmet(m) for n in [(m.marks.crown or Crown()).previous]):
                continue
            self.did["forward"] += 1
            self._step_forward(frame, target, was, number, before.get(number, 0), after[number])

    def _unmet(self, model: Model) -> bool:
        champion = model.versions.get(model.marks.champion or -1)
        return champion is not None and champion.call is Call.UNMET

    def _step_forward(self, frame: Frame, target: Target, was: Was, number: int, at: int, to: int) -> None:
        window, rollout = self._window(frame), frame.watched.rollout
        truth, place = self.truths[target.model], self.u.deployer.places[target.place]
        check(not all(m.marks.hold for m in window), f"v{number} went forward although a person holds the model")
        (release,) = [n for n in place.weights if place.releases[n].version == number]
        check((target.name, release) in truth.probed, f"v{number} got traffic on {target.name} unprobed")
        endpoint = target.shape is Kind.ENDPOINT
        reigned = any(m.marks.champion is not None for m in window)
        seen = frame.targets
        shares = {t.name: _share(seen.get(t.name), release) for t in frame.watched.targets if t.shape is Kind.ENDPOINT}
        if not endpoint:
            check(all(s == 100 for s in shares.values()), f"{target.name} switched while endpoints are at {shares}")
            return
        if not reigned:
            return
        stages = rollout.canary
        check(to == min((s for s in stages if s > at), default=0), f"from {at} % to {to} % with steps {stages}")
        check(all(s >= at for s in shares.values()), f"{target.name} goes on to {to} % while others are at {shares}")
        if at > 0:
            baked = self.u.now - was.since
            check(baked >= rollout.bake - self.u.slack, f"{target.name} went on after {baked:.1f} s of baking")
        for name, share in shares.items():
            if share:
                self._good(frame, name, release)

    def _good(self, frame: Frame, target: str, release: str) -> None:
        """What was shown of the traffic does not say that the challenger is bad."""
        found = frame.targets[target].release(release)
        rules = frame.watched.rollout.analysis
        if found is None or not found.traffic.available or found.traffic.requests < rules.min_requests:
            return
        fails = self.u.deployer.error_share
        best = max((fails.get(m.marks.champion or -1, 0.0) for m in self._window(frame)), default=0.0)
        share = found.traffic.errors / found.traffic.requests
        check(share - best <= rules.max_error_increase + 0.05, f"went forward with {share:.0%} errors on {target}")

    def _crowned(self, frame: Frame, old: Model, new: Model) -> None:
        """3: every target was observed whole on it; 7: and it had not fallen."""
        number, name = new.marks.champion, frame.watched.name
        check(number is not None, "the loop removed the champion mark")
        window = self._window(frame)
        check(any(m.marks.challenger == number for m in window), f"crowned v{number}, which is no challenger")
        check(not all(m.marks.hold for m in window), f"v{number} was crowned although a person holds the model")
        check(frame.watched.mode is Mode.DEPLOY, "crowned in mode advise")
        release = release_name(new.versions[number or 0].identity)
        for target in frame.watched.targets:
            seen = frame.targets[target.name]
            check(dict(seen.weights) == {release: 100}, f"crowned v{number} while {target.name} had {seen.weights}")
            check(
                (r := seen.release(release)) is not None and r.state is State.READY,
                f"crowned v{number}, not ready on {target.name}",
            )
        key = new.versions[number or 0].identity.key
        check(key in self.truths[name].entitled, f"crowned v{number} without a verdict")
        check(key not in self.truths[name].fallen, f"v{number} had fallen and is champion again")

    def _crown_written(self, frame: Frame, old: Model, new: Model) -> None:
        before, after = old.marks.crown or Crown(), new.marks.crown or Crown()
        if self.u.now > frame.intended + LEASES * self.u.deployer.lease:
            self.u.coverage["residual", "overtaken in mid crown"] += 1
            return
        check(after.n > before.n, f"the crown's n went from {before.n} to {after.n}")
        window = self._window(frame)
        if after.floor < before.floor:
            asked = {n for m in window for n, v in m.versions.items() if v.rejudge}
            check(any(after.floor < n <= before.floor for n in asked), f"the floor fell to {after.floor} unasked")
        champions = {m.marks.champion for m in window}
        if after.crowned != before.crowned:
            check(after.crowned in champions, f"acknowledged v{after.crowned}, champions were {champions}")
        if after.met and not before.met and after.crowned == before.crowned:
            for target in frame.watched.targets:
                seen = frame.targets[target.name]
                live = {r.version for r in seen.releases if seen.weights.get(r.name)}
                check(live == {after.crowned}, f"met while {target.name} serves {live}")

    def _nominated(self, frame: Frame, old: Model, new: Model) -> None:
        """7: above the floor, not fallen, once."""
        number = new.marks.challenger
        truth, crown = self.truths[frame.watched.name], new.marks.crown or Crown()
        version = new.versions[number or 0]
        key = version.identity.key
        check(version.number > crown.floor, f"nominated v{number} at or below the floor {crown.floor}")
        check(key not in truth.fallen, f"nominated v{number}, which had fallen")
        check(key not in truth.nominated, f"nominated v{number} twice")
        window = self._window(frame)
        check(not all(m.marks.hold for m in window), f"nominated v{number} although a person holds the model")
        check(frame.watched.mode is Mode.DEPLOY, "nominated in mode advise")
        check(crown.met or crown.crowned is None, f"nominated v{number} while an order is not met")
        self._slots(frame)

    def _slots(self, frame: Frame) -> None:
        """No more models roll out than may; a wiped ledger and a person's own mark apart."""
        running = [
            name
            for name in self.u.names
            if name != frame.watched.name and name in self.u.rolling and self.u.marks(name).challenger is not None
        ]
        limit = self.u.setup.rollouts_at_once
        check(len(running) < limit, f"{frame.watched.name} rolls out beside {running}, {limit} at once")
        self.u.rolling.add(frame.watched.name)

    def _tagged(self, frame: Frame, old: Model, new: Model) -> None:
        truth, window = self.truths[frame.watched.name], self._window(frame)
        for number, version in new.versions.items():
            if version == old.versions.get(number):
                continue
            key, call = version.identity.key, version.call
            before = old.versions[number].call
            if call is Call.WINS and before is not Call.WINS:
                check(any(m.marks.challenger == number for m in window), f"v{number} wins and is no challenger")
                truth.nominated.add(key)
            elif call is Call.UNMET:
                check(any(m.marks.champion == number for m in window), f"v{number} is unmet and no champion")
            elif call in (Call.LOSES, Call.INVALID, Call.SUPERSEDED):
                reigns = all(m.marks.champion == number for m in window)
                check(not reigns, f"the champion v{number} was called {call}")


def _share(seen: Observed | None, release: str) -> int:
    return seen.weights.get(release, 0) if seen else 0


def check(holds: object, text: str) -> None:
    """Raises Violation where it does not hold."""
    if not holds:
        raise Violation(text)
