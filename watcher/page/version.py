"""One version: what each rule says of it now, what was said of it, what it answered, and what a person can do."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from watcher.evaluations import Evaluated
from watcher.page.known import Known, Memory
from watcher.page.model import MOST_LIVE, total, wrote
from watcher.page.orders import Desk
from watcher.page.overview import trouble
from watcher.page.versions import WORDS, said, versions
from watcher.ports import Line
from watcher.settings import Watched
from watcher.values import Call, Finding, Gone
from watcher.views.app import App
from watcher.views.evaluated import HEAD as SIDES
from watcher.views.evaluated import TRACK, bars, comparison_line, score_rows
from watcher.views.explained import SKEW, Explained, explained, finding_row
from watcher.views.exposed import exposed
from watcher.views.lines import line_json
from watcher.views.show import verdict_json, verdict_line

MOST_STRETCHES = 20
BECAME = ("verdict", "crowned", "order", "rolled_back", "unmet")
"""Events that tell what became of a version."""
HEAD = ("rule", "outcome", "measured", "bound", "why")


def version(app: App, memory: Memory, watched: Watched, number: int, desk: Desk) -> dict[str, Any] | None:
    """Everything that is shown of one version; None where neither the registry nor the history knows it."""
    name = watched.name
    now, lives, told, written = _asked(app, memory, watched, number)
    explanation, notes = now.value or (None, [])
    lines: list[Line] = told.value or []
    if isinstance(explanation, Gone) and not lines:
        return None
    found = explanation if isinstance(explanation, Explained) else None
    # An earlier version of the same number is another one.
    born = found.version.identity.created_ms / 1000 - SKEW if found else 0.0
    lines = [line for line in lines if line.at >= born]
    stretches = [stretch for stretch in exposed(lives.value or (), name, number) if stretch.since >= born]
    about = versions(lines, found.snapshot if found else None, watched.policy)
    mine = next((entry for entry in about if entry["version"] == number), None)
    approval = watched.policy.approval
    return {
        "model": name,
        "version": number,
        "read": now.at,
        "owner": app.settings.owner,
        "trouble": [*trouble("The registry", now), *trouble("The ledger", lives if lives.problem else told)],
        "notes": notes,
        "gone": isinstance(explanation, Gone),
        "outcome": mine["outcome"] if mine else "unknown",
        "word": mine["word"] if mine else WORDS["unknown"],  # type: ignore[index]
        "metric": watched.policy.primary.metric,
        "value": mine["value"] if mine else None,
        "tag": found.version.call if found else None,
        "status": found.version.status if found else None,
        "run": found.version.run_id if found else None,
        "created": found.version.identity.created_ms / 1000 if found else None,
        "champion": found.snapshot.marks.champion if found else None,
        "verdict": verdict_json(found.verdict) if found else None,
        "verdict_says": verdict_line(found.verdict) if found else "",
        "findings": _rows(found.verdict.findings) if found else [],
        "evaluation": _evaluation(found.snapshot.evaluations.get(number)) if found else None,
        "judged": _judged(lines) if found is None or found.version.call is not None else None,
        "orders": desk.about_version(
            found.version,
            champion=found.snapshot.marks.champion,
            verdict=found.verdict,
            approval=approval.tag if approval else None,
        )
        if found
        else (),
        "served": stretches[::-1][:MOST_STRETCHES],
        "answered": total(stretches),
        "wrote": wrote(written.value or (), number, born),
        "history": [line_json(line) | {"said": said(line)} for line in lines],
    }


def _asked(app: App, memory: Memory, watched: Watched, number: int) -> list[Known]:
    """What is judged now with its notes, and the lines of what was live, what became of it and what jobs wrote."""
    name = watched.name

    def judged() -> tuple[Explained | Gone, list[str]]:
        found = app.registry.version(name, number)
        notes: list[str] = []
        return found if isinstance(found, Gone) else explained(app, watched, found, notes.append), notes

    def lines(event: str) -> list[Line]:
        return list(app.ledger.history(name, event=event, most=MOST_LIVE))

    def became() -> list[Line]:
        told = [line for event in BECAME for line in lines(event) if _about(line, number)]
        return sorted(told, key=lambda line: line.at)

    asked: dict[Hashable, Callable[[], Any]] = {
        ("version", name, number): judged,
        ("live", name): lambda: lines("live"),
        ("became", name, number): became,
        ("wrote", name): lambda: lines("wrote"),
    }
    return memory.ask(asked)


def _evaluation(found: Evaluated | None) -> dict[str, Any] | None:
    """Champion and challenger side by side, in cells and as a picture; None where nothing was scored."""
    comparison = found.comparison if found is not None else None
    if comparison is None:
        return None
    return {
        "says": comparison_line(comparison),
        "head": SIDES,
        "rows": score_rows(comparison),
        "track": TRACK,
        "bars": bars(comparison.scores),
        "comparison": comparison,
    }


def _rows(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [dict(zip(HEAD, finding_row(finding), strict=True)) for finding in findings]


def _judged(lines: Iterable[Line]) -> dict[str, Any] | None:
    """The verdict that the history holds, with its findings as they were; None without one."""
    line = next((line for line in reversed([*lines]) if line.event == "verdict"), None)
    if line is None:
        return None
    told = (line.data or {}).get("findings")
    findings = [found for one in told if (found := _finding(one)) is not None] if isinstance(told, list) else []
    call = str((line.data or {}).get("call", ""))
    return {"at": line.at, "call": call, "said": said(line), "findings": _rows(findings)}


def _finding(told: object) -> Finding | None:
    """A finding as it was written down, None where it is none."""
    if not isinstance(told, Mapping) or told.get("call") not in set(Call):
        return None
    rule, reason, measured, bound, detail = (
        str(told.get(key) or "") for key in ("rule", "reason", "measured", "bound", "detail")
    )
    return Finding(rule, Call(told["call"]), reason, measured, bound, detail)


def _about(line: Line, number: int) -> bool:
    return number in (line.version, (line.data or {}).get("displaced"), (line.data or {}).get("crowned"))
