"""Answers about several models: labelled lines, and what the failures among them make of the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watcher.cli.exits import Exit, exit_of
from watcher.cli.session import Session
from watcher.text import plain
from watcher.views.models import Found

LABEL = 11


def lines_of(session: Session, notes: Sequence[tuple[str, str]]) -> None:
    """`  label       text`, the label once."""
    last = ""
    for label, text in notes:
        session.out.say(f"  {plain(label) if label != last else '':<{LABEL}} {text}")
        last = label


def worst(session: Session, found: Sequence[Found[Any]]) -> Exit:
    """Tell the failures; the code of the worst of them, the others having been answered."""
    errors = [(entry.model, entry.error) for entry in found if entry.error is not None]
    for model, error in errors:
        if not session.out.json:
            session.out.warn(f"{plain(model)}: {error}")
    return max((exit_of(error) for _, error in errors), default=Exit.OK)
