"""What batch runs of every engine hold to: one folder a run, whole or not there, and named for what is in it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from scoring import pointer as pointers
from scoring import runs
from scoring.errors import INPUT, OUTPUT, USAGE, Stop
from scoring.pointer import Release
from scoring.report import RUNNING, Report, Wrote
from scoring.runs import Making, Manifest

Commits = Iterable[tuple[int, float]]
"""Of a table: each version that its log still has, and when it came, in seconds since the epoch."""
Make = Callable[[Release, str], Manifest | None]
"""Makes the folder of a run that is so named; None where another one of the same name came first."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person says of a run."""

    pointer: str
    input: str
    output: str
    run: str | None = None
    """Names the folder; by default what is scored with what, so that the same run is not made twice."""
    version: int | None = None
    """Of the input; None: the newest."""
    at: str | None = None
    """A moment in ISO 8601: the input as it was then."""
    since: int | str | None = None
    """Only rows that came with this version of the input, or at this moment in ISO 8601, or later."""
    where: str | None = None
    """SQL that a row must meet."""
    columns: tuple[str, ...] | None = None
    """Columns of the input that go along; None: all of them."""
    partition_by: tuple[str, ...] = ()
    most: int = 65_536
    """Rows that are scored at a time."""


Chosen = TypeVar("Chosen", bound=Options)


def carried_out(options: Chosen, engine: str, pinned: Callable[[], tuple[Chosen, int, Make]]) -> tuple[Manifest, bool]:
    """The manifest of the run, and whether it was made now. Raises Stop.

    `pinned`: the options with every moment as a version, the version of the input that is scored, and what makes the
    folder from it.
    """
    release, token = pointers.live(options.pointer)
    report = Report(options.pointer, "batch", engine, input=options.input, output=options.output)
    _begun(report, release, token)
    try:
        options, version, make = pinned()
        name = options.run or _named(options, version, release)
        there = runs.done(options.output, name)
        if there is not None:
            return there, False
        made = make(release, name)
        if made is None:
            there = runs.done(options.output, name)
            if there is None:
                raise Stop(
                    OUTPUT, f"The folder of run {name} is in the way in {options.output}, and holds no manifest."
                )
            return there, False
        _tell(report, options, made, token)
        return made, True
    except Stop as error:
        report.fails(error, release, token)
        raise
    finally:
        report.end()


def kept(options: Options, names: Sequence[str]) -> list[str]:
    """The columns of the input that go along. Raises Stop for what is not there."""
    keep = list(names if options.columns is None else options.columns)
    if missing := [column for column in (*keep, *options.partition_by) if column not in names]:
        raise Stop(USAGE, f"{options.input} has no column {', '.join(map(repr, missing))}.")
    if lost := [column for column in options.partition_by if column not in keep]:
        raise Stop(USAGE, f"What the folder is partitioned by must go along too: {', '.join(lost)}.")
    return keep


def published(
    made: Making,
    options: Options,
    release: Release,
    name: str,
    *,
    input_version: int,
    rows: int,
    schema: Mapping[str, str],
    began: float,
) -> Manifest | None:
    """Make a written run visible under its manifest, which is given back; None where another one came first."""
    now = time.time()
    since = options.since if isinstance(options.since, int) else None
    manifest = Manifest(
        run=name,
        model=release.model,
        version=release.version,
        key=release.key,
        release=release.name,
        uri=release.uri,
        input=options.input,
        input_version=input_version,
        rows=rows,
        schema=schema,
        files=made.names(),
        seconds=round(now - began, 3),
        at=now,
        since=since,
        where=options.where,
        partitioned_by=options.partition_by,
    )
    return manifest if made.publish(manifest) else None


def since_version(options: Chosen, commits: Callable[[], Commits]) -> Chosen:
    """The options with the version that a moment of `since` stands for. Raises Stop where nobody can tell any more."""
    if not isinstance(options.since, str):
        return options
    wanted, known = moment(options.since).timestamp(), sorted(commits())
    first = next((version for version, at in known if at >= wanted), known[-1][0] + 1)
    if first == known[0][0] > 0:
        raise Stop(
            INPUT,
            f"The log of {options.input} begins with version {first}, after {options.since}: what came in between"
            f" cannot be told any more. Say --since {first} to score what is told.",
        )
    return replace(options, since=first)


def moment(text: str) -> datetime:
    """Of a person's words, in UTC without a zone. Raises Stop where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Stop(USAGE, f"{text!r:.60} is no moment; write one like 2026-03-01T14:30.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _begun(report: Report, release: Release, token: str) -> None:
    """Tell that a run with this release is under way, and keep what was told of others."""
    before = report.before()
    running = {"release": release.name, "version": release.version, "key": release.key, "token": token}
    report.note(model=release.model, state=RUNNING, running=running, wrote=before.get("wrote") or {})
    report.note(last=before.get("last"), traffic=before.get("traffic"))
    report.start()


def _named(options: Options, version: int, release: Release) -> str:
    """The run's name where a person gave none: the same choice of rows and release has the same one."""
    first = f"{options.since}-" if options.since is not None else ""
    chosen = (options.where, options.columns, options.partition_by)
    which = f"-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}" if any(chosen) else ""
    return f"{release.name}-of-{first}{version}{which}"


def _tell(report: Report, options: Options, made: Manifest, token: str) -> None:
    """What stands in the folders, told anew: a run that died before it could say so is told by the next."""
    wrote = Wrote(None)
    for one in runs.newest(options.output):
        if one.model == made.model:
            wrote.add(one.release, one.version, one.rows, one.at, folder=runs.folder_of(one.run))
    report.tell(
        wrote=wrote.told,
        last={"at": made.at, "rows": made.rows, "release": made.release, "folder": runs.folder_of(made.run)},
        traffic={"token": token, "rows": made.rows, "p95_ms": 1_000 * made.seconds},
        error=None,
    )
