"""What a pointer, the trials and the job's own report say together: which release is how far."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployers.pointer import documents
from watcher.errors import Terminal
from watcher.text import plain
from watcher.values import Kind, SeenRelease, State, Target, Traffic, Wrote

BEGUN = 60.0
"""Seconds within which a trial must have said that it runs."""
SLACK = 30.0
"""Seconds that clocks of two machines may differ by, and a sign of life be late."""
MOST_TRIALS = 3
"""Times that a trial may die without an answer."""
VERSION = "version"
"""What a job calls an error that another version may not have."""


@dataclass(frozen=True, slots=True)
class Staged:
    """One release of the pointer, and what its trial says."""

    version: int
    key: str
    trial: Mapping[str, Any] | None
    """As it was asked for; None where none was."""
    result: Mapping[str, Any]
    """What that very trial wrote, empty before it wrote anything."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What the job at the pointer last said of itself."""

    told: Mapping[str, Any]
    heard: bool
    """Whether a job runs: it gave a sign of life lately."""
    unread: str = ""

    @classmethod
    def of(cls, uri: str, now: float) -> Reported:
        """Raises Transient where it is out of reach; what makes no sense counts as nothing said."""
        try:
            found = documents.read(uri).value
        except Terminal as error:
            return cls({}, heard=False, unread=str(error))
        if not isinstance(found, dict) or found.get("format") != 1:
            return cls({}, heard=False)
        at, every = found.get("at"), found.get("every")
        alive = isinstance(at, int | float) and isinstance(every, int | float) and now - at < 2 * every + SLACK
        return cls(found, heard=alive and found.get("state") != "stopped")

    def part(self, name: str) -> Mapping[str, Any]:
        """A mapping of the report, empty where it is none."""
        found = self.told.get(name)
        return found if isinstance(found, dict) else {}


def state_of(staged: Staged, now: float) -> State | None:
    """How far a release is, None where its trial was lost and is to be asked for again."""
    trial, result = staged.trial, staged.result
    if trial is None:
        return State.READY
    match result.get("state"):
        case "fits":
            return State.READY
        case "refused":
            return State.FAILED
        case "running":
            over = now > _number(result.get("at")) + trial["limit"] + SLACK
            lost = over or (result.get("host") == socket.gethostname() and not _runs(result))
        case _:
            lost = now > trial["at"] + BEGUN
    if not lost:
        return State.STARTING
    return State.FAILED if trial["tries"] >= MOST_TRIALS else None


def seen_of(
    name: str, staged: Staged, there: Mapping[str, Any], reported: Reported, target: Target, now: float
) -> SeenRelease | None:
    """The release as it is seen, None where it has to be launched again."""
    live, ours = there["live"] == name, there["owner"] == target.owner
    state = state_of(staged, now)
    detail = _trial_detail(staged, state)
    if live:
        state, detail = _applied(name, there, reported, target)
    if state is None:
        return None
    traffic = _traffic(there, reported) if live else Traffic()
    key = staged.key if ours else ""
    return SeenRelease(
        name, staged.version, key, state, ours, plain(detail, 500), traffic, wrote_by(name, reported, target)
    )


def _trial_detail(staged: Staged, state: State | None) -> str:
    if state is State.FAILED and staged.result.get("state") != "refused":
        return f"its trial ended {MOST_TRIALS} times without an answer"
    return str(staged.result.get("detail") or "") if state is State.FAILED else ""


def _applied(name: str, there: Mapping[str, Any], reported: Reported, target: Target) -> tuple[State, str]:
    """Where the pointer is moved, and whether the job has followed it."""
    error, running, moved = reported.part("error"), reported.part("running"), there["moved"] or {}
    about = (error.get("kind"), error.get("release"), error.get("token"))
    if about == (VERSION, name, there["token"]):
        return State.FAILED, str(error.get("message") or "the job cannot score with it")
    trouble = f"; {error['message']}" if error.get("message") else ""
    if target.shape is Kind.BATCH:
        ran = running.get("token") == there["token"]
        return State.READY, ("" if ran else "the next run scores with it") + trouble
    if running.get("token") == there["token"]:
        return State.READY, ("" if reported.heard else f"no stream runs now; it was heard {_when(reported)}") + trouble
    if not moved.get("heard"):
        return State.READY, f"moved; no stream runs that could apply it{trouble}"
    if reported.heard:
        return State.STARTING, f"moved; the stream still has to apply it{trouble}"
    return State.STARTING, f"moved; the stream was heard last {_when(reported)}, before it could apply it{trouble}"


def _when(reported: Reported) -> str:
    at = _number(reported.told.get("at"))
    try:
        return f"at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "never"
    except (ValueError, OverflowError, OSError):
        return "at no moment that is one"


def _traffic(there: Mapping[str, Any], reported: Reported) -> Traffic:
    """Rows scored since the pointer was moved, as requests, and how long a micro-batch or a run took."""
    told = reported.part("traffic")
    if told.get("token") != there["token"]:
        return Traffic(available=reported.heard)
    rows, p95 = told.get("rows"), told.get("p95_ms")
    if type(rows) is not int:
        return Traffic(available=False)
    return Traffic(rows, 0, float(p95) if isinstance(p95, int | float) else None)


def wrote_by(name: str, reported: Reported, target: Target) -> Wrote | None:
    """What the job wrote with a release, as it said itself; None where it said nothing."""
    told = reported.part("wrote").get(name)
    if not isinstance(told, dict) or type(told.get("rows")) is not int:
        return None
    folders = told.get("folders")
    first, last = told.get("first"), told.get("last")
    return Wrote(
        rows=told["rows"],
        since=_number(told.get("since")),
        until=_number(told.get("until")),
        where=plain(reported.told.get("output") or target.settings.get("output") or "", 300),
        folders=tuple(plain(folder, 120) for folder in folders) if isinstance(folders, list) else (),
        commits=(first, last) if type(first) is int and type(last) is int else None,
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _runs(result: Mapping[str, Any]) -> bool:
    """Whether the trial's process runs on this machine: the same pid with the same start."""
    try:
        rest = Path(f"/proc/{int(result['pid'])}/stat").read_bytes().rpartition(b")")[2].split()
        return rest[0] not in (b"Z", b"X") and rest[19].decode() == result.get("started")
    except (OSError, KeyError, TypeError, ValueError, IndexError):
        return False
