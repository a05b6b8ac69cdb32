"""`python -m scoring batch|stream|trial`. Exit code 0: done; 1: it cannot go on, and says why; 2: asked wrongly."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

from scoring.errors import USAGE, Stop, sentence

ENGINES = {"delta": "scoring.delta", "spark": "scoring.spark"}
"""Engine -> the package with its `batch` and `stream`."""
DONE, STOPPED, WRONG = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    given = vars(_parser().parse_args(arguments))
    job, background = given.pop("job"), given.pop("background", False)
    if background and _detached():
        return DONE
    try:
        _JOBS[job](given)
    except Stop as error:
        if not error.told:
            print(sentence(error), file=sys.stderr)
        return WRONG if error.kind == USAGE else STOPPED
    except ModuleNotFoundError as error:
        print(f"The job needs {error.name}, which is not installed where it runs.", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        return STOPPED
    return DONE


def run(arguments: Sequence[str] | None = None) -> None:
    """The same, for those who look at what is raised and not at what is given back, as a task on Databricks does."""
    if code := main(arguments):
        sys.exit(code)


def _batch(given: dict[str, Any]) -> None:
    dry = given.pop("dry_run") == "true"
    if dry and given["engine"] != "spark":
        raise Stop(USAGE, "Only the engine spark makes a dry run; for any other one see `python -m scoring trial`.")
    engine = _engine(given, "batch")
    if dry:
        print(json.dumps({"tried": engine.dry_run(engine.Options(**given)), "rows": 0}))
        return
    made, fresh = engine.run(engine.Options(**given))
    print(json.dumps({**asdict(made), "made_now": fresh}))


def _stream(given: dict[str, Any]) -> None:
    engine = _engine(given, "stream")
    stream = engine.Stream(engine.Options(**given))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stream.stop())
    stream.run()


def _engine(given: dict[str, Any], job: str) -> Any:
    """The module that does the job. Raises Stop for an option that only another engine has."""
    name = given.pop("engine")
    engine = import_module(f"{ENGINES[name]}.{job}")
    known = {field.name for field in fields(engine.Options)}
    if other := sorted(given.keys() - known):
        raise Stop(USAGE, f"The engine {name} takes no {', '.join('--' + one.replace('_', '-') for one in other)}.")
    return engine


def _trial(given: dict[str, Any]) -> None:
    from scoring import trial

    trial.run(trial.Options(**given))


_JOBS = {"batch": _batch, "stream": _stream, "trial": _trial}


def _detached() -> bool:
    """Whether this is the process that leaves at once; the other one goes on without a terminal."""
    if os.fork():
        return True
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)
    return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scoring", description=__doc__)
    jobs = parser.add_subparsers(dest="job", required=True)
    batch = jobs.add_parser("batch", help="score a table, as it is at one version, into one folder")
    stream = jobs.add_parser("stream", help="score a table as it grows into another one, for ever")
    for job in (batch, stream):
        job.add_argument("--pointer", required=True, help="the release pointer that names the version to score with")
        job.add_argument("--input", required=True, help="path or URL of the Delta table with the features")
        job.add_argument(
            "--output", required=True, help="of a batch run a folder of folders, of a stream a Delta table"
        )
        job.add_argument("--engine", choices=[*ENGINES], default="delta")
        job.add_argument(
            "--columns", type=_names, metavar="A,B", help="columns of the input that go along; default: all"
        )
        job.add_argument(
            "--apply",
            choices=["map", "udf"],
            default=argparse.SUPPRESS,
            help="spark: udf is MLflow's own function, which can give a model an environment of its own",
        )
        job.add_argument(
            "--env-manager",
            choices=["local", "virtualenv", "conda", "uv"],
            default=argparse.SUPPRESS,
            help="spark, udf: where the model's libraries come from; local: what the workers have",
        )
        job.add_argument(
            "--rows", dest="most", type=_positive, default=argparse.SUPPRESS, help="rows in memory at a time"
        )
    batch.add_argument("--run", help="names the run's folder; repeating a run that is whole does nothing")
    batch.add_argument("--version", type=int, help="of the input; default: the newest")
    batch.add_argument("--at", metavar="TIME", help="the input as it was then: 2026-03-01T14:30, UTC without a zone")
    batch.add_argument(
        "--since", type=_since, metavar="VERSION|TIME", help="only rows that came with this version, or then, or later"
    )
    batch.add_argument("--where", metavar="SQL", help="only rows that meet a condition, such as \"region = 'north'\"")
    batch.add_argument("--partition-by", type=_names, default=(), metavar="A,B")
    batch.add_argument(
        "--dry-run",
        nargs="?",
        choices=["true", "false"],
        const="true",
        default="false",
        help="spark: score some rows and write none",
    )
    stream.add_argument("--every", type=float, default=argparse.SUPPRESS, metavar="SECONDS", help="between two looks")
    stream.add_argument(
        "--start", default=argparse.SUPPRESS, help="earliest, latest, or a version of the input; for a new output only"
    )
    stream.add_argument(
        "--files", type=_positive, default=argparse.SUPPRESS, help="spark: files of the input in a micro-batch at most"
    )
    stream.add_argument("--checkpoint", default=argparse.SUPPRESS, help="spark: folder of the stream's checkpoint")
    stream.add_argument("--once", action="store_true", help="end when everything is scored that is there")
    stream.add_argument("--begin", action="store_true", help="accept that output or input are not what they were")
    trial = jobs.add_parser("trial", help="try a staged version with a few rows; whoever deploys starts it")
    trial.add_argument("--pointer", required=True)
    trial.add_argument("--release", required=True)
    trial.add_argument("--id", required=True)
    trial.add_argument("--input")
    trial.add_argument("--output")
    trial.add_argument("--rows", type=_positive, default=argparse.SUPPRESS)
    trial.add_argument("--limit", type=float, default=argparse.SUPPRESS, metavar="SECONDS")
    trial.add_argument("--memory", type=_positive, metavar="BYTES")
    trial.add_argument("--background", action="store_true", help="go on in a process of its own")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _since(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    run()
