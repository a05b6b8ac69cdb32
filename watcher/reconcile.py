"""One wake-up of one model: gather, judge, decide, record, act, record."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from watcher import telemetry
from watcher.act import act
from watcher.decide import Decision, decide
from watcher.decide.after import After, Failure, done, failed, under_way
from watcher.decide.tell import mention
from watcher.decide.world import World
from watcher.errors import Conflict, Terminal, Transient, UnderWay
from watcher.gather import Sources, gather
from watcher.judge import judge
from watcher.outbox import Nobody, Outbox, soonest
from watcher.pause import UNTIL_RESUMED, paused
from watcher.ports import Ledger, Line, Stored
from watcher.record import Intent, Record, changed, from_json, key_of
from watcher.settings import Limits, Watched
from watcher.slots import free, take
from watcher.snapshot import Snapshot
from watcher.values import NOTHING, Mode, Probe, Step, Verb, Verdict

LEASES = 2.0
"""An intent binds for this many times the slowest verb: a verb starts only if its time-out fits into the rest."""
DEADLINE = 120.0
"""Seconds that a wake-up lasts at most where the host sets no limit, or as long as the slowest verb's lease."""
LATE = 10.0
"""Seconds until the next try after a wake-up that had no time left for its step."""


@dataclass(frozen=True, slots=True)
class Woken:
    """What one wake-up did, and when to wake the model again (None: nothing will change by time alone)."""

    model: str
    step: Step
    again: float | None
    acted: bool = False
    """Whether a step was taken by this worker: only then does it wake the model again at once."""
    failed: bool = False
    """Whether that step did not have its effect, and is tried again."""
    verdicts: Mapping[int, Verdict] = NOTHING
    """By version number; of a wake-up that got as far as judging and took no step."""
    unmet: bool = False
    """Whether the champion is an order that cannot be met; of such a wake-up."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A worker with its ports. `clock` gives seconds since the epoch; `worker` is unique to this process."""

    sources: Sources
    ledger: Ledger
    limits: Limits
    clock: Callable[[], float]
    worker: str
    evidence_every: float = 60.0
    deadline: float = math.inf
    """Seconds a wake-up may last; hosts that kill a late worker set it well below their own time-out."""
    outbox: Outbox | Nobody = field(default_factory=Nobody)
    """Notifies people of what the wake-ups write down."""

    def wake(self, watched: Watched) -> Woken:
        """Take at most one step for this model. Raises Transient where registry or ledger are out of reach."""
        began, outcome, verb = self.clock(), "failed", ""
        try:
            with telemetry.span("wake", model=watched.name) as span:
                woken = self._wake(watched, began)
                outcome, verb = "acted" if woken.acted else "waited", str(woken.step.verb)
                span.set_attributes({"watcher.step": woken.step.slot, "watcher.reason": woken.step.reason})
            return woken
        finally:
            telemetry.woke(outcome, verb, self.clock() - began)

    def _wake(self, watched: Watched, began: float) -> Woken:
        stored = self.ledger.load(key_of(watched.name))
        # Not before the record: what another worker did until then would be taken for older than it is.
        now = self.clock()
        record, lines = _read(stored.body if stored else None, watched.name, now)
        if record.intent and record.intent.worker != self.worker and record.intent.until > now:
            waiting = Step(Verb.WAIT, reason="leased", detail=record.intent.step)
            return Woken(watched.name, waiting, record.intent.until)
        record = self.outbox.unsent(watched.name, record)
        snapshot, verdicts, decision = self.plan(watched, record, now)
        revision = stored.revision if stored else None
        try:
            over = self._is_over(snapshot, decision)
            decision = decision if over else self._within_limits(watched, decision, record, now)
            decision = replace(decision, lines=(*lines, *decision.lines))
            if decision.waits:
                unmet = World(snapshot, verdicts, now, record).unmet
                return replace(self._rest(watched, decision, record, stored, over=over), verdicts=verdicts, unmet=unmet)
            if self.clock() + snapshot.lease > began + min(self.deadline, max(DEADLINE, LEASES * snapshot.lease)):
                return self._rest(watched, self._late(snapshot, decision, record, lines), record, stored)
            until = self.clock() + LEASES * snapshot.lease
            decision, revision = self._intend(watched, decision, until, revision)
        except Conflict:
            return Woken(watched.name, Step(Verb.WAIT, reason="conflict"), now)
        if self.clock() + snapshot.lease > until:
            # The intent took too long to write: the verb could outlive it. It expires, then the world is read afresh.
            return Woken(watched.name, Step(Verb.WAIT, reason="leased", detail=decision.step.slot), until)
        after = self._act(decision, snapshot, now)
        try:
            record, revision = self._save(watched.name, after.record, revision, after.lines, after.due)
        except Conflict:
            self._overtaken(watched.name, decision.step)
            return Woken(watched.name, decision.step, after.due)
        failed = any(line.event == "failed" and line.reason != "conflict" for line in after.lines)
        woken = Woken(watched.name, decision.step, after.due, acted=True, failed=failed)
        return self._told(woken, record, revision, after.due)

    def plan(self, watched: Watched, record: Record, now: float) -> tuple[Snapshot, Mapping[int, Verdict], Decision]:
        """What would be done next and why; changes nothing."""
        every = self.evidence_every
        with telemetry.span("gather"):
            snapshot = gather(watched, record, self.sources, now, paused=paused(self.ledger), evidence_every=every)
        with telemetry.span("judge"):
            verdicts = judge(snapshot, now)
        with telemetry.span("decide"):
            return snapshot, verdicts, decide(snapshot, verdicts, now)

    def _is_over(self, snapshot: Snapshot, decision: Decision) -> bool:
        """Whether the model needs no slot: nothing is being rolled out, or nothing can be."""
        # A mark that the record does not know yet may be a nomination whose worker died: its slot stays taken.
        idle = (
            decision.record.rollout is None
            and snapshot.marks.challenger is None
            and decision.step.verb is not Verb.NOMINATE
        )
        return idle or not snapshot.marks.exists or snapshot.watched.mode is Mode.ADVISE

    def _within_limits(self, watched: Watched, decision: Decision, record: Record, now: float) -> Decision:
        """Rollouts at once are limited by slots, shared by all workers through the ledger."""
        nominating = decision.step.verb is Verb.NOMINATE
        if take(self.ledger, watched.name, self.limits.rollouts_at_once) or not nominating:
            return decision
        waiting = Step(Verb.WAIT, version=decision.step.version, reason="slots_full")
        full = replace(decision, step=waiting, look_again=now + min(self.evidence_every, 10.0))
        return mention(full, record.told.get("wait"), watched.name, now)

    def _late(self, snapshot: Snapshot, decision: Decision, record: Record, lines: tuple[Line, ...]) -> Decision:
        """The wait of a wake-up that has no time left for its step. Nothing is kept of a step that is not taken."""
        now, never = self.clock(), snapshot.lease > self.deadline
        reason, detail = "deadline_of_wake", decision.step.slot
        if never:
            reason = "deadline_too_short"
            detail = f"a verb may take {snapshot.lease:g} s, and a wake-up lasts {self.deadline:g} s at most"
        waiting = Step(Verb.WAIT, version=decision.step.version, reason=reason, detail=detail)
        again = now + (self.evidence_every if never else min(self.evidence_every, LATE))
        return mention(Decision(waiting, record, again, lines), record.told.get("wait"), snapshot.watched.name, now)

    def _rest(
        self, watched: Watched, decision: Decision, before: Record, stored: Stored | None, *, over: bool = False
    ) -> Woken:
        """Save what was learned. `over`: the model needs no slot any more."""
        record, woken = replace(decision.record, intent=None), Woken(watched.name, decision.step, decision.look_again)
        revision = stored.revision if stored else None
        # What woke it in a pause is seen and not acted on, and nothing would bring it up again when the pause ends.
        due = UNTIL_RESUMED if decision.step.reason == "paused" else decision.look_again
        # What is not due any more must not stay due: every look at the ledger would wake it again.
        # No line without a change of the record, which remembers what was told.
        if record != before or due != (stored.due if stored else None):
            record, revision = self._save(watched.name, record, revision, decision.lines, due)
        if over:
            free(self.ledger, watched.name)
        return self._told(woken, record, revision, due)

    def _intend(
        self, watched: Watched, decision: Decision, until: float, revision: str | None
    ) -> tuple[Decision, str | None]:
        step = decision.step
        intent = Intent(self.worker, until, step.slot)
        data = {"verb": str(step.verb), "slot": step.slot, "weights": dict(step.weights), "worker": self.worker}
        line = Line(
            self.clock(), watched.name, "intent", step.target, step.version, step.reason, data | {"detail": step.detail}
        )
        record = replace(decision.record, intent=intent)
        record, revision = self._save(watched.name, record, revision, (*decision.lines, line), until)
        return replace(decision, record=record), revision

    def _save(
        self, name: str, record: Record, revision: str | None, lines: tuple[Line, ...], due: float | None
    ) -> tuple[Record, str]:
        """Write record and lines, with what is news in them; the record as it was written, and its revision."""
        record = self.outbox.noted(record, lines)
        due = soonest(record, self.clock(), due)
        revision = self.ledger.save(key_of(name), record.to_json(), revision, lines, due)
        telemetry.written(lines, record.rollout_since)
        return record, revision

    def _told(self, woken: Woken, record: Record, revision: str | None, due: float | None) -> Woken:
        """Send the news that was saved. What cannot be sent has the model woken again; `due` is when otherwise."""
        again = self.outbox.deliver(woken.model, record, revision, due)
        return woken if again == due else replace(woken, again=again)

    def _act(self, decision: Decision, snapshot: Snapshot, began: float) -> After:
        step, record = decision.step, decision.record
        outcome: Probe | None = None
        failure: Failure | None = None
        try:
            with telemetry.span("act", verb=str(step.verb), target=step.target or ""):
                outcome = act(step, snapshot, self.sources)
        except Conflict as error:
            failure = Failure("conflict", str(error))
        except UnderWay as error:
            now = self.clock()
            return under_way(snapshot, record, step, error, now, self._about(now - began))
        except Transient as error:
            failure = Failure("transient", str(error), error.retry_after)
        except Terminal as error:
            failure = Failure("terminal", str(error))
        now = self.clock()
        about = self._about(now - began)
        if failure is not None:
            if step.target is not None:
                kind = next(v.target.kind for v in snapshot.targets if v.target.name == step.target)
                telemetry.deployer_error(kind, str(step.verb), failure.kind)
            return failed(snapshot, record, step, failure, now, about)
        if outcome is not None:
            about |= {"detail": outcome.detail, "ok": outcome.ok, "answered": outcome.version, "ms": outcome.ms}
        return done(snapshot, record, step, outcome, now, about)

    def _overtaken(self, name: str, step: Step) -> None:
        """A verdict that another worker gave meanwhile may have been taken off again: the version is read once more."""
        stored, now = self.ledger.load(key_of(name)), self.clock()
        record, lines = _read(stored.body if stored else None, name, now)
        doubted = changed(record, settled=min(record.settled, (step.version or 0) - 1))
        with contextlib.suppress(Conflict):
            self._save(name, doubted, stored.revision if stored else None, lines, now)

    def _about(self, seconds: float) -> dict[str, Any]:
        """Who took a step, and how long it took."""
        return {"worker": self.worker, "seconds": round(seconds, 3)}


def _read(body: Mapping[str, Any] | None, name: str, now: float) -> tuple[Record, tuple[Line, ...]]:
    if body is None:
        return Record(born=now), ()
    try:
        return from_json(body), ()
    except ValueError as error:
        line = Line(now, name, "ledger_rebuilt", reason="ledger_rebuilt", data={"detail": str(error)})
        return Record(born=now), (line,)
