"""Our marks as MLflow spells them: keys, and values that are believed only when they are whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from watcher.text import plain
from watcher.values import Call, Crown

PREFIX = "watcher."
CHAMPION = "champion"
CHALLENGER = "challenger"
CROWN = "watcher.crown"
HOLD = "watcher.hold"
VERDICT = "watcher.verdict"
REJUDGE = "watcher.rejudge"
KEYS = (PREFIX + CHAMPION, PREFIX + CHALLENGER, CROWN, HOLD, VERDICT, REJUDGE)

LONGEST = 1_000
"""Characters of a value that we write; some registries cap them here."""
LONGEST_READ = 5_000
_HIGHEST = 2**31 - 1
LONGEST_NUMBER = len(str(_HIGHEST))
_REQUIRED = frozenset({"crowned", "previous", "floor", "met", "n"})


class NotACrown(ValueError):
    """The tag's value is not what the loop writes; the message says in what."""


def crown_text(crown: Crown) -> str:
    """The crown as the tag's value, always whole."""
    body = {
        "crowned": crown.crowned,
        "previous": crown.previous,
        "floor": crown.floor,
        "met": crown.met,
        "n": crown.n,
        "displaced": crown.displaced,
    }
    return json.dumps(body, separators=(",", ":"))


def crown_from(text: object) -> Crown:
    """Read the tag's value back. Raises `NotACrown`."""
    if not isinstance(text, str) or len(text) > LONGEST:
        raise NotACrown(f"it is not a text of at most {LONGEST} characters")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise NotACrown("it is not JSON") from None
    if not isinstance(body, dict) or not body.keys() >= _REQUIRED:
        raise NotACrown(f"it is not an object with {', '.join(sorted(_REQUIRED))}")
    if not isinstance(body["met"], bool):
        raise NotACrown("`met` is neither true nor false")
    return Crown(
        crowned=_version(body, "crowned"),
        previous=_version(body, "previous"),
        floor=_count(body, "floor"),
        met=body["met"],
        n=_count(body, "n"),
        displaced=_version(body, "displaced"),
    )


def _count(body: Mapping[str, object], key: str) -> int:
    value = body[key]
    if type(value) is not int or not 0 <= value <= _HIGHEST:
        raise NotACrown(f"`{key}` is not a whole number from 0")
    return value


def _version(body: Mapping[str, object], key: str) -> int | None:
    return None if body.get(key) is None else _count(body, key)


def call_from(text: str | None) -> Call | None:
    """What a verdict tag says, None where it says nothing that we know."""
    try:
        return Call(text) if text is not None else None
    except ValueError:
        return None


def again(version: int) -> str:
    """The model tag that asks to judge a version again, where versions cannot be found by their tags."""
    return f"{REJUDGE}.{version}"


def numbers(texts: Iterable[str], between: str = ".") -> frozenset[int]:
    """Versions that model tags ask to judge again, by the tags' keys."""
    starts = f"{REJUDGE.replace('.', between)}{between}"
    found = (key.removeprefix(starts) for key in texts if key.startswith(starts))
    return frozenset(int(n) for n in found if n.isascii() and n.isdecimal() and len(n) <= LONGEST_NUMBER)


def short(text: str) -> str:
    """A person's text, cut to what every registry can keep; never empty, since some cannot find an empty value."""
    return plain(text.strip(), LONGEST).strip() or "yes"
