"""A kind of target for many processes: places in one SQLite file, where every effect is written down with who had it.

The file is `places`, each place one row of JSON, changed in one transaction; `effects` only grows.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from watcher.errors import Conflict, Terminal
from watcher.values import Example, Kind, Observed, Probe, Release, SeenRelease, State, Target, Version

KIND = "recorded"
SHAPE = Kind.BATCH
T = TypeVar("T")
_TABLES = """
CREATE TABLE IF NOT EXISTS places (place TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS effects (at REAL, pid INTEGER, place TEXT, verb TEXT, release TEXT);
"""


def build(_tracking_uri: str | None) -> Recorded:
    return Recorded()


def place(kind: str, settings: Mapping[str, Any]) -> str:
    return f"{kind}:{settings['file']}:{settings['place']}"


def install(folder: Path) -> None:
    """Make this kind one of an installed package, for whoever has `folder` on the path."""
    package = folder / "recorded-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: recorded\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[watcher.deployers]\n{KIND} = tests.functions.recorded:build\n")


def effects(file: Path) -> list[tuple[str, str, str]]:
    """(place, verb, release) of every effect, in their order."""
    with closing(_connect(file)) as connection:
        return connection.execute("SELECT place, verb, release FROM effects ORDER BY rowid").fetchall()


class Recorded:
    """A verb that finds its work done already has no effect; each takes a moment, so that a kill can meet it."""

    atomic = True
    lease = 3.0

    def observe(self, target: Target) -> Observed:
        return self._within(target, lambda there, _: _observed(there))

    def launch(self, release: Release) -> None:
        def work(there: dict[str, Any], effect: Callable[[str, str], None]) -> None:
            if release.name not in there["releases"]:
                version = release.version
                there["releases"][release.name] = {"version": version.number, "key": version.identity.key}
                effect("launch", release.name)

        self._within(release.target, work)

    def probe(self, release: Release, example: Example) -> Probe:
        def work(there: dict[str, Any], _: Callable[[str, str], None]) -> Probe:
            found = there["releases"].get(release.name)
            if found is None:
                raise Conflict(f"{release.name} is not there")
            return Probe(ok=True, version=found["version"])

        return self._within(release.target, work)

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        def work(there: dict[str, Any], effect: Callable[[str, str], None]) -> None:
            if there["token"] != seen or not weights.keys() <= there["releases"].keys():
                raise Conflict("it changed since it was seen")
            there["weights"], there["token"] = dict(weights), secrets.token_hex(4)
            effect("shift", ",".join(weights))

        self._within(target, work)

    def retire(self, target: Target, name: str) -> None:
        def work(there: dict[str, Any], effect: Callable[[str, str], None]) -> None:
            if there["weights"].get(name):
                raise Conflict(f"{name} is live")
            if there["releases"].pop(name, None) is not None:
                effect("retire", name)

        self._within(target, work)

    def adopt(self, target: Target, version: Version) -> None:
        raise Terminal("nothing foreign is here")

    def check(self, target: Target) -> Sequence[str]:
        return []

    def _within(self, target: Target, work: Callable[[dict[str, Any], Callable[[str, str], None]], T]) -> T:
        """`work` on the place, in one transaction; it is given what writes an effect down."""
        pause = float(target.settings.get("seconds", 0.0))
        time.sleep(pause / 2)
        with closing(_connect(Path(target.settings["file"]))) as connection, _transaction(connection):
            row = connection.execute("SELECT body FROM places WHERE place = ?", (target.place,)).fetchone()
            there = json.loads(row[0]) if row else {"releases": {}, "weights": {}, "token": "new"}

            def effect(verb: str, release: str) -> None:
                about = (time.time(), os.getpid(), target.place, verb, release)
                connection.execute("INSERT INTO effects VALUES (?, ?, ?, ?, ?)", about)

            answer = work(there, effect)
            connection.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (target.place, json.dumps(there)))
        time.sleep(pause / 2)
        return answer


def _observed(there: Mapping[str, Any]) -> Observed:
    releases = there["releases"].items()
    seen = tuple(SeenRelease(name, found["version"], found["key"], State.READY) for name, found in releases)
    return Observed(seen, there["weights"], there["token"])


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=30, isolation_level=None)
    connection.executescript(_TABLES)
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
