"""What every rule of the chain is given, and how a rule answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, overload

from watcher.naming import release_name
from watcher.ports import Line
from watcher.record import Attempts, Record, changed
from watcher.snapshot import Snapshot, TargetView
from watcher.values import (
    NOTHING,
    Call,
    Crown,
    Gone,
    Mirrored,
    Observed,
    SeenRelease,
    State,
    Step,
    Verb,
    Verdict,
    Version,
)

ALL = 100
"""Percent of a target's traffic."""


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
        return isinstance(self.snapshot.versions.get(number), Gone) if number is not None else False

    def line(self, event: str, **about: Any) -> Line:
        return Line(at=self.now, model=self.name, event=event, **about)

    def saying(self, *lines: Line) -> World:
        return replace(self, lines=self.lines + lines) if lines else self

    def telling(self, state: str, text: str, line: Line) -> World:
        """The world that says the line, unless it was told already that `state` is so."""
        if self.record.told.get(state) == text:
            return self
        return self.saying(line).remembering(told={**self.record.told, state: text})

    def known(self, version: Version) -> World:
        """The world that saw the version before: with its verdict gone it is to be judged again, and not new."""
        return self.remembering(first_seen={**self.record.first_seen, version.identity.key: self.now})

    def remembering(self, **changes: Any) -> World:
        record = changed(self.record, **changes)
        return self if record is self.record else replace(self, record=record)

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
            if tried.going_on:
                reason = "probing" if verb is Verb.PROBE else "launching"
                return self.wait(reason, f"v{version} on {target}: {tried.why}", tried.not_before)
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


def releases(view: TargetView) -> tuple[SeenRelease, ...]:
    """Everything that is there, nothing where the target was not seen."""
    return view.seen.releases if isinstance(view.seen, Observed) else ()


def weights(view: TargetView) -> Mapping[str, int]:
    """Release name -> percent, empty where the target was not seen."""
    return view.seen.weights if isinstance(view.seen, Observed) else NOTHING


def found(view: TargetView, release: str) -> SeenRelease | None:
    """One release on a target; None where it is not there or the target was not seen."""
    return next((seen for seen in releases(view) if seen.name == release), None)


def state(view: TargetView, release: str) -> State | None:
    """State of a release on a target; None where it is not there or the target was not seen."""
    seen = found(view, release)
    return seen.state if seen else None


def weight(view: TargetView, release: str | None) -> int:
    """Percent that a release gets on a target, 0 where the target was not seen."""
    return weights(view).get(release or "", 0)


def mirrored(view: TargetView, release: str) -> Mirrored | None:
    """What a release without traffic answered to copies of live requests, None where it gets none."""
    return view.seen.copies(release) if isinstance(view.seen, Observed) else None


@overload
def name_of(version: Version) -> str: ...


@overload
def name_of(version: Version | None) -> str | None: ...


def name_of(version: Version | None) -> str | None:
    """Name of the version's release, None without a version."""
    return release_name(version.identity) if version else None


def whole(view: TargetView, release: str) -> bool:
    """Whether the target serves this release and nothing else, and the release is ready."""
    settled = isinstance(view.seen, Observed) and not view.seen.moving
    return settled and dict(weights(view)) == {release: ALL} and state(view, release) is State.READY


def sooner(decisions: list[Decision]) -> Decision:
    """A step before any wait; among waits the one that looks again first, keeping its reason."""
    return min(decisions, key=lambda d: (d.waits, d.look_again if d.look_again is not None else float("inf")))
