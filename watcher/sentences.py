"""A line of the history as sentences for an operator: what, which version, where, and why with the numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watcher.ports import Line
from watcher.text import plain
from watcher.values import Verb

MOST_FINDINGS = 3
MOST_FOLDERS = 10
WHOLE = 100
_OWN = {("#pause", "paused"), ("#pause", "resumed"), ("#ledger", "ledger_rebuilt")}
"""Lines about the watcher itself; by their event too, since a model may have any name."""


def stamp(at: float) -> str:
    """`2026-03-01 02:47:05 UTC`."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return plain(at)


def render(line: Line) -> str:
    """The line as one or a few plain sentences, safe to print; without its time. Whatever `data` holds, it answers."""
    data = line.data or {}
    sentence = _SENTENCES.get(line.event, _unknown)(line, data)
    subject = "watcher" if (line.model, line.event) in _OWN else plain(line.model)
    return f"{subject}: {sentence.strip()}"


def _seen(line: Line, _: Mapping[str, Any]) -> str:
    return f"{_version(line.version)} was seen for the first time{_reason(line)}."


def _verdict(line: Line, data: Mapping[str, Any]) -> str:
    call = str(data.get("call") or "")
    findings = [finding for finding in _list(data.get("findings")) if isinstance(finding, Mapping)]
    if call == "wins":
        numbers = [f for f in findings if f.get("measured") and f.get("bound")]
        # Why it wins is in the metrics; that it is ready and above the floor goes without saying.
        telling = [f for f in numbers if f.get("rule") in _METRICS] or numbers
        said = [_measured(f) for f in sorted(telling, key=_primary_first)]
    else:
        objections = [f for f in findings if f.get("call") == call] or [f for f in findings if f.get("call") != "wins"]
        # Two rules that miss the same thing say so once.
        once = {(f.get("reason"), f.get("detail") or _measured(f)): f for f in reversed(objections)}
        said = [": ".join(filter(None, (_words(f.get("reason")), _measured(f)))) for f in reversed(once.values())]
        # One that adds nothing to what another says of the same reason is not said.
        said = [one for one in said if not any(other.startswith(f"{one}: ") for other in said)]
        said = said or [_words(data.get("reason") or line.reason)]
    judged = f"{_version(line.version)} {_CALLS.get(call, plain(call) or 'was judged')}"
    because = "; ".join([text for text in dict.fromkeys(said) if text][:MOST_FINDINGS])
    return _end(f"{judged}: {because}" if because else judged)


def _step(line: Line, data: Mapping[str, Any]) -> str:
    verb = str(data.get("verb") or "")
    phrases = _STEPS.get(verb, (f"take the step {plain(verb) or 'that is not named'}", f"took the step {plain(verb)}"))
    to_do, was_done = (_fill(phrase, line, data) for phrase in phrases)
    detail = plain(data.get("detail") or "")
    if line.event == "intent":
        return f"about to {to_do}{_reason(line)}{_after(detail)}"
    if line.event == "failed":
        return f"could not {to_do}: " + _end(detail or _words(line.reason) or "no reason was given")
    if line.event == "under_way":
        return f"went on to {to_do}: " + _end(detail or "it is not through")
    seconds = data.get("seconds")
    took = f", which took {seconds:.3g} s" if isinstance(seconds, int | float) else ""
    if verb == Verb.TAG and "call" not in data:
        return f"took the verdict off {_version(line.version)}{took}."
    if verb == Verb.TAG:
        why = ": ".join(_words(part) for part in (data.get("call"), data.get("detail")) if part)
        return _end(f"{was_done}{took}{f', {why}' if why else ''}")
    return f"{was_done}{took}{_reason(line)}{_after(detail)}"


def _fill(phrase: str, line: Line, data: Mapping[str, Any]) -> str:
    release = plain(data.get("release") or "")
    words = {
        "VERSION": _version(line.version),
        "TARGET": plain(line.target or data.get("target") or "its target"),
        "RELEASE": f" (release {release})" if release else "",
        "PERCENT": _number(next(iter(_mapping(data.get("weights")).values()), "some")),
        "WEIGHTS": _shares(_mapping(data.get("weights")), str) or "nothing",
    }
    # In one pass: what is put in is from outside, and may spell one of these words.
    return re.sub("|".join(words), lambda found: words[found[0]], phrase)


def _live(line: Line, data: Mapping[str, Any]) -> str:
    shares = _shares(weights_of(line), _version)
    serves = f"{plain(line.target or 'a target')} now serves {shares or 'nothing'}{_reason(line)}."
    return serves + mirror_found(_mapping(data.get("mirrored")))


def mirror_found(found: Mapping[str, Any]) -> str:
    """What came of the copies of requests that a version was given, as a sentence after another; empty without."""
    if not isinstance(found.get("requests"), int):
        return ""
    requests, errors, compared, disagreed, dropped = (
        plain(found.get(name, 0)) for name in ("requests", "errors", "compared", "disagreed", "dropped")
    )
    p95 = found.get("p95_ms")
    p95 = f"{p95:,.1f}" if isinstance(p95, float) else p95
    parts = [
        f" Until then {_version(found.get('version'))} answered {requests} copies of requests: {errors} failed",
        f"{disagreed} of {compared} answers that were compared differ" if compared != "0" else "",
        f"the 95th percentile took {plain(p95)} ms" if p95 is not None else "",
        f"{dropped} more were dropped" if dropped != "0" else "",
    ]
    return f"{', '.join(filter(None, parts))}."


def _order(line: Line, data: Mapping[str, Any]) -> str:
    crowned = data.get("crowned", line.version)
    displaced = f" in place of {_version(data['displaced'])}" if data.get("displaced") else ""
    floor = f" Only versions above {plain(data['floor'])} may be nominated from now on." if data.get("floor") else ""
    previous = data.get("previous")
    back = f" If it cannot serve, {_version(previous)} comes back." if previous and previous != crowned else ""
    return f"a person made {_version(crowned)} the champion{displaced}{_reason(line)}.{floor}{back}"


def _order_asked(line: Line, data: Mapping[str, Any]) -> str:
    asked = _ORDERS.get(str(data.get("order")), f"ask for {_words(data.get('order')) or 'something'}")
    who = plain(data.get("who") or "a person")
    return f"{who} used the command line to {_fill(asked, line, data)}{_after(data.get('detail'))}"


def _rollout_started(line: Line, data: Mapping[str, Any]) -> str:
    detail = _after(data.get("detail"))
    return f"the rollout of {_version(line.version)} to every target started{_reason(line)}{detail}"


def _rolled_back(line: Line, data: Mapping[str, Any]) -> str:
    why = _words(data.get("reason") or line.reason)
    numbers = ", ".join(f"{_words(name)} {_number(value)}" for name, value in _mapping(data.get("numbers")).items())
    reason = f": {why}" if why else ""
    measured = f" ({numbers})" if numbers else ""
    return f"{_version(line.version)} was rolled back{reason}{measured}{_after(data.get('detail'))}"


def _crowned(line: Line, data: Mapping[str, Any]) -> str:
    previous = data.get("previous")
    place = f"in place of {_version(previous)}" if previous else "the first one of this model"
    return f"{_version(data.get('version', line.version))} is the champion now, {place}{_reason(line)}."


def _wrote(line: Line, data: Mapping[str, Any]) -> str:
    rows, where, commits = data.get("rows"), plain(data.get("where") or ""), _list(data.get("commits"))
    counted = f"{rows:,} rows" if isinstance(rows, int) else "rows"
    times = [stamp(at) for at in (data.get("since"), data.get("until")) if isinstance(at, int | float)]
    folders = [plain(folder) for folder in _list(data.get("folders"))]
    parts = [
        f"{_version(line.version)} wrote {counted}{f' to {where}' if where else ''}",
        f"from {times[0]} to {times[1]}" if len(times) == 1 + 1 else "",
        f"in the table's versions {plain(commits[0])} to {plain(commits[1])}" if len(commits) == 1 + 1 else "",
        f"in {_several(folders)}" if folders else "",
    ]
    return f"{plain(line.target or 'a job')} runs another version now; {', '.join(filter(None, parts))}."


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(names[-MOST_FOLDERS:])
    return f"{len(names)} folders, the newest {shown}" if len(names) > MOST_FOLDERS else shown


def _unmet(line: Line, data: Mapping[str, Any]) -> str:
    previous = data.get("previous")
    back = f" Every target goes back to {_version(previous)}." if previous else ""
    why = plain(data.get("detail") or "") or _words(line.reason) or "no reason was given"
    return (
        f"the order to serve {_version(line.version)} cannot be carried out: {_end(why)}{back}"
        " Nothing newer is nominated until a person acts."
    )


def _told(line: Line, data: Mapping[str, Any]) -> str:
    state = str(data.get("state") or line.reason)
    doing = {
        "held": "is held by a person",
        "stuck": "is stuck and needs a person",
        "left": f"is still served ({_shares(_mapping(data.get('weights')), _version)})",
    }.get(state, "waits")
    reason = "" if line.reason in ("held", "stuck", "waiting", "target_left") else _words(line.reason)
    why = f": {reason}" if reason else ""
    where = f" on {plain(line.target)}" if line.target else ""
    who = _version(line.version) if line.version is not None else "the model"
    return f"{who} {doing}{where}{why}{_after(data.get('detail'))}"


def _ledger_rebuilt(line: Line, data: Mapping[str, Any]) -> str:
    if data.get("kept"):
        return (
            f"the ledger's file was damaged and is kept as {plain(data['kept'])}; {plain(data.get('rescued', 0))} lines"
            " of the history were read from it, and the records start anew."
        )
    reason = "" if line.reason == line.event else _reason(line)
    return f"its memory started anew{reason}; it looks for a while before it acts{_after(data.get('detail'))}"


def _paused(_: Line, data: Mapping[str, Any]) -> str:
    return f"paused by {plain(data.get('who') or 'a person')}: it observes, and does nothing until it is resumed."


def _resumed(_: Line, data: Mapping[str, Any]) -> str:
    return f"resumed by {plain(data.get('who') or 'a person')}."


def _unknown(line: Line, data: Mapping[str, Any]) -> str:
    where = f" on {plain(line.target)}" if line.target else ""
    which = f" {_version(line.version)}" if line.version is not None else ""
    return f"{_words(line.event)}{which}{where}{_reason(line)}{_after(data.get('detail'))}"


_SENTENCES: Mapping[str, Callable[[Line, Mapping[str, Any]], str]] = {
    "seen": _seen,
    "verdict": _verdict,
    "intent": _step,
    "done": _step,
    "failed": _step,
    "under_way": _step,
    "live": _live,
    "order": _order,
    "order_asked": _order_asked,
    "rollout_started": _rollout_started,
    "rolled_back": _rolled_back,
    "crowned": _crowned,
    "wrote": _wrote,
    "unmet": _unmet,
    "told": _told,
    "ledger_rebuilt": _ledger_rebuilt,
    "paused": _paused,
    "resumed": _resumed,
}
_ORDERS = {
    "promote": "promote VERSION",
    "rollback": "go back to VERSION",
    "abort": "abort the rollout of VERSION",
    "approve": "approve VERSION",
    "rejudge": "have VERSION judged again",
    "hold": "hold the model",
    "release": "release the hold",
    "forget": "forget TARGET, which the settings no longer name",
    "adopt": "lend TARGET, which serves VERSION",
}
_CALLS = {
    "wins": "wins",
    "loses": "loses",
    "invalid": "is invalid",
    "waits": "waits",
    "superseded": "is superseded",
    "rolled_back": "was rolled back",
    "displaced": "was displaced by an order",
    "unmet": "could not be served",
}
_STEPS: Mapping[str, tuple[str, str]] = {
    Verb.WAIT: ("wait", "waited"),
    "order": ("carry out the order", "carried out the order"),
    Verb.ACKNOWLEDGE: ("acknowledge the order for VERSION", "acknowledged the order for VERSION"),
    Verb.WRITE_CROWN: ("write the crown tag", "wrote the crown tag"),
    Verb.TAG: ("tag VERSION with its verdict", "tagged VERSION with its verdict"),
    Verb.EVALUATE: ("have VERSION scored on the holdout", "began to have VERSION scored on the holdout"),
    Verb.NOMINATE: ("mark VERSION as challenger", "marked VERSION as challenger"),
    Verb.UNMARK: ("remove the challenger mark from VERSION", "removed the challenger mark from VERSION"),
    Verb.CROWN: ("move the champion mark to VERSION", "moved the champion mark to VERSION"),
    Verb.LAUNCH: (
        "start VERSION on TARGET without trafficRELEASE",
        "asked TARGET to start VERSION without trafficRELEASE",
    ),
    Verb.PROBE: ("probe VERSION on TARGETRELEASE", "probed VERSION on TARGETRELEASE"),
    Verb.MIRROR: (
        "copy PERCENT % of TARGET's requests to VERSIONRELEASE",
        "asked TARGET to copy PERCENT % of its requests to VERSIONRELEASE",
    ),
    Verb.SHIFT: ("set TARGET to WEIGHTS", "set TARGET to WEIGHTS"),
    Verb.RETIRE: ("remove VERSION from TARGETRELEASE", "removed VERSION from TARGETRELEASE"),
}


def weights_of(line: Line) -> Mapping[str, int]:
    """Version -> percent of a `live` line, those above zero."""
    weights = _mapping((line.data or {}).get("weights"))
    return {str(name): share for name, share in weights.items() if isinstance(share, int) and share > 0}


def _shares(weights: Mapping[str, Any], name: Callable[[Any], str]) -> str:
    parts = [(plain(name(key)), share) for key, share in sorted(weights.items(), key=lambda item: str(item[0]))]
    if len(parts) == 1 and parts[0][1] == WHOLE:
        return f"{parts[0][0]} alone"
    return " and ".join(f"{key} at {_number(share)} %" for key, share in parts)


def _version(version: object) -> str:
    if version is None:
        return "a version"
    text = plain(version)
    return f"version {text}" if text.isdecimal() else text


_WHY = {
    "stray": "nobody needs it any more",
    "drift_launch": "the target has lost it",
    "drift_shift": "the target does not serve it alone",
    "order_acknowledged": "as a person ordered",
}
"""Codes that say little to whoever does not know the loop from inside."""


def _reason(line: Line) -> str:
    reason = _WHY.get(line.reason) or _words(line.reason)
    return f" ({reason})" if reason else ""


def _words(code: object) -> str:
    """A code as words; a sentence stays as it is."""
    text = plain(code or "")
    return text.replace("_", " ") if re.fullmatch(r"[a-z][a-z0-9_]*", text) else text.rstrip(".")


def _measured(finding: Mapping[str, Any]) -> str:
    measured, bound = plain(finding.get("measured") or ""), plain(finding.get("bound") or "")
    detail = plain(finding.get("detail") or "").rstrip(".")
    asked = f"needed {bound}" if bound else ""
    return ", ".join(filter(None, (measured, asked))) + (f" ({detail})" if detail else "")


_METRICS = ("primary_gains", "guards_hold", "within_bounds")


def _primary_first(finding: Mapping[str, Any]) -> int:
    return _METRICS.index(finding["rule"]) if finding.get("rule") in _METRICS else len(_METRICS)


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else plain(value)


def _end(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _after(detail: object) -> str:
    """The end of a sentence, or a sentence of its own where the detail is one."""
    text = plain(detail or "")
    if not text:
        return "."
    return f"{'; ' if text[0].islower() else '. '}{_end(text)}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
