"""How a function becomes a command: `--config` and `--json` for each, errors into exit codes."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher import __version__
from watcher.cli.exits import Exit
from watcher.cli.output import Output, ReaderGone
from watcher.cli.session import DEFAULT, Session

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", envvar="WATCHER_CONFIG", help="The settings; by default watch.yaml."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Body = Callable[..., Exit | None]

_COMMON = (
    inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
    inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config),
    inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"watcher {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version, and end.")]


def whole(
    context: typer.Context,
    config: Config = None,
    json: Json = False,  # noqa: FBT002 as typer has it
    version: Version = False,  # noqa: ARG001, FBT002 the option's callback answers
) -> None:
    """The callback of all commands together."""
    common(context, config, json)


def common(context: typer.Context, config: Config = None, json: Json = False) -> None:  # noqa: FBT002 as typer has it
    """The callback of a group: both options are taken before the command too."""
    if config is not None:
        context.meta["watcher.config"] = config
    if json:
        context.meta["watcher.json"] = json


def add(app: typer.Typer, body: Body, name: str | None = None) -> None:
    """Add a command. `body` takes a Session and its own arguments, and may answer with an exit code."""
    signature = inspect.signature(body, eval_str=True)
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values() if p.name != "session"]

    @functools.wraps(body)
    def command(context: typer.Context, config: Path | None, *, json: bool, **values: Any) -> int:
        path = config or context.meta.get("watcher.config") or DEFAULT
        session = Session(path, Output(json=json or bool(context.meta.get("watcher.json"))))
        try:
            try:
                answer = body(session, **values)
            finally:
                session.end()
        except ReaderGone:
            return Exit.OK
        finally:
            _last_words()
        return answer or Exit.OK

    parameters = [*own, *_COMMON]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    del command.__wrapped__  # or its signature would be taken
    app.command(name or body.__name__)(command)


def _last_words() -> None:
    """Python flushes its outputs once more at its end: what cannot be written is dropped before that."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
