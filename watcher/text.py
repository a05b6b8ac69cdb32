"""Text from outside, made safe to show: names, tags, bodies and errors are written by others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_BREAKS = frozenset("\t\n\v\f\r\x85")
_SECRET = re.compile(r"(?i)password|passwd|token|secret|credential|(^|_)(api|access|account|private)?_?key$|sas$")
_ASSIGNED = re.compile(
    r"(?i)\b([\w-]*(?:password|passwd|pwd|token|secret|signature|credential|account_?key|access_?key|api_?key)|sig)"
    r"=([^&;\s'\"]+)"
)
_USER = re.compile(r"(//)[^/@\s]+@")
_BEARER = re.compile(r"(?i)\b(bearer\s+|basic\s+(?=\S*[\d+/=]))[\w.~+/=-]{8,}")
_PASSWORD = re.compile(r"//[^/:@\s]*:([^/@\s]+)@")
SHORTEST_SECRET = 6
_SPACES = frozenset({"Zs", "Zl", "Zp"})


def plain(text: object, most: int = 200) -> str:
    """One line of at most `most` characters that holds nothing invisible, for messages, history and logs.

    Line breaks, tabs and every kind of space become a space. Other control and format characters (bidirectional and
    zero-width marks), private and unassigned ones and lone surrogates become `\N{REPLACEMENT CHARACTER}`, so that what
    they kept apart is not joined. A longer text ends in `…`. It does not escape HTML, Markdown or shell: that is the
    exit's own task.
    """
    # Replacing is one for one, so only what can be shown is looked at, however long the text is.
    whole = str(text)
    shown = "".join(map(_shown, whole[: most + 1]))
    return shown if len(whole) <= most else shown[: max(most - 1, 0)] + "…"


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with these values made unreadable, and with whatever looks like a credential.

    That is: users in URLs, what stands after words such as `password=`, and what follows `Bearer` or `Basic`.
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    if "//" in text:
        text = _USER.sub(r"\1***@", text)
    if "=" in text:
        text = _ASSIGNED.sub(r"\1=***", text)
    return _BEARER.sub(r"\1***", text)


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """Values of variables whose names say that they are secret, and passwords and keys inside of the others.

    The longest first; those too short to tell apart are left.
    """
    found = set()
    for name, value in environ.items():
        if _SECRET.search(name):
            found.add(value)
        found |= {match[2] for match in _ASSIGNED.finditer(value)} | set(_PASSWORD.findall(value))
    return sorted((secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if character in _BREAKS or category in _SPACES:
        return " "
    return "\N{REPLACEMENT CHARACTER}" if category in _UNSEEN else character
