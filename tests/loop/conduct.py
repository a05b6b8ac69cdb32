"""Invariants of single deeds and words: when a verb may be tried at all, and what a wait must say. On fakes only."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping

from tests.loop.world import MODEL, World
from watcher.ports import Line, Stored
from watcher.record import Intent, from_json
from watcher.slots import holders
from watcher.values import (
    FINAL,
    Call,
    Crown,
    Marks,
    Observed,
    Probe,
    Release,
    SeenRelease,
    State,
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
UNWRITTEN = frozenset({"paused", "leased", "conflict"})
"""Waits of which the ledger keeps no appointment, or another one."""
LONGEST_WAKE = 120.0
"""Seconds."""
FIRST_PAUSE, LONGEST_PAUSE, ANSWERS = 0.5, 600.0, 3
"""Seconds before the second try and at most before any, and conflicts in a row that are answered at once."""
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
        self._wiped_at: float | None = None
        self._told = len(world.lines())
        self._calls: dict[int, Call | None] = {}
        self._counted: dict[str, list[set[str]]] = {}
        """Target -> the versions with traffic and figures, before each shift."""
        self._shifted: list[tuple[str, float, int]] = []
        """Release key, since when it was counted and requests it had answered, before each shift."""
        self._looked_at = self._world.woken
        self._stands: str | None = ""
        """The state that was told last and still stands; empty where that is not known."""
        self._failed: dict[str, tuple[float, float]] = {}
        """Slot of a step -> when it failed last, and how long it is not tried again."""
        self._back: int | None = None
        """The version whose way back was told, for as long as it has the challenger mark."""

    def wiped(self) -> None:
        """The ledger was lost."""
        self.forgot, self._wiped_at = True, self._world.now
        self._failed.clear()

    def launching(self, release: Release) -> None:
        self._touching(release.target)
        there = {seen.name: seen for seen in self._world.deployer.look(release.target).releases}.get(release.name)
        again = there is not None and there.state is not State.FAILED
        assert not again or self.raced, f"{release.name} is launched on {release.target.name}, where it is"

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

    def going_on(self, challenger: int) -> None:
        """A rollout gains nothing any more once its time is over, unless a hold or a pause stopped the clock."""
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
        if self._wiped_at is not None and not self._world.atomic:
            age = self._world.now - self._wiped_at
            assert age >= self._world.deployer.lease, f"{target.name} is touched {age:.1f} s after the ledger was lost"
        self._in_time(target)

    def _in_time(self, target: Target) -> None:
        """A verb ends before its wake-up must, and before the intent that announced it stops binding others."""
        stored, lease = self._world.kept(), self._world.deployer.lease
        if not self.strict or stored is None:
            return
        ends, intent = self._world.now + lease, _intent(stored)
        assert ends <= self._world.woken_at + max(LONGEST_WAKE, 2 * lease), f"{target.name} is touched too late"
        assert intent is not None, f"{target.name} is touched, and nothing says so"
        assert ends <= intent.until, f"{target.name} is touched for longer than {intent} binds"

    def look(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """What the last wake-up read, said and left undone."""
        self._frugal()
        if self.strict and self._world.woken is not self._looked_at:
            self._kept()
            self._slots(marks)
            self._said()
        self._looked_at = self._world.woken
        woken = self._world.woken
        assert woken is None or " failed 0×: " not in woken.step.detail, f"it only goes on, and {woken.step}"
        self._lines(versions, marks)
        self._verdicts(versions, marks)
        registry = self._world.registry
        whole = not registry.stale_writes and len(registry.listing("versions", [1, 2])) == 2
        if self._world.still and whole:
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
        assert now.due == woken.again, f"woken again at {woken.again}, and {now.due} is written for {woken.step}"
        lines = len(self._world.lines()) > self._told
        same = found is not None and found.body == now.body and found.due == now.due
        assert not same or lines or found is None or found.revision == now.revision, f"written again: {woken.step}"

    def _slots(self, marks: Marks) -> None:
        """A slot is held from the nomination on for as long as something can be rolled out, and no longer."""
        woken = self._world.woken
        if woken is None or woken.step.reason in BLIND or woken.step.reason in UNASKED:
            return
        holds = MODEL in holders(self._world.ledger)
        if not marks.exists or (self._world.mode != "deploy" and not woken.acted):
            assert not holds, f"a slot is held, and {woken.step}"
        elif marks.challenger is not None and self._world.still and self._world.limits.rollouts_at_once:
            assert holds, f"v{marks.challenger} is rolled out without a slot, and {woken.step}"

    def _said(self) -> None:
        """A state in which the model waits is told when it begins, again when it comes back, and never in between."""
        woken = self._world.woken
        if woken is None or self.forgot:
            return
        step, lines = woken.step, self._world.lines()[self._told :]
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
        lines = self._world.lines()
        new, self._told = lines[self._told :], len(lines)
        for line in new:
            self._retries(line, marks)
            match line.event:
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
        if marks.challenger != self._back:
            self._back = None

    def _retries(self, line: Line, marks: Marks) -> None:
        """What failed is tried again after a pause that doubles, a conflict at once but for the fourth in a row.

        What was refused to a challenger for good is not tried again before it is rolled back.
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
            if (
                line.reason == "terminal"
                and line.version == marks.challenger
                and data["verb"] in (Verb.LAUNCH, Verb.PROBE)
            ):
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
        version = versions.get(line.version or 0)
        if version is None or not line.reason.startswith("analysis_"):
            return
        counted = [
            (release.key, self._world.deployer.places[t.place].since, asked_of(seen, release))
            for t in self._world.targets
            for seen in (self._world.deployer.look(t),)
            for release in seen.releases
        ]
        counted += self._shifted if self.raced else []
        asked = [(since, requests) for key, since, requests in counted if key == version.identity.key]
        least = self._world.rollout.analysis.min_requests
        assert max(requests for _, requests in asked) >= least, f"v{line.version} fell on too few requests"
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
        if call is Call.UNMET and before.get(number) is not call:
            met = marks.crown is not None and marks.crown.met and marks.crown.crowned == number
            assert not met, f"v{number} was met, and is called unmet"
            lines = self._world.lines()
            asked = max((n for n, line in enumerate(lines) if line.event == "order"), default=0)
            tried = [line for line in lines[asked:] if line.event == "intent" and line.version == number]
            launched = [line for line in tried if line.data and line.data["verb"] == Verb.LAUNCH]
            assert launched or self.forgot, f"v{number} is called unmet, and was not tried"
        if call is Call.ROLLED_BACK and marks.champion in versions:
            for target in self._world.targets:
                serving = self._world.deployer.serving(target)
                assert number not in serving or self.raced, f"v{number} is called rolled back, and {target.name} has it"

    def _says_what_is(self, versions: Mapping[int, Version], marks: Marks) -> None:
        """A wake-up that waits says the first thing that a person has to know."""
        woken, deploys = self._world.woken, self._world.mode == "deploy"
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
            if reason in ("baking", "mirroring", "too_few_requests") and not self.raced:
                seen = [self._world.deployer.look(t) for t in self._world.targets]
                names = [(each, r.name) for each in seen for r in each.releases if r.version == marks.challenger]
                asked = any(each.weights.get(name) or each.copies(name) for each, name in names)
                assert asked, f"v{marks.challenger} is asked nothing, and {woken.step}"
            self._leaves_nothing_undone(versions, marks)

    def _rollout(self) -> int | None:
        stored = self._world.ledger.load(MODEL)
        return from_json(stored.body).rollout if stored else None

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
        told = {line.version: line for line in self._world.lines("verdict")}
        floor = marks.crown.floor if marks.crown else 0
        for number, version in versions.items():
            stopped = version.call is Call.WINS and number > max(floor, marks.champion or 0)
            assert not stopped or reason != "nothing_to_do" or self._world.mode != "deploy", (
                f"the rollout of v{number} was ended, and nothing says so"
            )
            call = (told[number].data or {}).get("call") if number in told else None
            if version.call is not None or number == marks.champion or call is None:
                continue
            assert call not in FINAL, f"v{number} {call}, and its tag is not written for {woken.step}"
            crown = marks.crown or Crown()
            idle = reason == "nothing_to_do" or detail.startswith("retire:")
            assert call != Call.WINS or not idle or number <= crown.floor or not crown.met, (
                f"v{number} wins, and {woken.step}"
            )


def asked_of(seen: Observed, release: SeenRelease) -> int:
    """Live requests that a release was given, or copies of them."""
    copies = seen.mirrored
    mirrored = copies.traffic.requests if copies is not None and copies.release == release.name else 0
    return release.traffic.requests + mirrored


def _intent(stored: Stored | None) -> Intent | None:
    """What the ledger's record announces, None where it cannot be read."""
    with contextlib.suppress(ValueError):
        return from_json(stored.body).intent if stored else None
    return None


def answered(probe: Probe, release: Release) -> bool:
    """Whether the release itself passed the probe."""
    return probe.ok and probe.version in (None, release.version.number)
