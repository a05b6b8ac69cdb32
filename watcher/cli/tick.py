"""`watcher tick`."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watcher import exporting
from watcher.cli.exits import Exit
from watcher.cli.models import Models, chosen
from watcher.cli.session import Session
from watcher.cli.several import lines_of, worst
from watcher.cli.stopping import stopping
from watcher.text import plain
from watcher.views.awaited import FAILING, at_rest, awaited
from watcher.views.lines import line_text
from watcher.views.models import Found, each
from watcher.views.show import step_json, step_line, step_notes

if TYPE_CHECKING:
    from watcher.ports import Line
    from watcher.reconcile import Woken
    from watcher.settings import Watched

UntilRest = Annotated[bool, typer.Option("--until-rest", help="Go on until nothing is due.")]
Most = Annotated[int, typer.Option(min=1, help="With --until-rest: at most so many wake-ups a model.")]
Wait = Annotated[
    float, typer.Option(min=0.0, metavar="SECONDS", help="With --until-rest: what is due within so long is awaited.")
]


def tick(
    session: Session,
    models: Models = None,
    until_rest: UntilRest = False,  # noqa: FBT002 as typer has it
    most: Most = 200,
    wait: Wait = 2.0,
) -> Exit:
    """Wake each model once: one step each, at most.

    Ctrl-C or SIGTERM ends the steps under way first; a second one ends at once.
    """
    session.tell = functools.partial(told, session)
    exporting.export(os.environ)
    wanted = chosen(session, models)
    return woken(session, wanted, most if until_rest else 1, wait, rest=until_rest)


def told(session: Session, line: Line) -> None:
    """Show what was done, to a person only; the step goes on where nobody reads it."""
    exporting.tell(line)
    if not session.out.json:
        session.out.report(line_text(line), None)


def woken(session: Session, wanted: list[Found[Watched]], most: int, wait: float, *, rest: bool) -> Exit:
    """Wake the models until each is at rest or was woken `most` times; tell what was done and what is waited for."""
    stop = threading.Event()
    with stopping(session.out, stop, stop.set):
        found = each(wanted, lambda watched: _wake(session, watched, most, wait, stop))
        while not stop.is_set() and (left := _left(session, found, most, wait)):
            again = each(
                [entry for entry in wanted if entry.model in left],
                lambda watched: (
                    left[watched.name] + _wake(session, watched, most - len(left[watched.name]), wait, stop)
                ),
            )
            found = [*{entry.model: entry for entry in (*found, *again)}.values()]
    now = session.app.clock()
    session.out.give([_json(entry) for entry in found])
    last = {entry.model: entry.answer[-1] for entry in found if entry.answer}
    restless = [model for model, woken in last.items() if rest and woken.acted and not stop.is_set()]
    for model, woken in last.items():
        if not woken.acted:
            step = awaited(woken.step, woken.verdicts, unmet=woken.unmet)
            session.out.say(step_line(model, step))
            lines_of(session, step_notes(step, woken.again, now))
    for model in restless:
        session.out.warn(f"{plain(model)}: not at rest after {most} wake-ups; --most allows more.")
    if not found:
        session.out.say("No model of the registry is watched.")
    failing = any(woken.failed or woken.step.reason in FAILING for woken in last.values())
    code = max(worst(session, found), Exit.NO if restless else Exit.OK, Exit.OUT_OF_REACH if failing else Exit.OK)
    return Exit.INTERRUPTED if stop.is_set() else code


def _left(session: Session, found: list[Found[list[Woken]]], most: int, wait: float) -> dict[str, list[Woken]]:
    """Models that something is due for since others went on, with their wake-ups: time went by, or a slot is free."""
    from watcher.slots import holders

    app = session.app

    def due(last: Woken) -> bool:
        if last.step.reason == "slots_full":
            return len(holders(app.ledger)) < app.settings.limits.rollouts_at_once
        return not at_rest(last, app.clock() + wait)

    going_on = {entry.model: entry.answer for entry in found if entry.answer and len(entry.answer) < most}
    return {model: woken for model, woken in going_on.items() if due(woken[-1])}


def _json(entry: Found[list[Woken]]) -> dict[str, Any]:
    if entry.answer is None:
        return {"model": entry.model, "error": str(entry.error)}
    last = entry.answer[-1] if entry.answer else None
    following = None if last is None or last.acted else awaited(last.step, last.verdicts, unmet=last.unmet)
    return {
        "model": entry.model,
        "steps": [step_json(woken.step, None) for woken in entry.answer if woken.acted],
        "next": None if last is None or following is None else step_json(following, last.again),
        "again": None if last is None else last.again,
    }


def _wake(session: Session, watched: Watched, most: int, wait: float, stop: threading.Event) -> list[Woken]:
    """What each wake-up did, until the model is at rest, was woken `most` times, or a person has enough."""
    taken: list[Woken] = []
    while len(taken) < most and not stop.is_set():
        answer = session.app.loop.wake(watched)
        taken.append(answer)
        now = session.app.clock()
        if at_rest(answer, now + wait):
            break
        if not answer.acted and answer.again is not None and len(taken) < most:
            session.pause(max(answer.again - now, 0.01), stop)
    return taken
