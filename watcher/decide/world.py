"""What every rule of the chain is given, and how a rule answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watcher.naming import release_name
from watcher.ports import Line
from watcher.record import Attempts, Record
from watcher.snapshot import Snapshot, TargetView
from watcher.values import (
    NOTHING,
    Call,
    Crown,
    Gone,
    Observed,
    State,
    Step,
    Unseen,
    Verb,
    Verdict,
    Version,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Exactly one step (perhaps to wait), why, and when to look again."""

    step: Step
    record: Record
    """To be saved before the step is taken."""
    look_again: float | None = None
    """Seconds since the epoch, None: nothing will change by time alone."""
    lines: tuple[Line, ...] = ()

    @property
    def waits(self) -> bool:
        return self.step.verb is Verb.WAIT


@dataclass(frozen=True, slots=True)
class World:
    """The snapshot, the verdicts and the time, with the questions that the rules ask of them."""

    snapshot: Snapshot
    verdicts: Mapping[int, Verdict]
    now: float
    record: Record
    lines: tuple[Line, ...] = ()

    @property
    def crown(self) -> Crown:
        return self.snapshot.marks.crown or Crown()

    @property
    def champion(self) -> Version | None:
        return self.snapshot.champion

    @property
    def challenger(self) -> Version | None:
        return self.snapshot.challenger

    @property
    def targets(self) -> tuple[TargetView, ...]:
        return self.snapshot.targets

    @property
    def name(self) -> str:
        return self.snapshot.watched.name

    @property
    def unmet(self) -> bool:
        """Whether the champion is an order that turned out not to be possible."""
        champion = self.champion
        return champion is not None and champion.call is Call.UNMET and not self.crown.met

    @property
    def desired(self) -> Version | None:
        """What every target should serve while no rollout runs."""
        if self.unmet and self.crown.previous is not None:
            return self.snapshot.version(self.crown.previous)
        return self.champion

    def gone(self, number: int | None) -> bool:
        return number is not None and isinstance(self.snapshot.versions.get(number), Gone)

    def line(self, event: str, **about: Any) -> Line:
        return Line(at=self.now, model=self.name, event=event, **about)

    def saying(self, *lines: Line) -> World:
        return replace(self, lines=self.lines + lines)

    def remembering(self, **changes: Any) -> World:
        return replace(self, record=replace(self.record, **changes))

    def do(  # noqa: PLR0913 the fields of a step, by name
        self,
        verb: Verb,
        reason: str,
        *,
        target: str | None = None,
        version: int | None = None,
        release: str | None = None,
        weights: Mapping[str, int] = NOTHING,
        crown: Crown | None = None,
        call: Call | None = None,
        detail: str = "",
    ) -> Decision:
        """The decision to take one step now, or to wait while an earlier try of it backs off."""
        step = Step(verb, target, version, release, weights, crown, call, reason, detail)
        tried = self.record.attempts.get(step.slot)
        if tried is not None and tried.not_before > self.now:
            return self.wait("backoff", f"{step.slot} failed {tried.count}×: {tried.why}", tried.not_before)
        return Decision(step, self.record, self.now, self.lines)

    def wait(self, reason: str, detail: str = "", until: float | None = None) -> Decision:
        return Decision(
            Step(Verb.WAIT, version=self.snapshot.marks.challenger, reason=reason, detail=detail),
            self.record,
            until,
            self.lines,
        )

    def tried(self, verb: Verb, view: TargetView, release: str) -> Attempts | None:
        return self.record.attempts.get(Step(verb, view.target.name, release=release).slot)

    def next_crown(self, **changes: Any) -> Crown:
        return replace(self.crown, n=max(self.crown.n, self.record.n) + 1, **changes)


def state(view: TargetView, release: str | None) -> State | None:
    """State of a release on a target; None where it is not there or the target was not seen."""
    if release is None or isinstance(view.seen, Unseen):
        return None
    found = view.seen.release(release)
    return found.state if found else None


def weight(view: TargetView, release: str | None) -> int:
    """Percent that a release gets on a target, 0 where the target was not seen."""
    return view.seen.weights.get(release, 0) if release and isinstance(view.seen, Observed) else 0


def name_of(version: Version | None) -> str | None:
    """Name of the version's release, None without a version."""
    return release_name(version.identity) if version else None


def whole(view: TargetView, release: str | None) -> bool:
    """Whether the target serves this release and nothing else, and the release is ready."""
    if isinstance(view.seen, Unseen):
        return False
    wanted = {release: 100} if release else {}
    return dict(view.seen.weights) == wanted and (release is None or state(view, release) is State.READY)


def sooner(decisions: list[Decision]) -> Decision:
    """A step before any wait; among waits the one that looks again first, keeping its reason."""
    for decision in decisions:
        if not decision.waits:
            return decision
    return min(decisions, key=lambda d: d.look_again if d.look_again is not None else float("inf"))
