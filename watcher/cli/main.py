"""`watcher`: the commands together, and what becomes of their errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from watcher.cli import (
    abort,
    adopt,
    approve,
    backtest,
    check,
    evaluate,
    explain,
    forget,
    gateway,
    history,
    hold,
    notify,
    pause,
    plan,
    promote,
    rejudge,
    rollback,
    run,
    schema,
    status,
    tick,
)
from watcher.cli.command import add, common, whole
from watcher.cli.exits import Exit, exit_of
from watcher.cli.output import Output
from watcher.errors import UserError, WatcherError

HELP = """Watches an MLflow model registry and rolls winning versions out to everything that serves them."""
EPILOG = """\b
Answers go to stdout, everything else to stderr. With --json the answer is one JSON value (`run` and
`history --follow`: one a line), and each line on stderr is an object, {"error": ...} or {"warning": ...}.

\b
Exit codes:
  0    done, or the answer is yes
  1    the answer is no: refused, a failed check, or somebody else was faster
  2    a mistake in the command or in the settings
  3    the registry, the ledger or a target is out of reach, or refuses
  130  interrupted
"""


def build() -> typer.Typer:
    """All commands, in the order in which help lists them."""
    app = typer.Typer(
        help=HELP,
        epilog=EPILOG,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(whole)
    for body in (
        check.check,
        run.run,
        tick.tick,
        plan.plan,
        status.status,
        history.history,
        explain.explain,
        evaluate.evaluate,
        backtest.backtest,
        promote.promote,
        rollback.rollback,
        abort.abort,
        approve.approve,
        rejudge.rejudge,
        hold.hold,
        hold.release,
        adopt.adopt,
        forget.forget,
        pause.pause,
        pause.resume,
        notify.notify,
    ):
        add(app, body)
    gateways = typer.Typer(help="Start, stop or ask the gateway that serves local endpoints.", rich_markup_mode=None)
    gateways.callback()(common)
    for body in (gateway.start, gateway.stop, gateway.status):
        add(gateways, body)
    app.add_typer(gateways, name="gateway")
    add(app, schema.schema)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. A bug is not caught: it shows its traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    out = Output(json="--json" in given)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(build()(given, prog_name="watcher", standalone_mode=False) or Exit.OK)
    except WatcherError as error:
        out.error(error)
        return exit_of(error)
    except typer.TyperException as error:
        said = error.format_message()
        out.error(UserError(f"{said}{'' if said.endswith(('.', '?')) else '.'} `watcher --help` shows what there is."))
        return Exit.USAGE
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
