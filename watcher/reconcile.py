"""One wake-up of one model: gather, judge, decide, record, act, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from watcher.act import act
from watcher.decide import Decision, decide
from watcher.decide.after import After, Failure, done, failed
from watcher.decide.tell import mention
from watcher.errors import Conflict, Terminal, Transient
from watcher.gather import Sources, gather
from watcher.judge import judge
from watcher.pause import paused
from watcher.ports import Ledger, Line
from watcher.record import Intent, Record, from_json
from watcher.settings import Limits, Watched
from watcher.slots import free, take
from watcher.snapshot import Snapshot
from watcher.values import Mode, Probe, Step, Verb

LEASES = 2.0
"""An intent binds for this many times the slowest verb: a verb starts only if its time-out fits into the rest."""


@dataclass(frozen=True, slots=True)
class Woken:
    """What one wake-up did, and when to wake the model again (None: nothing will change by time alone)."""

    model: str
    step: Step
    again: float | None
    acted: bool = False
    """Whether a step was taken by this worker: only then does it wake the model again at once."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A worker with its ports. `clock` gives seconds since the epoch; `worker` is unique to this process."""

    sources: Sources
    ledger: Ledger
    limits: Limits
    clock: Callable[[], float]
    worker: str
    evidence_every: float = 60.0
    deadline: float = 120.0
    """Seconds a wake-up may last; hosts that kill a late worker set it well below their own time-out."""

    def wake(self, watched: Watched) -> Woken:
        """Take at most one step for this model. Raises Transient where registry or ledger are out of reach."""
        now = self.clock()
        stored = self.ledger.load(watched.name)
        record, lines = _read(stored.body if stored else None, watched.name, now)
        if record.intent and record.intent.worker != self.worker and record.intent.until > now:
            waiting = Step(Verb.WAIT, reason="leased", detail=record.intent.step)
            return Woken(watched.name, waiting, record.intent.until)
        snapshot, decision = self.plan(watched, record, now)
        revision = stored.revision if stored else None
        try:
            over = self._is_over(snapshot, decision)
            decision = decision if over else self._within_limits(watched, decision, record, now)
            decision = replace(decision, lines=(*lines, *decision.lines))
            if decision.waits:
                woken = self._rest(watched, decision, record, revision)
                if over:
                    free(self.ledger, watched.name)
                return woken
            if self.clock() + snapshot.lease > now + self.deadline:
                late = Step(Verb.WAIT, reason="deadline_of_wake", detail=decision.step.slot)
                return Woken(watched.name, late, self.clock())
            until = self.clock() + LEASES * snapshot.lease
            revision = self._intend(watched, decision, until, revision)
        except Conflict:
            return Woken(watched.name, Step(Verb.WAIT, reason="conflict"), now)
        if self.clock() + snapshot.lease > until:
            # The intent took too long to write: the verb could outlive it. It expires, then the world is read afresh.
            return Woken(watched.name, Step(Verb.WAIT, reason="leased", detail=decision.step.slot), until)
        after = self._act(decision, snapshot, now)
        try:
            self.ledger.save(watched.name, after.record.to_json(), revision, after.lines, after.due)
        except Conflict:
            return Woken(watched.name, decision.step, after.due)
        return Woken(watched.name, decision.step, after.due, acted=True)

    def plan(self, watched: Watched, record: Record, now: float) -> tuple[Snapshot, Decision]:
        """What would be done next and why; changes nothing."""
        snapshot = gather(watched, record, self.sources, paused=paused(self.ledger), evidence_every=self.evidence_every)
        return snapshot, decide(snapshot, judge(snapshot, now), now)

    def _is_over(self, snapshot: Snapshot, decision: Decision) -> bool:
        """Whether the model needs no slot: nothing is being rolled out, or nothing can be."""
        idle = decision.record.rollout is None and decision.step.verb is not Verb.NOMINATE
        return idle or not snapshot.marks.exists or snapshot.watched.mode is Mode.ADVISE

    def _within_limits(self, watched: Watched, decision: Decision, record: Record, now: float) -> Decision:
        """Rollouts at once are limited by slots, shared by all workers through the ledger."""
        nominating = decision.step.verb is Verb.NOMINATE
        if take(self.ledger, watched.name, self.limits.rollouts_at_once) or not nominating:
            return decision
        waiting = Step(Verb.WAIT, version=decision.step.version, reason="slots_full")
        full = replace(decision, step=waiting, look_again=now + min(self.evidence_every, 10.0))
        return mention(full, record.told.get("wait"), watched.name, now)

    def _rest(self, watched: Watched, decision: Decision, before: Record, revision: str | None) -> Woken:
        record = replace(decision.record, intent=None)
        if record != before or decision.lines or revision is None or decision.look_again is not None:
            self.ledger.save(watched.name, record.to_json(), revision, decision.lines, decision.look_again)
        return Woken(watched.name, decision.step, decision.look_again)

    def _intend(self, watched: Watched, decision: Decision, until: float, revision: str | None) -> str:
        step = decision.step
        intent = Intent(self.worker, until, step.slot)
        data = {"verb": str(step.verb), "slot": step.slot, "weights": dict(step.weights), "worker": self.worker}
        line = Line(
            self.clock(), watched.name, "intent", step.target, step.version, step.reason, data | {"detail": step.detail}
        )
        record = replace(decision.record, intent=intent)
        return self.ledger.save(watched.name, record.to_json(), revision, (*decision.lines, line), intent.until)

    def _act(self, decision: Decision, snapshot: Snapshot, began: float) -> After:
        step, record = decision.step, decision.record
        outcome: Probe | None = None
        failure: Failure | None = None
        try:
            outcome = act(step, snapshot, self.sources)
        except Conflict as error:
            failure = Failure("conflict", str(error))
        except Transient as error:
            failure = Failure("transient", str(error), error.retry_after)
        except Terminal as error:
            failure = Failure("terminal", str(error))
        now = self.clock()
        about = {"worker": self.worker, "seconds": round(now - began, 3)}
        if failure is not None:
            return failed(snapshot, record, step, failure, now, about)
        if outcome is not None:
            about |= {"detail": outcome.detail, "ok": outcome.ok, "answered": outcome.version, "ms": outcome.ms}
        return done(snapshot, record, step, outcome, now, about)


def _read(body: Mapping[str, Any] | None, name: str, now: float) -> tuple[Record, tuple[Line, ...]]:
    if body is None:
        return Record(born=now), ()
    try:
        return from_json(body), ()
    except ValueError as error:
        line = Line(now, name, "ledger_rebuilt", reason="ledger_rebuilt", data={"detail": str(error)})
        return Record(born=now), (line,)
