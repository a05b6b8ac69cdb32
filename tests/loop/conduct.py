"""Invariants of single deeds and words: when a verb may be tried at all, and what a wait must say. On fakes only."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.loop.tap import on_return
from tests.loop.world import MODEL, World
from watcher import gather
from watcher.decide.settle import live_of
from watcher.errors import WatcherError
from watcher.evaluations import Evaluation
from watcher.ports import Line, Stored
from watcher.record import Intent, Record, from_json
from watcher.slots import holders
from watcher.values import (
    FINAL,
    Call,
    Crown,
    Kind,
    Marks,
    Observed,
    Probe,
    Release,
    SeenRelease,
    State,
    Status,
    Target,
    Verb,
    Version,
)

UNASKED = ("no_example", "conflict", "leased", "deadline_of_wake", "deadline_too_short")
"""Why a wake-up that was to ask the challenger did not."""
BLIND = frozenset({"paused", "young_ledger", "stale_read", "leased", "conflict", "deadline_of_wake", "slots_full"})
"""Waits that say nothing of how the model stands."""
PASSING = frozenset(
    {
        "nothing_to_do",
        "backoff",
        "launching",
        "probing",
        "evaluating",
        "target_moving",
        "roll_back_done",
        "stale_read",
        "young_ledger",
        "leased",
        "conflict",
    }
)
"""Waits that the history does not tell."""
BLINDED = frozenset({"leased", "conflict", "deadline_of_wake", "deadline_too_short"})
"""Waits of which nothing is written down."""
UNWRITTEN = frozenset({"paused", "leased", "conflict"})
"""Waits of which the ledger keeps no appointment, or another one."""
LONGEST_WAKE = 120.0
"""Seconds."""
FIRST_PAUSE, LONGEST_PAUSE, ANSWERS = 0.5, 600.0, 3
"""Seconds before the second try and at most before any, and conflicts in a row that are answered at once."""
DONE = {
    Verb.ACKNOWLEDGE: "write_crown",
    Verb.WRITE_CROWN: "write_crown",
    Verb.CROWN: "crown",
    Verb.NOMINATE: "challenge",
    Verb.UNMARK: "challenge",
    Verb.TAG: "tag",
    Verb.EVALUATE: "start",
    **{verb: str(verb) for verb in (Verb.LAUNCH, Verb.PROBE, Verb.MIRROR, Verb.SHIFT, Verb.RETIRE)},
}
"""Verb of a step -> the call of a port that it is."""
JUDGED = (Call.LOSES, Call.INVALID, Call.SUPERSEDED)
LOST = frozenset({"model_gone", "crown_unreadable", "champion_missing", "champion_gone"})


class Conduct:
    """Watches one world's ports; asked with the others after each wake-up."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.raced = False
        """Whether another worker may come in between a look and the deed that follows it."""
        self.strict = False
        """Whether nothing but whole wake-ups of one worker after the other is looked at: then more can be asked."""
        self.forgot = False
        self.disturbed: set[str] = set()
        """Targets that somebody else ever changed."""
        self._wiped_at: float | None = None
        self._told = len(world.lines())
        self._new: list[Line] = []
        """What the history tells since the last look."""
        self._calls: dict[int, Call | None] = {}
        self._counted: dict[str, list[set[str]]] = {}
        """Target -> the versions with traffic and figures, before each shift."""
        self._shifted: list[tuple[str, float, int]] = []
        """Release key, since when it was counted and requests it had answered, before each shift."""
        self._looked_at = self._world.woken
        self._stands: str | None = ""
        """The state that was told last and still stands; empty where that is not known."""
        self._done = Counter[str]()
        """Calls of a port that had their effect and are not told yet."""
        self._heard: object = None
        self._live: dict[str | None, Line] = {x.target: x for x in world.lines("live")}
        """Target -> what was last told to be live there."""
        self.rolled_out: set[int | None] = {None}
        """Versions that ever had the challenger mark."""
        self._served: set[int | None] = set()
        self._marked: set[int | None] = set()
        """Versions that were marked or live at the last look."""
        self.untagged = False
        """Whether a verdict could not be written when it was due."""
        self._reigned: set[int | None] = set()
        self._outcome: dict[str, str] = {}
        """Slot of a step -> what was last told of it: `done`, `failed` or `under_way`."""
        self._failed: dict[str, tuple[float, float]] = {}
        """Slot of a step -> when it failed last, and how long it is not tried again."""
        self._back: int | None = None
        """The version whose way back was told, for as long as it has the challenger mark."""

    def wiped(self) -> None:
        """The ledger was lost."""
        self.forgot, self._wiped_at = True, self._world.now
        self._failed.clear()

    def hear(self) -> None:
        """Count from now on what was done, which is what may be told as done."""
        world = self._world
        self._heard = world.deployer
        self.rolled_out.add(self._rollout())
        for method in {*DONE.values()}:
            port = next(port for port in (world.evaluator, world.deployer, world.registry) if hasattr(port, method))
            on_return(port, method, lambda *_, done=method, **__: self._done.update([done]))

    def launching(self, release: Release, marks: Marks) -> None:
        self._touching(release.target)
        there = {seen.name: seen for seen in self._world.deployer.look(release.target).releases}.get(release.name)
        rolled_out = release.version.number == marks.challenger != marks.champion
        again = there is not None and (rolled_out or there.state is not State.FAILED)
        assert not again or self.raced, f"{release.name} is launched on {release.target.name}, where it is"

    def tagging(self, number: int, call: Call | None, versions: Mapping[int, Version], marks: Marks) -> None:
        """A verdict is given where there is none, and taken away where another may follow."""
        known, crown = versions[number].call if number in versions else None, marks.crown or Crown()
        if self.raced or known is call:
            return
        if call in (Call.WINS, *JUDGED):
            assert known is None, f"v{number} was called {known}, and is called {call}"
        if call is Call.DISPLACED:
            assert number != marks.champion, f"v{number} reigns, and is called displaced"
        if call is None:
            assert number != marks.challenger, f"v{number} is rolled out, and its verdict is taken away"
            again = number == marks.champion or (crown.floor < number and crown.displaced != number)
            assert again, f"v{number} is to be judged again, and cannot win under {crown}"

    def nominating(self, number: int) -> None:
        """No more models are rolled out at once than the limit says."""
        held, most = holders(self._world.ledger), self._world.limits.rollouts_at_once
        assert len(held) <= most or not self.strict, f"v{number} is nominated, and {held} have the {most} slots"

    def scoring(self, asked: Evaluation) -> None:
        """One evaluation of a model at a time, and none twice."""
        evaluator, version = self._world.evaluator, asked.challenger
        assert version.status is Status.READY, f"v{version.number} is scored, and it is {version.status}"
        champion = asked.champion.identity.key if asked.champion else ""
        against = {key: at for key, at in evaluator.begun.items() if key[::2] == (champion, evaluator.data)}
        running = [key for key, since in against.items() if since + evaluator.seconds > self._world.now]
        assert not running or self.raced, f"v{version.number} is scored while {running} is"
        begun = (champion, version.identity.key, evaluator.data) in evaluator.begun
        assert not begun or self.raced, f"v{version.number} is scored once more"

    def mirroring(self, target: Target, name: str, percent: int) -> None:
        self._touching(target)
        asked = self._world.rollout.mirror
        assert percent == asked > 0, f"{percent}% of {target.name} is mirrored, and the rollout says {asked}"
        live = self._world.deployer.look(target).weights.get(name, 0)
        assert not live or self.raced, f"requests of {target.name} are copied to {name}, which has {live}% of them"

    def shifting(self, target: Target) -> None:
        self._touching(target)
        seen = self._world.deployer.look(target)
        counted = {r.name: str(r.version) for r in seen.releases if r.ours and r.traffic.available}
        told = {counted[name] for name in seen.weights if name in counted}
        self._counted.setdefault(target.name, []).append(told)
        since = self._world.deployer.places[target.place].since
        self._shifted += [(r.key, since, asked_of(seen, r)) for r in seen.releases if r.ours]

    def going_on(self, challenger: int, hold: str | None) -> None:
        """Nothing is gained under a hold, nor once a rollout's time is over, unless a hold or a pause stopped it."""
        assert hold is None or not self.strict, f"v{challenger} goes on, and is held: {hold}"
        lines = self._world.lines()
        started = max((n for n, x in enumerate(lines) if x.event == "rollout_started"), default=None)
        if not self.strict or self.forgot or started is None or lines[started].version != challenger:
            return
        stopped = any(line.reason in ("held", "paused") for line in lines[started:])
        ends = lines[started].at + self._world.rollout.deadline
        assert stopped or self._world.now < ends, f"v{challenger} goes on after its deadline"

    def retiring(self, target: Target, name: str, marks: Marks) -> None:
        self._touching(target)
        kept = {marks.champion, marks.challenger, marks.crown.crowned if marks.crown else None}
        release = next((r for r in self._world.deployer.look(target).releases if r.name == name), None)
        assert release is None or release.version not in kept or not self._is_known(release.key) or self.raced, (
            f"v{release.version} is removed from {target.name}, and it is needed"
        )

    def _is_known(self, key: str) -> bool:
        model = self._world.registry.snapshot().world.models.get(MODEL)
        return model is not None and key in {version.identity.key for version in model.versions.values()}

    def _touching(self, target: Target) -> None:
        """Nothing is tried where it would be refused, or where another worker may still be acting."""
        seen = self._world.deployer.look(target)
        assert not seen.problem, f"{target.name} is touched: {seen.problem}"
        assert seen.adopted, f"{target.name} is touched before it is adopted"
        assert not seen.moving or self.raced, f"{target.name} is touched while it is being changed"
        assert not self.strict or self.can_be_seen(target), f"{target.name} is touched, and nobody can see it"
        if self._wiped_at is not None and not self._world.atomic:
            age = self._world.now - self._wiped_at
            assert age >= self._world.deployer.lease, f"{target.name} is touched {age:.1f} s after the ledger was lost"
        self._in_time(target)

    def can_be_seen(self, target: Target) -> bool:
        """Whether a look at it would be answered now; the look costs nothing."""
        now = self._world.now
        try:
            self._world.deployer.observe(target)
        except WatcherError:
            return False
        finally:
            self._world.now = now
        return True

    def _in_time(self, target: Target) -> None:
        """A verb ends before its wake-up must, and before the intent that announced it stops binding others."""
        stored, lease = self._world.kept(), self._world.deployer.lease
        if not self.strict or stored is None:
            return
        ends, intent = self._world.now + lease, _intent(stored)
        assert ends <= self._world.woken_at + max(LONGEST_WAKE, 2 * lease), f"{target.name} is touched too late"
        assert intent is not None, f"{target.name} is touched, and nothing says so"
        assert ends <= intent.until, f"{target.name} is touched for longer than {intent} binds"
        if self._world.policy.evaluate is None:
            most = self._world.now + 2 * lease
            assert intent.until <= most, f"{intent} binds for longer than any verb takes"

    def look(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """What the last wake-up read, said and left undone."""
        lines = self._world.lines()
        self._new, self._told = lines[self._told :], len(lines)
        self.rolled_out.add(marks.challenger)
        self._frugal()
        self._gets(marks)
        self._all_at_once(versions, marks)
        self._slot_kept(marks)
        if self.strict and self._world.woken is not self._looked_at:
            self._kept()
            self._decided(versions, marks)
            self._slots(marks)
            self._said()
        self._looked_at = self._world.woken
        woken = self._world.woken
        assert woken is None or " failed 0×: " not in woken.step.detail, f"it only goes on, and {woken.step}"
        self._lines(versions, marks)
        self._verdicts(versions, marks)
        if self._world.still and self._whole():
            self._says_what_is(versions, marks)

    def _frugal(self) -> None:
        """Evidence is the slowest of all reads: a wake-up reads it once, and only of what it judges or asks."""
        woken, read = self._world.woken, self._world.read
        if woken is None or self._world.registry.stale_writes:
            return
        numbers = [version.number for version, _ in read]
        assert len(numbers) == len(set(numbers)), f"evidence was read twice: {numbers}"
        for version, marks in read:
            number, floor = version.number, marks.crown.floor if marks.crown else 0
            if number == marks.champion:
                assert len(read) > 1, "the champion's evidence was read, and nothing was compared with it"
            elif version.call is Call.WINS:
                asks = woken.step.verb is Verb.PROBE or woken.step.reason in UNASKED
                asks = asks and number == marks.challenger
                assert asks, f"evidence of v{number} was read for {woken.step}"
            else:
                judged = version.call is None and marks.challenger is None
                assert judged or number == marks.challenger, f"evidence of v{number} was read, a verdict it has"
                assert number > floor, f"evidence of v{number} was read, and the floor is {floor}"
        missed = woken.step.reason == "no_example" and self._world.rollout.probe_file is None
        assert not missed or woken.step.version in numbers, f"nothing was read, and {woken.step}"

    def _gets(self, marks: Marks) -> None:
        """One version at a time is read only where a listing did not show it: what is marked, live, or not settled."""
        woken, live, self._served = self._world.woken, self._served, self._serving()
        asked = self._world.asked
        numbers = [number for verb, *about in asked if verb == "version" for _, number in (about,)]
        listings = [about for verb, *about in asked if verb == "versions"]
        if woken is None or self.raced or self._world.registry.stale_writes or len(listings) != 1:
            return
        assert len(numbers) == len(set(numbers)), f"read twice: {numbers}"
        crown = marks.crown or Crown()
        record = record_of(self._world.found)
        known = {marks.champion, marks.challenger, crown.previous, crown.displaced, *live, *self._served}
        marked = known | ({record.rollout, record.leader} if record else set())
        (_, above, most, named), more = listings[0], [number for number in numbers if number not in marked]
        assert len(more) <= gather.MOST_READ, f"{len(more)} versions were read one by one"
        most_judged = gather.MOST_JUDGED + gather.MOST_READ // 2 + len(marked)
        assert len(self._world.read) <= most_judged, f"evidence of {len(self._world.read)} versions was read"
        if woken.acted or self._marked != marked or not self._whole():
            self._marked = marked
            return
        listed = self._world.registry.snapshot().world.models[MODEL].versions if marks.exists else {}
        shown = {number for number in sorted(listed, reverse=True)[:most] if number > above}
        assert not shown.intersection(numbers), f"{numbers} were read, and {shown} had just been shown"
        seen = {int(key.partition("-")[0]) for key in record.first_seen} if record else set()
        needless = [n for n in {*more, *named} - marked if n <= above and n not in seen]
        assert not needless, f"v{needless} were read, and nothing is to be known of them"

    def _all_at_once(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """No version has to wait for its turn while they are no more than one wake-up judges."""
        record = record_of(self._world.kept())
        if record is None or self.raced or not self._whole() or len(versions) < marks.newest:
            return
        waiting = [v for v in versions.values() if v.call is None and v.number != marks.champion]
        judged = self._world.woken is not None and self._world.woken.acted
        listed = marks.newest - max(record.settled, 0) <= gather.MOST_VERSIONS
        assert not record.turn or not listed or len(waiting) + judged >= gather.MOST_JUDGED, (
            f"{len(waiting)} versions wait, and not all of them are judged: {record.turn}"
        )

    def _decided(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """Nothing counts as decided that still waits for its verdict, so that a listing shows it."""
        record, crown = record_of(self._world.kept()), marks.crown or Crown()
        if record is None or self._world.mode != "deploy":
            return
        self._reigned |= {marks.champion, marks.challenger, crown.crowned, crown.previous, crown.displaced}
        waiting = {n for n, v in versions.items() if v.call is None and v.identity.key in record.first_seen}
        passed = {number for number in waiting - self._reigned if number <= record.settled}
        assert not passed, f"v{passed} wait, and all up to v{record.settled} count as decided"

    def _whole(self) -> bool:
        """Whether listings show everything as it is."""
        registry = self._world.registry
        return not registry.stale_writes and len(registry.listing("versions", [1, 2])) == 2

    def _serving(self) -> set[int | None]:
        """Versions of our own that are live anywhere."""
        seen = [self._world.deployer.look(target) for target in self._world.targets]
        return {
            release.version
            for each in seen
            for release in each.releases
            if release.ours and release.name in each.weights
        }

    def _kept(self) -> None:
        """What the ledger is asked to keep: who acts binds the others, and a wait is written once."""
        woken, found, now = self._world.woken, self._world.found, self._world.kept()
        if woken is None:
            return
        intent = _intent(found)
        bound = intent is not None and intent.until > self._world.woken_at
        if bound and intent is not None and intent.worker != self._world.woken_as:
            assert woken.step.reason == "leased", f"{intent} binds, and another worker comes to {woken.step}"
        elif bound:
            assert woken.step.reason != "leased", f"{intent} holds up the worker that it is of"
        if woken.acted or woken.step.reason in UNWRITTEN or now is None:
            return
        later = woken.again is None or woken.again > self._world.woken_at or woken.step.reason == "roll_back_done"
        assert later, f"looked again at {woken.again}, which is past, for {woken.step}"
        assert now.due == woken.again, f"woken again at {woken.again}, and {now.due} is written for {woken.step}"
        lines = self._new
        same = found is not None and found.body == now.body and found.due == now.due
        assert not same or lines or found is None or found.revision == now.revision, f"written again: {woken.step}"

    def _slot_kept(self, marks: Marks) -> None:
        """No wake-up gives the slot of a rollout away, not even one that has only its mark to go by."""
        rolling = marks.exists and marks.challenger is not None and self._world.mode == "deploy"
        kept = MODEL in holders(self._world.ledger) or not self._world.had_slot
        unsure = self.raced or self._world.registry.stale_writes
        assert kept or not rolling or unsure, f"v{marks.challenger} is rolled out, and its slot was given away"

    def _slots(self, marks: Marks) -> None:
        """A slot is held from the nomination on for as long as something can be rolled out, and no longer."""
        woken = self._world.woken
        if woken is None or woken.step.reason in BLIND or woken.step.reason in UNASKED:
            return
        holds = MODEL in holders(self._world.ledger)
        if not marks.exists or (self._world.mode != "deploy" and not woken.acted):
            assert not holds, f"a slot is held, and {woken.step}"
        elif self._world.still and self._world.limits.rollouts_at_once:
            rolling = {marks.challenger, self._rollout()} - {None}
            assert holds or not rolling, f"v{rolling} is rolled out, or taken back, without a slot, and {woken.step}"

    def _said(self) -> None:
        """A state in which the model waits is told when it begins, again when it comes back, and never in between."""
        woken = self._world.woken
        if woken is None or self.forgot:
            return
        step, lines = woken.step, self._new
        failed = any(line.event == "failed" and line.reason != "conflict" for line in lines)
        assert woken.failed is failed, f"failed: {woken.failed}, and the history says {lines}"
        told = [line for line in lines if line.event == "told" and line.reason != "target_left"]
        for line in told:
            waits = not woken.acted and line.reason == step.reason
            assert waits or step.reason in UNASKED, f"told as a state: {line}, and {step}"
            assert line.reason not in PASSING, f"it passes by itself, and is told: {line}"
        state = f"{step.reason}:{step.detail}"
        if woken.acted or step.reason == "nothing_to_do":
            self._stands = None
        elif step.reason not in PASSING:
            fresh = bool(told) == (self._stands != state)
            assert fresh or self._stands == "", f"{self._stands} stood, and {step} is told: {told}"
            self._stands = state

    def _lines(self, versions: Mapping[int, Version], marks: Marks) -> None:
        self._remember(self._new)
        if self.strict:
            self._live_now()
        for line in self._new:
            self._retries(line, marks)
            self._line(line, versions, marks)
        if marks.challenger != self._back:
            self._back = None

    def _line(self, line: Line, versions: Mapping[int, Version], marks: Marks) -> None:
        match line.event:
            case "done" if self._heard is self._world.deployer:
                verb = DONE[Verb(str((line.data or {})["verb"]))]
                self._done[verb] -= 1
                assert self._done[verb] >= 0, f"told as done, and it was not: {line}"
            case "ledger_rebuilt":
                self.forgot = True
            case "wrote":
                self._wrote(line)
            case "order":
                ordered = versions.get(line.version or 0)
                assert ordered is None or ordered.call is not Call.UNMET, f"v{line.version} was ordered as unmet"
            case "rolled_back":
                self._rolled_back(line, versions, marks)
            case "failed":
                said = str((line.data or {}).get("detail"))
                assert "cannot be taken" not in said, f"a step was tried that nobody can take: {said}"
            case "live" if line.reason != "observed" and line.data and line.target:
                told = set(line.data["answered"])
                assert told in self._counted.get(line.target, []), f"{line.target} answered: {line.data}"

    def _remember(self, new: Sequence[Line]) -> None:
        self._live |= {line.target: line for line in new if line.event == "live"}
        outcomes = [line for line in new if line.event in ("done", "failed", "under_way")]
        self._outcome |= {str((line.data or {})["slot"]): line.event for line in outcomes}
        self.untagged = self.untagged or any(
            x.event == "failed" and (x.data or {})["verb"] == Verb.TAG for x in outcomes
        )

    def _live_now(self) -> None:
        """After every wake-up that saw a target the history tells what it serves, unless it changed meanwhile."""
        woken = self._world.woken
        if woken is None or woken.step.reason in BLINDED or self._world.mode != "deploy":
            return
        for target in self._world.targets:
            place, line = self._world.deployer.places.get(target.place), self._live.get(target.name)
            if place is None or place.since >= self._world.woken_at or not self.can_be_seen(target):
                continue
            serving, told = live_of(self._world.deployer.look(target)), (line.data or {})["weights"] if line else {}
            assert told == serving, f"{target.name} serves {serving}, and is told: {line}"

    def _wrote(self, line: Line) -> None:
        """What a job wrote is told once it surely runs another release, and of our own releases only."""
        seen = self._world.deployer.look(next(t for t in self._world.targets if t.name == line.target))
        there = [r for r in seen.releases if r.version == line.version]
        ours = [r for r in there if r.ours]
        assert ours or not there, f"told of somebody else's release: {line}"
        if self._world.woken is not None and not self._world.woken.acted and not self.raced:
            assert not all(r.name in seen.weights for r in ours), f"told while it runs: {line}"
            runs = [r for r in seen.releases if r.name in seen.weights and r.state is not State.READY]
            assert not runs, f"told while the job may run it: {line}"
        lines = self._world.lines()
        told = [number for number, x in enumerate(lines) if _about(x) == _about(line)]
        ran = [x for x in lines[told[-2] :] if x.event == "live" and x.target == line.target] if told[1:] else []
        again = any(str(line.version) in (x.data or {})["weights"] for x in ran)
        new = self.forgot or line.target in self.disturbed
        assert not told[1:] or again or new, f"told twice: {line}"

    def _retries(self, line: Line, marks: Marks) -> None:
        """What failed is tried again after a pause that doubles, a conflict at once but for the fourth in a row.

        What was refused for good to a challenger is not tried again before it is rolled back; to a version that was
        ordered, not before another order, as long as there is one to go back to.
        """
        data = line.data or {}
        slot = data.get("slot")
        if line.event in ("order", "rollout_started", "rolled_back") or data.get("verb") == Verb.UNMARK:
            self._failed.clear()
        elif line.event == "done" and slot in self._failed:
            del self._failed[slot]
        elif line.event == "failed" and slot is not None:
            tries = data["attempt"]
            pause = min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE)
            refused = line.reason == "terminal" and data["verb"] in (Verb.LAUNCH, Verb.PROBE)
            crown = marks.crown or Crown()
            ordered = crown.crowned if crown.crowned == marks.champion and not crown.met and crown.previous else None
            if refused and line.version in (marks.challenger, ordered):
                pause = math.inf
            self._failed[slot] = line.at, 0.0 if line.reason == "conflict" and tries <= ANSWERS else pause
        elif line.event == "intent" and slot in self._failed and self.strict and not self.forgot:
            failed, pause = self._failed[slot]
            assert line.at >= failed + pause, f"{slot} failed at {failed}, and is tried again at {line.at}"

    def _rolled_back(self, line: Line, versions: Mapping[int, Version], marks: Marks) -> None:
        """Told once. Figures condemn only where there are enough of them, and latency only after a whole bake."""
        assert line.version != self._back or self._wiped_at is not None, (
            f"the way back of v{line.version} is told again: {line}"
        )
        self._back = line.version
        assert line.version in self.rolled_out or self.raced, f"v{line.version} is rolled back, and was not rolled out"
        version = versions.get(line.version or 0)
        if version is None or not line.reason.startswith("analysis_"):
            return
        counted = [
            (release.key, self._world.deployer.places[t.place].since, asked_of(seen, release))
            for t in self._world.targets
            if t.shape is Kind.ENDPOINT
            for seen in (self._world.deployer.look(t),)
            for release in seen.releases
        ]
        counted += self._shifted if self.raced else []
        asked = [(since, requests) for key, since, requests in counted if key == version.identity.key]
        least = self._world.rollout.analysis.min_requests
        assert max((n for _, n in asked), default=0) >= least, f"v{line.version} fell on too few requests"
        assert marks.champion is not None, f"v{line.version} fell on its figures, and there is none to compare it with"
        if line.reason == "analysis_disagreement":
            most = self._world.rollout.analysis.max_disagreement or 0.0
            copies = [self._world.deployer.look(t).mirrored for t in self._world.targets]
            differ = [c for c in copies if c is not None and c.disagreed > most * c.compared]
            assert differ or self.raced, f"v{line.version} fell on answers that agree: {copies}"
        if line.reason == "analysis_latency":
            since = min(since for since, _ in asked)
            assert line.at - since >= self._world.rollout.bake, f"v{line.version} fell on its latency before its bake"

    def _verdicts(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """What a version may be called at this moment."""
        woken = self._world.woken
        before, self._calls = self._calls, {number: version.call for number, version in versions.items()}
        if woken is None or not woken.acted or woken.step.verb is not Verb.TAG:
            return
        number, call = woken.step.version or 0, woken.step.call
        # The last step may have been taken back by others since.
        if call is Call.UNMET and before.get(number) is not call and self._calls.get(number) is call:
            met = marks.crown is not None and marks.crown.met and marks.crown.crowned == number
            assert not met, f"v{number} was met, and is called unmet"
            lines = self._world.lines()
            asked = max((n for n, line in enumerate(lines) if line.event == "order"), default=0)
            tried = [line for line in lines[asked:] if line.event == "intent" and line.version == number]
            launched = [line for line in tried if line.data and line.data["verb"] == Verb.LAUNCH]
            assert launched or self.forgot, f"v{number} is called unmet, and was not tried"
            there = [r for t in self._world.targets for r in self._world.deployer.look(t).releases]
            never = any(r.version == number and r.state is State.FAILED for r in there)
            refused = any((x.event, x.reason, x.version) == ("failed", "terminal", number) for x in lines[asked:])
            assert never or refused or self.raced or self.forgot, f"v{number} is called unmet, and may still be met"
        if call is Call.ROLLED_BACK and marks.champion in versions:
            for target in self._world.targets:
                off = number not in self._world.deployer.serving(target)
                off = off and not self._world.deployer.look(target).moving
                assert off or self.raced, f"v{number} is called rolled back, and {target.name} has it"

    def _says_what_is(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """A wake-up that waits says the first thing that a person has to know."""
        woken, deploys = self._world.woken, self._world.mode == "deploy"
        full = woken is not None and woken.step.reason == "slots_full"
        assert not full or marks.challenger is None, f"v{marks.challenger} is rolled out, and its slot is none"
        if woken is None or woken.step.reason in BLIND:
            return
        reason, crowned = woken.step.reason, marks.crown.crowned if marks.crown else None
        if not marks.exists:
            assert reason == "model_gone", f"the model is gone, and that is told as {woken.step}"
            serving = [weights for t in self._world.targets if (weights := self._world.deployer.look(t).weights)]
            stake = (deploys and bool(serving)) or self._rollout() is not None
            assert (woken.again is not None) is stake or "observe" in vars(self._world.deployer), (
                f"the model is gone, at stake: {stake}, and it is looked at again at {woken.again}"
            )
        elif marks.problem is not None:
            assert reason == "crown_unreadable", f"the crown cannot be read, and that is told as {woken.step}"
        elif marks.champion is None and crowned is not None:
            assert reason == "champion_missing" or not deploys, f"no champion, and that is told as {woken.step}"
        elif marks.champion is not None and marks.champion not in versions:
            assert reason == "champion_gone" or not deploys, f"the champion is gone, and that is told as {woken.step}"
        else:
            passed = marks.champion is not None and marks.champion != crowned and reason == "backoff"
            about = woken.step.detail.partition(" ")[0]
            own = [f"{verb}::{marks.champion}" for verb in (Verb.TAG, Verb.WRITE_CROWN, Verb.ACKNOWLEDGE)]
            assert not passed or about in own, f"v{marks.champion} is ordered, and that waits for {woken.step}"
            if reason == "advise_only" and marks.challenger is None:
                told = {line.version: (line.data or {}).get("call") for line in self._world.lines("verdict")}
                wins = [n for n, version in versions.items() if told.get(n) == Call.WINS and version.call is None]
                assert wins, f"nothing is advised, and {woken.step}"
            if reason in ("baking", "mirroring", "too_few_requests") and not self.raced:
                seen = [self._world.deployer.look(t) for t in self._world.targets]
                names = [(each, r.name) for each in seen for r in each.releases if r.version == marks.challenger]
                asked = any(each.weights.get(name) or each.copies(name) for each, name in names)
                assert asked, f"v{marks.challenger} is asked nothing, and {woken.step}"
            goes_on = self._outcome.get(woken.step.detail.partition(" ")[0]) == "under_way"
            assert reason != "backoff" or not goes_on, f"it goes on, and is told as failed: {woken.step}"
            challenger = versions.get(marks.challenger or 0)
            if reason == "no_example" and challenger is not None and self._world.rollout.probe_file is None:
                assert not self._example(challenger), f"v{challenger.number} has one, and {woken.step}"
            if reason == "target_moving" and self.strict:
                self._launches_beside(versions, marks)
            self._leaves_nothing_undone(versions, marks)

    def _example(self, version: Version) -> object:
        """What a version can be asked, None where that cannot be read now."""
        with contextlib.suppress(WatcherError):
            return self._world.registry.example(version)
        return None

    def _rollout(self) -> int | None:
        record = record_of(self._world.kept())
        return record.rollout if record else None

    def _launches_beside(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """While one target is being changed the challenger comes up on the others."""
        challenger, floor = versions.get(marks.challenger or 0), marks.crown.floor if marks.crown else 0
        if challenger is None or challenger.call is not Call.WINS or challenger.number <= floor or marks.hold:
            return
        for target in self._world.targets:
            seen = self._world.deployer.look(target)
            busy = seen.problem or not seen.adopted or seen.moving or any(t.startswith("launch:") for t in self._failed)
            there = any(release.key == challenger.identity.key for release in seen.releases)
            assert busy or there, f"v{challenger.number} is not launched on {target.name}, which is free"

    def _leaves_nothing_undone(self, versions: Mapping[int, Version], marks: Marks) -> None:
        woken = self._world.woken
        assert woken is not None
        reason, detail = woken.step.reason, woken.step.detail
        if marks.challenger is not None or self.forgot:
            return
        if reason in ("nothing_to_do", "advise_only"):
            asked = [number for number, version in versions.items() if version.rejudge]
            assert not asked, f"v{asked} are to be judged again, and {woken.step}"
        passed = reason == "backoff" and detail.startswith(("retire:", "shift:", "launch:"))
        if not passed and reason not in ("nothing_to_do", "advise_only", "target_unseen", "launching", "not_adopted"):
            return
        if reason == "nothing_to_do" and self._world.mode == "deploy":
            self._leaves_no_stray(marks)
            previous = marks.crown.previous if marks.crown else None
            kept = [r.version for t in self._world.targets for r in self._world.deployer.look(t).releases]
            waits = any(v.call is None and v.number != marks.champion for v in versions.values())
            needed = woken.again is None or waits or previous in kept
            assert needed or self.raced, f"looked at again for nothing at {woken.again}"
        told = {line.version: line for line in self._world.lines("verdict")}
        floor = marks.crown.floor if marks.crown else 0
        for number, version in versions.items():
            stopped = version.call is Call.WINS and number > max(floor, marks.champion or 0)
            assert not stopped or reason != "nothing_to_do" or self._world.mode != "deploy", (
                f"the rollout of v{number} was ended, and nothing says so"
            )
            call = (told[number].data or {}).get("call") if number in told else None
            awaited = number in told and told[number].reason == "evaluation_awaited" and version.call is None
            begun = version.identity.key in {challenger for _, challenger, _ in self._world.evaluator.begun}
            assert not awaited or begun or passed or number <= floor or not self._world.evaluates, (
                f"v{number} waits for its evaluation, which nobody began"
            )
            if version.call is not None or number == marks.champion or call is None:
                continue
            refused = any(slot.startswith(f"{Verb.TAG}:") for slot in self._failed)
            assert call not in FINAL or refused, f"v{number} {call}, and its tag is not written for {woken.step}"
            crown = marks.crown or Crown()
            idle = reason == "nothing_to_do" or detail.startswith("retire:")
            assert call != Call.WINS or not idle or number <= crown.floor or not crown.met, (
                f"v{number} wins, and {woken.step}"
            )

    def _leaves_no_stray(self, marks: Marks) -> None:
        """Beside the champion only the one before it is kept warm, and nothing where nobody may touch it."""
        kept = {marks.champion, marks.crown.previous if marks.crown else None}
        for target in self._world.targets:
            seen = self._world.deployer.look(target)
            strays = [r.version for r in seen.releases if r.ours and r.version not in kept]
            assert not strays or seen.problem or not seen.adopted, f"v{strays} are left on {target.name}"


def asked_of(seen: Observed, release: SeenRelease) -> int:
    """Live requests that a release was given, or copies of them."""
    copies = seen.mirrored
    mirrored = copies.traffic.requests if copies is not None and copies.release == release.name else 0
    return release.traffic.requests + mirrored


def record_of(stored: Stored | None) -> Record | None:
    """The ledger's record, None where it cannot be read."""
    with contextlib.suppress(ValueError):
        return from_json(stored.body) if stored else None
    return None


def _intent(stored: Stored | None) -> Intent | None:
    """What the ledger's record announces."""
    record = record_of(stored)
    return record.intent if record else None


def _about(line: Line) -> object:
    return line.event, line.target, line.version, line.data


def answered(probe: Probe, release: Release) -> bool:
    """Whether the release itself passed the probe."""
    return probe.ok and probe.version in (None, release.version.number)
