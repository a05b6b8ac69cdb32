"""Every version that the history knows with its outcome and its primary metric, and who was champion when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from watcher.history import DECISIONS
from watcher.judge.metrics import score
from watcher.judge.numbers import turned
from watcher.policy import Policy
from watcher.ports import Line
from watcher.reasons import REASONS
from watcher.sentences import render
from watcher.snapshot import Snapshot
from watcher.text import plain
from watcher.values import Call, Version
from watcher.views.explained import SKEW

MOST = 60
"""Versions that are shown, the newest."""
ORDERS = frozenset({"promote", "rollback"})
"""What a person asks for to have another champion."""


class Outcome(StrEnum):
    """What became of a version."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    FORMER = "former"
    WINNER = "wins"
    LOSES = "loses"
    INVALID = "invalid"
    WAITS = "waits"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled_back"
    DISPLACED = "displaced"
    UNMET = "unmet"
    UNKNOWN = "unknown"


WORDS: Mapping[Outcome, str] = {
    Outcome.CHAMPION: "champion",
    Outcome.CHALLENGER: "challenger",
    Outcome.FORMER: "former champion",
    Outcome.WINNER: "winner, not rolled out",
    Outcome.LOSES: "loses",
    Outcome.INVALID: "invalid",
    Outcome.WAITS: "waits",
    Outcome.SUPERSEDED: "superseded",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.DISPLACED: "displaced by an order",
    Outcome.UNMET: "could not be served",
    Outcome.UNKNOWN: "not judged yet",
}
_CALLED = {call: Outcome(call.value) for call in Call}
_LASTING = frozenset({Call.ROLLED_BACK, Call.DISPLACED, Call.UNMET})


def versions(lines: Iterable[Line], snapshot: Snapshot | None, policy: Policy) -> list[dict[str, Any]]:
    """The newest versions, newest first, from lines of what was judged and done, and from the registry if it answers.

    `value` is the primary metric as it was judged last, None where it was missing or not to be trusted.
    """
    told = sorted(_of_these(lines, snapshot), key=_reasons_first)
    verdicts = {line.version: line for line in told if line.event == "verdict" and line.version is not None}
    became = _became(told)
    known = {n: v for n, v in snapshot.versions.items() if isinstance(v, Version)} if snapshot else {}
    numbers = sorted({*verdicts, *became, *known}, reverse=True)
    champion = snapshot.marks.champion if snapshot else None
    # However old it is, the others are compared with it.
    numbers = [*numbers[: MOST - 1], *(n for n in numbers[MOST - 1 :] if n == champion)]
    found = []
    for number in numbers:
        outcome = _outcome(number, snapshot, known.get(number), became)
        line = verdicts.get(number)
        reason = (line.reason or str((line.data or {}).get("reason", ""))) if line else ""
        because = REASONS.get(reason)
        found.append(
            {
                "version": number,
                "outcome": outcome,
                "word": WORDS[outcome],
                "value": _value(number, line, snapshot, policy),
                "at": line.at if line else None,
                "call": (line.data or {}).get("call") if line else None,
                "reason": reason or None,
                "because": because.sentence if because else plain(reason, 500),
                "said": said(line) if line else "",
            }
        )
    return found


def _reasons_first(line: Line) -> tuple[float, bool]:
    """By time; of the same moment what explains comes before what it explains."""
    return line.at, line.event in DECISIONS


def _of_these(lines: Iterable[Line], snapshot: Snapshot | None) -> Iterable[Line]:
    """Without lines of earlier versions of the same numbers: a model was deleted and made anew."""
    for line in lines:
        version = snapshot.versions.get(line.version) if snapshot and line.version is not None else None
        if isinstance(version, Version) and line.at < version.identity.created_ms / 1000 - SKEW:
            continue
        if snapshot and snapshot.newest and (line.version or 0) > snapshot.newest:
            continue
        yield line


def _became(lines: Sequence[Line]) -> dict[int, Outcome]:
    """The last that the history says of each version; `lines` oldest first."""
    found: dict[int, Outcome] = {}
    for line in lines:
        data = line.data or {}
        if line.event == "verdict" and line.version is not None:
            call = data.get("call")
            found[line.version] = Outcome(call) if call in set(Outcome) else Outcome.UNKNOWN
        elif line.event == "crowned" and line.version is not None:
            found[line.version] = Outcome.FORMER
        elif line.event == "order":
            crowned, displaced = data.get("crowned", line.version), data.get("displaced")
            if isinstance(crowned, int):
                found[crowned] = Outcome.FORMER
            if isinstance(displaced, int):
                found[displaced] = Outcome.DISPLACED
        elif line.event in ("rolled_back", "unmet") and line.version is not None:
            found[line.version] = Outcome(line.event)
    return found


def _outcome(number: int, snapshot: Snapshot | None, version: Version | None, became: Mapping[int, Outcome]) -> Outcome:
    if version is not None and version.call in _LASTING:
        return _CALLED[version.call]
    if snapshot is not None and number == snapshot.marks.champion:
        return Outcome.CHAMPION
    if snapshot is not None and number == snapshot.marks.challenger:
        return Outcome.CHALLENGER
    if number in became:
        return became[number]
    return _CALLED[version.call] if version is not None and version.call is not None else Outcome.UNKNOWN


def _value(number: int, line: Line | None, snapshot: Snapshot | None, policy: Policy) -> float | None:
    worth = (line.data or {}).get("score") if line else None
    if not isinstance(worth, int | float) and snapshot is not None:
        worth = score(policy, snapshot.evidence.get(number), snapshot.evaluations.get(number))
    return turned(float(worth), policy.primary.better) if isinstance(worth, int | float) else None


def said(line: Line) -> str:
    """The line's sentences without the name of its model."""
    return render(line).removeprefix(f"{plain(line.model)}: ")


def reigns(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Who was champion when and why, newest first, from `crowned` and `order` lines and those that explain them."""
    told = sorted(lines, key=_reasons_first)
    verdicts: dict[int | None, Line] = {}
    asked: Line | None = None
    found: list[dict[str, Any]] = []
    for line in told:
        if line.event == "verdict":
            verdicts[line.version] = line
        elif line.event == "order_asked" and (line.data or {}).get("order") in ORDERS:
            asked = line
        elif line.event in ("crowned", "order"):
            ordered = line.event == "order"
            number = (line.data or {}).get("crowned", line.version) if ordered else line.version
            mine = asked if asked is not None and asked.version == number else None
            because = mine if ordered else verdicts.get(line.version)
            if found:
                found[-1]["until"] = line.at
            found.append(
                {
                    "version": number,
                    "since": line.at,
                    "until": None,
                    "how": "order" if ordered else "rollout",
                    "why": [said(each) for each in (because, line) if each is not None],
                }
            )
            asked = None
    return found[::-1]
