"""What the loop asks of the world. Each port has fakes in `watcher.fakes` and one contract suite in `tests/contract`.

Every method raises only `Transient`, `Terminal` or `Conflict` (`watcher.errors`), never an SDK's own error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from watcher.evaluations import Evaluate, Evaluated, Evaluation
from watcher.values import (
    Call,
    Change,
    Crown,
    EvidenceOf,
    Example,
    Gone,
    Marks,
    Observed,
    Probe,
    Release,
    Target,
    Version,
)


class Feed(Protocol):
    """What to wake. Says only *look now*: losing an answer costs time, repeating one is harmless."""

    def changed(self, since_ms: int) -> Sequence[Change]:
        """Models touched at or after `since_ms`, newest first; tags and aliases touch nothing.

        One registry call where the registry can order its models; a page more only while all of it is newer.
        """
        ...

    def marks(self, names: Iterable[str]) -> Mapping[str, Marks]:
        """Marks of the named models in as few calls as the registry allows.

        A name that is missing from the answer is unknown, not absent.
        """
        ...

    def names(self) -> Sequence[str]:
        """All registered models, for `match:` patterns and the resync."""
        ...


class Registry(Protocol):
    """Marks and versions of one model. Absence is believed only from a direct get: `Gone`, or `exists=False`."""

    staleness: float
    """Seconds for which a read may be older than a write that was acknowledged; 0 for MLflow's own store."""

    def read(self, name: str) -> Marks:
        """Both aliases, the crown tag and the hold, from one call. `exists=False` where the model is not there."""
        ...

    def version(self, name: str, version: int) -> Version | Gone:
        """One version by direct get."""
        ...

    def versions(self, name: str, above: int, most: int = 200, also: Collection[int] = ()) -> Sequence[Version]:
        """Versions with a number above `above`, highest first, at most `most`. A listing: absence means nothing.

        Versions that carry `watcher.rejudge` are added, whatever their number; those of `also` where they come with
        the listing at no cost, and are as a direct get would give them.
        """
        ...

    def crown(self, name: str, version: int, crown: Crown, expect: Marks) -> None:
        """Move the champion alias to `version`, then write the crown tag.

        Reads again first: already so is success; another champion, challenger or `n` than expected is a `Conflict`.
        """
        ...

    def challenge(self, name: str, version: int | None, expect: Marks) -> None:
        """Set the challenger mark, or remove it (None). Already so is success; changed since `expect`: `Conflict`."""
        ...

    def write_crown(self, name: str, crown: Crown, expect: Marks) -> None:
        """Write the crown tag whole. The same value already there is success; another `n` is a `Conflict`."""
        ...

    def tag(self, name: str, version: int, call: Call | None, expect: Call | None) -> None:
        """Write or remove (None) the version tag `watcher.verdict`.

        Already so is success; another call than expected, or a version that is gone, is a `Conflict`.

        Removing it removes `watcher.rejudge` too, the verdict first: a crash in between repeats the whole.
        """
        ...


class Orders(Protocol):
    """What a person writes through the command line; the same can be done in any MLflow UI."""

    def set_champion(self, name: str, version: int) -> None:
        """Move the champion mark. Terminal where the version does not exist."""
        ...

    def hold(self, name: str, who: str | None) -> None:
        """Write or remove (None) the hold."""
        ...

    def rejudge(self, name: str, version: int) -> None:
        """Write `watcher.rejudge` on the version: its verdict is cleared and the floor lowered beneath it."""
        ...

    def approve(self, name: str, version: int, tag: str, who: str) -> None:
        """Write the approval tag that the policy names."""
        ...


class Evidence(Protocol):
    """What is known about a version, read without running any of the model's code."""

    def of(self, version: Version) -> EvidenceOf:
        """Metrics with data set and origin, signature, requirements, example.

        Artifacts are `ABSENT` only when confirmed by the storage; a storage error is `Transient`.
        """
        ...

    def example(self, version: Version) -> Example | None:
        """Its example alone, for fewer requests than `of`; None where there is none that can be used."""
        ...


class Deployer(Protocol):
    """Moves one kind of target. Accepts and returns, never waits; repeats are harmless."""

    atomic: bool
    """Whether it compares and writes in one call; else compare-then-write, protected by the lease."""
    lease: float
    """Seconds: time-out of its slowest verb."""

    def observe(self, target: Target) -> Observed:
        """Releases, weights or pointer, owner, health, traffic per release since the token changed, token."""
        ...

    def launch(self, release: Release) -> None:
        """Bring a release up without traffic.

        Already there: no-op. A failed one of the same name is started again. The same name with another identity
        or owner: `Conflict`. More than one call can do, such as copying a large model: `UnderWay`, and the next call
        goes on where this one ended.
        """
        ...

    def probe(self, release: Release, example: Example) -> Probe:
        """Ask the release itself, past the traffic rules, and read back which version answered.

        An answer that takes minutes, such as a job's: `UnderWay`, and a later call reads it.
        """
        ...

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        """Set absolute weights (sum 100, or empty: nothing serves).

        `Conflict` if the target's token is no longer `seen` or a named release is not ready. Only after `adopt`
        where a foreign release is live.
        """
        ...

    def retire(self, target: Target, name: str) -> None:
        """Remove a release. Absent: no-op. A live one (weight above zero) or a foreign one: `Conflict`."""
        ...

    def adopt(self, target: Target, version: Version) -> None:
        """Record on the target that a person lends it: it serves `version` already, in a release not ours."""
        ...

    def check(self, target: Target) -> Sequence[str]:
        """What would fail, before anything is created: one sentence each, empty where all is well."""
        ...


class Mirroring(Deployer, Protocol):
    """A deployer of endpoints that can copy live requests to a release without traffic. Others have no `mirror`."""

    def mirror(self, target: Target, name: str, percent: int, seen: str) -> None:
        """Copy this share of the requests to a release; no client waits for its answers, and none sees them.

        Counts start again. The next `shift`, and the retirement of the release, end it. `Conflict` if the target's
        token is no longer `seen`, or the release is live or not ready.
        """
        ...


def mirrors(deployer: Deployer) -> TypeGuard[Mirroring]:
    """Whether it can copy live requests."""
    return hasattr(deployer, "mirror")


class Evaluator(Protocol):
    """Scores champion and challenger on the same rows, elsewhere. Accepts and returns, never waits."""

    lease: float
    """Seconds: time-out of its slower verb."""

    def start(self, evaluation: Evaluation) -> None:
        """Begin. Under way or done already: no-op. Begun again after a crash it goes on with what was finished.

        Terminal where the request can never be carried out.
        """
        ...

    def observe(self, evaluation: Evaluation) -> Evaluated:
        """How far it is. An old failure that was nobody's fault, or that a person may have mended, is `ABSENT` again.

        Other data than before is another evaluation: `ABSENT`, whatever was found on the old.
        """
        ...

    def check(self, rules: Evaluate) -> Sequence[str]:
        """What would fail, before anything is begun: one sentence each, empty where all is well."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A ledger record with the revision to name when it is saved again."""

    body: Mapping[str, Any]
    revision: str
    due: float | None = None
    """When it asked to be looked at again, as it was saved."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the append-only history."""

    at: float
    model: str
    event: str
    """A code of `watcher.history.EVENTS`."""
    target: str | None = None
    version: int | None = None
    reason: str = ""
    data: Mapping[str, Any] | None = None
    """JSON values only: findings, weights, numbers. Never a secret."""


class Ledger(Protocol):
    """Memory: small records by key with compare-and-set, and a history kept apart from them.

    Keys are those of models (`watcher.record.key_of`), or start with one `#` for the loop's own records (`#slots`).
    """

    def load(self, key: str) -> Stored | None:
        """The record, None where there is none."""
        ...

    def save(
        self,
        key: str,
        body: Mapping[str, Any],
        unchanged: str | None,
        lines: Sequence[Line] = (),
        due: float | None = None,
    ) -> str:
        """Write record and lines in one batch, if the revision is still `unchanged` (None: no record yet).

        Returns the new, random revision. `Conflict` if somebody else was faster. `due`: when to look at this
        record again at the latest, None for never.
        """
        ...

    def due(self, now: float) -> Sequence[str]:
        """Keys whose `due` has come, the longest overdue first."""
        ...

    def history(
        self,
        model: str | None = None,
        until: float | None = None,
        since: float | None = None,
        most: int = 1000,
        *,
        newest_first: bool = True,
        event: str | None = None,
        target: str | None = None,
    ) -> Sequence[Line]:
        """Lines of one model (None: all), bounded by time (both ends included)."""
        ...
