"""`watcher tick`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watcher.cli.exits import Exit
from watcher.cli.history import line_text
from watcher.cli.models import Found, Models, chosen, each
from watcher.cli.session import Session
from watcher.cli.several import lines_of, worst
from watcher.cli.show import step_json, step_line, step_notes
from watcher.text import plain

if TYPE_CHECKING:
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
    """Wake each model once: one step each, at most."""
    session.tell = lambda line: session.out.say(line_text(line))
    wanted = chosen(session, models)
    return woken(session, wanted, most if until_rest else 1, wait, rest=until_rest)


def woken(session: Session, wanted: list[Found[Watched]], most: int, wait: float, *, rest: bool) -> Exit:
    """Wake the models until each is at rest or was woken `most` times; tell what was done and what is waited for."""
    found = each(wanted, lambda watched: _wake(session, watched, most, wait))
    now = session.app.clock()
    session.out.give([_json(entry) for entry in found])
    restless = [entry.model for entry in found if rest and entry.answer is not None and entry.answer[-1].acted]
    for entry in found:
        last = entry.answer[-1] if entry.answer else None
        if last is not None and not last.acted:
            session.out.say(step_line(entry.model, last.step))
            lines_of(session, step_notes(last.step, last.again, now))
    for model in restless:
        session.out.warn(f"{plain(model)}: not at rest after {most} wake-ups; --most allows more.")
    if not found:
        session.out.say("No model of the registry is watched.")
    return max(worst(session, found), Exit.NO if restless else Exit.OK)


def _json(entry: Found[list[Woken]]) -> dict[str, Any]:
    if not entry.answer:
        return {"model": entry.model, "error": str(entry.error)}
    last = entry.answer[-1]
    return {
        "model": entry.model,
        "steps": [step_json(woken.step, None) for woken in entry.answer if woken.acted],
        "next": None if last.acted else step_json(last.step, last.again),
        "again": last.again,
    }


def _wake(session: Session, watched: Watched, most: int, wait: float) -> list[Woken]:
    taken = []
    for left in range(most - 1, -1, -1):
        answer = session.app.loop.wake(watched)
        taken.append(answer)
        if left and not answer.acted:
            pause = (answer.again if answer.again is not None else float("inf")) - session.app.clock()
            if pause > wait:
                break
            session.pause(max(pause, 0.01))
    return taken
