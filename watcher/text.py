"""Text from outside, made safe to show: names, tags, bodies and errors are written by others."""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_BREAKS = frozenset("\t\n\v\f\r\x85")
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


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if character in _BREAKS or category in _SPACES:
        return " "
    return "\N{REPLACEMENT CHARACTER}" if category in _UNSEEN else character
