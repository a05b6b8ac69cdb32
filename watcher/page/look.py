"""From values to HTML. Everything from outside is escaped, and nothing invisible gets through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from watcher.judge.numbers import number
from watcher.page.asked import Links
from watcher.page.chart import chart, strip
from watcher.page.versions import WORDS
from watcher.reasons import REASONS
from watcher.sentences import stamp
from watcher.text import plain
from watcher.views.times import span

LONGEST = 4_000
"""Characters of one value."""
WIDE, NARROW = 720, 320
"""Pixels of a drawing on a desk and on a phone; text in it keeps its size, so it is drawn for both."""


class Look:
    """Pages as of a clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def page(self, template: str, values: Mapping[str, Any], links: Links, here: str, asked: Mapping[str, str]) -> str:
        """One whole page. `here` and `asked` are the path and the parameters by which it was asked for."""
        now = self._clock()
        return _templates().get_template(template).render(values, link=links, here=here, asked=asked, now=now)


@cache
def _templates() -> Environment:
    """Compiled once in a process."""
    made = Environment(
        loader=PackageLoader("watcher.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        stamp=stamp, span=span, number=number, words=_words, iso=_iso, percent=_percent, share=_share, marked=_marked
    )
    made.globals.update(chart=chart, strip=strip, WORDS=WORDS, REASONS=REASONS, WIDE=WIDE, NARROW=NARROW)
    return made


@cache
def style() -> str:
    """The one style sheet."""
    return files("watcher.page").joinpath("static", "page.css").read_text(encoding="utf-8")


def _visible(value: Any) -> Any:
    return plain(value, LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def _words(code: object) -> str:
    return str(code).replace("_", " ")


def _marked(text: object) -> Markup:
    """Escaped, with what stands between backticks as code."""
    parts = escape(_visible(str(text))).split("`")
    if len(parts) % 2 == 0:
        return Markup("`").join(parts)
    return Markup().join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _iso(at: float) -> str:
    """For the attribute `datetime`; empty where the moment is none."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _share(label: str) -> str:
    """`v12`, or the name of a release that is not ours."""
    return f"v{label}" if str(label).isdecimal() else str(label)
