"""Which lines of the history are news that a person is notified of, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from watcher.ports import Line
from watcher.reasons import REASONS
from watcher.values import Call


class News(StrEnum):
    """What a person may be notified of."""

    WON = "won"
    LOST = "lost"
    CHAMPION_CHANGED = "champion_changed"
    ROLLED_BACK = "rolled_back"
    ORDER_FAILED = "order_failed"
    HELD = "held"
    STUCK = "stuck"


TITLES: Mapping[News, str] = MappingProxyType(
    {
        News.WON: "a version won",
        News.LOST: "a version lost",
        News.CHAMPION_CHANGED: "the champion changed",
        News.ROLLED_BACK: "rolled back",
        News.ORDER_FAILED: "an order cannot be met",
        News.HELD: "held",
        News.STUCK: "needs you",
    }
)
DEFAULT = tuple(news for news in News if news is not News.LOST)

_OTHERS = frozenset({"held", "paused", "advise_only", "order_unmet", "slots_full"})
"""Have a line of their own, or pass by themselves."""
NEEDS_A_PERSON = frozenset(
    code
    for code, reason in REASONS.items()
    if code not in _OTHERS and not reason.remedy.startswith(("Nothing", "If it lasts"))
)
"""Reasons of a state that lasts until somebody does something."""
_EVENTS: Mapping[str, News] = MappingProxyType(
    {
        "crowned": News.CHAMPION_CHANGED,
        "order": News.CHAMPION_CHANGED,
        "rolled_back": News.ROLLED_BACK,
        "unmet": News.ORDER_FAILED,
    }
)
_CALLS: Mapping[str, News] = MappingProxyType(
    {Call.WINS: News.WON, Call.LOSES: News.LOST, Call.INVALID: News.LOST},
)
_WAITS: Mapping[str, News] = MappingProxyType(
    {"held": News.HELD, "approval_missing": News.STUCK, "approval_expired": News.STUCK}
)
"""A verdict that waits for a person."""


def news_of(line: Line) -> News | None:
    """What the line is as news, None where it is none."""
    if line.event == "verdict":
        call = str((line.data or {}).get("call"))
        return _WAITS.get(line.reason) if call == Call.WAITS else _CALLS.get(call)
    if line.event == "told":
        if line.reason == "held":
            return News.HELD
        return News.STUCK if line.reason in NEEDS_A_PERSON else None
    return _EVENTS.get(line.event)
