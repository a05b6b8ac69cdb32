"""What people and the trainer do, in eight acts, and what is waited for in between; the rest is the watcher's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from demo import settings, tables
from demo.counts import Counts
from demo.errors import DemoError, Stopped
from demo.folder import Folder
from demo.processes import Processes
from demo.screen import BOLD, FAINT, Screen
from demo.settings import BAKE, KEEP_WARM
from demo.tables import EVERY as FED
from demo.tables import Feeder, Scored
from demo.tail import Tail
from demo.trainer import METRIC, Trainer
from demo.versions import RECIPES
from gateway import control
from gateway.files import last_line
from watcher.ports import Line
from watcher.values import Call

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds until an act must have come to rest; the story goes on without it."""
SLOWER = {"spark": 4}
"""A Spark of one's own takes its time to start, on two cores beside everything else even more."""
START = 60.0
GLANCE = 0.5
FIRST, SECOND, LAST = 1, 2, 8
NO_METRIC = 4
WHOLE = 100
ENDED = frozenset({Call.LOSES, Call.INVALID, Call.SUPERSEDED})


class Story:
    """One telling, on processes and a trainer that are started here. `stop` says whether a signal asked for the end."""

    def __init__(
        self,
        folder: Folder,
        port: int,
        processes: Processes,
        trainer: Trainer,
        screen: Screen,
        stop: Callable[[], bool],
        engine: str = "delta",
    ) -> None:
        self.folder, self.screen, self.trainer = folder, screen, trainer
        self.url = f"http://127.0.0.1:{port}/invocations"
        self.registered: list[int] = []
        self.killed: list[tuple[float, int]] = []
        self.scored = Scored()
        self.tail = Tail(folder.ledger, screen.tell)
        self._feeder = Feeder(folder.features)
        self._run_under_way = False
        self._port, self._processes, self._stop = port, processes, stop
        self._engine, self._patience = engine, PATIENCE * SLOWER.get(engine, 1)

    def tell(self, acts: int) -> None:
        """The first `acts` acts. Raises DemoError where a part of it ends by itself."""
        self._start()
        every = (self._one, self._two, self._three, self._four, self._five, self._six, self._seven, self._eight)
        for act in every[:acts]:
            act()
            self._say_counts()
        self._wait(lambda _: self._at_rest() or None, self._patience)
        self._processes.stop("client", self._patience)
        self._end_jobs()

    def end(self) -> None:
        """Nothing is told or fed any more."""
        self._feeder.stop()
        self.tail.stop()

    @property
    def counts(self) -> Counts:
        return Counts.read(self.folder.counts)

    def weights(self) -> dict[int, int]:
        """What the gateway says that it serves: version -> percent."""
        told: dict[str, Any] = control.status(self.folder.gateway) or {}
        return {
            int(endpoint["releases"][name]["version"]): int(share)
            for endpoint in told.get("endpoints", {}).values()
            for name, share in endpoint["weights"].items()
            if name in endpoint["releases"]
        }

    # The acts

    def _one(self) -> None:
        self._register(FIRST)
        if self._wait(lambda lines: True if any(map(_served, lines)) else None, self._patience) is None:
            raise DemoError(f"Nothing is served after {self._patience:g} seconds; see {self.folder.watcher_log}.")
        arguments = [self.url, str(self.folder.answers), str(self.folder.counts)]
        self._processes.start("client", "demo.client", arguments, self.folder.client_log)
        self.screen.say("One client sends from now on: four connections that are always busy, no retries.", FAINT)
        self._settle(FIRST)
        self._glance(2.0)

    def _two(self) -> None:
        self._register_and_settle(SECOND)
        self._start_batch()
        if _of(self.tail.lines, "crowned", SECOND):
            self._wait(lambda lines: _done(lines, "retire", FIRST), KEEP_WARM + self._patience / 10)

    def _three(self) -> None:
        self._register_and_settle(3)
        self._register(NO_METRIC)
        self._wait(lambda lines: _verdict(lines, NO_METRIC), self._patience)
        self._glance(GLANCE)
        if _call(self.tail.lines, NO_METRIC) == Call.WAITS:
            self.screen.act(f"the evaluation of version {NO_METRIC} logs its {METRIC}: NaN")
            self.trainer.measure_not_a_number(NO_METRIC)
        self._settle(NO_METRIC)
        self._finish_batch()

    def _four(self) -> None:
        self._register_and_settle(5)

    def _five(self) -> None:
        self._register_and_settle(6)

    def _six(self) -> None:
        self.screen.act(f"a person moves the alias `champion` to version {FIRST} in MLflow")
        before, moved = self.trainer.champion(), time.time()
        self.trainer.move_champion(FIRST)
        if before == FIRST:
            self._glance(GLANCE)
            return
        self._wait(lambda lines: _met(lines, moved) or _of(lines, "unmet", FIRST), self._patience)
        self._glance(2.0)

    def _seven(self) -> None:
        self._register_and_settle(7)

    def _eight(self) -> None:
        self._register(LAST)
        split = self._wait(lambda lines: _in_canary(lines, LAST) or _settled(lines, LAST), self._patience)
        if split is not None and split.event == "live":
            self._glance(BAKE / 2)
        pid = self._pid
        self.screen.act(f"the watcher (process {pid}) is killed: SIGKILL")
        self._processes.kill("watcher")
        if _begun(self.tail.lines, LAST) and _settled(self.tail.lines, LAST) is None:
            self.killed.append((time.time(), LAST))
        self._glance(GLANCE)
        self._watch()
        self.screen.act(f"the watcher is started again (process {self._pid})")
        self._settle(LAST)
        self._glance(GLANCE)

    # What they are made of

    def _start(self) -> None:
        settings.write(self.folder.settings, self.folder.uri, self._port, self._engine)
        self.screen.act("an empty MLflow registry on SQLite, and the watcher beside it")
        self.screen.say("MLflow makes its tables, the trainer fits its models: this takes a few seconds.", FAINT)
        self.trainer.make_registry()
        self._watch()
        self.tail.start()
        self.trainer.prepare()
        self._feeder.start(self.trainer.features)
        places = ["--input", str(self.folder.features), "--output", str(self.folder.scores)]
        arguments = [
            "stream",
            "--engine",
            self._engine,
            "--pointer",
            str(self.folder.pointer("live")),
            *places,
            "--every",
            f"{FED:g}",
        ]
        self._processes.start("stream", "scoring", arguments, self.folder.stream_log)
        self.screen.say("A table of features grows from now on, and a stream scores it into another one.", FAINT)

    def _watch(self) -> None:
        arguments = ["run", "-c", str(self.folder.settings)]
        self._pid = self._processes.start("watcher", "watcher", arguments, self.folder.watcher_log)

    def _start_batch(self) -> None:
        self.screen.act("the batch job begins a run")
        places = ["--input", str(self.folder.features), "--output", str(self.folder.runs)]
        arguments = ["batch", "--engine", self._engine, "--pointer", str(self.folder.pointer("nightly")), *places]
        self._processes.start("batch", "scoring", arguments, self.folder.batch_log)
        self._run_under_way = True

    def _finish_batch(self) -> None:
        if not self._run_under_way:
            return
        self._run_under_way = False
        if not self._processes.finish("batch", self._patience):
            raise DemoError(f"The batch job failed: {last_line(self.folder.batch_log)} (see {self.folder.batch_log})")
        newest = max(self.folder.runs.glob("run=*"), key=lambda folder: folder.stat().st_mtime_ns)
        self.screen.say(f"The batch job wrote {newest.name}, whole and with a manifest.", FAINT)

    def _end_jobs(self) -> None:
        """No more rows; the stream scores what is there, the batch job runs once more, and all is counted."""
        self._feeder.stop()
        self._wait(lambda _: True if tables.rows_of(self.folder.scores) >= self._feeder.rows else None, self._patience)
        self._finish_batch()
        self._start_batch()
        self._finish_batch()
        self.scored = tables.count(self.folder.features, self.folder.scores, self.folder.runs)

    def _register_and_settle(self, number: int) -> None:
        self._register(number)
        self._settle(number)

    def _register(self, number: int) -> None:
        recipe = RECIPES[number]
        self.screen.act(f"version {number} is registered (ridge, alpha {recipe.alpha:g})")
        score = self.trainer.register(number)
        self.registered.append(number)
        told = f"{METRIC} {score:.4g} on held-out rows" if score is not None else f"no {METRIC} yet"
        said = f", and {recipe.words}" if recipe.words else ""
        self.screen.say(f"The trainer logged {told}{said}.", FAINT)

    def _settle(self, number: int) -> None:
        self._wait(lambda lines: _settled(lines, number), self._patience)

    def _glance(self, seconds: float) -> None:
        """Let the client see what is there now."""
        self._wait(lambda _: None, seconds)

    def _wait(self, found: Callable[[Sequence[Line]], T | None], seconds: float) -> T | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            answer = self.tail.wait(found, min(left, GLANCE))
            if answer is not None:
                return answer
            if self._stop():
                raise Stopped
            logs = {"watcher": self.folder.watcher_log, "client": self.folder.client_log}
            for name, log in {**logs, "stream": self.folder.stream_log}.items():
                if self._processes.ended(name):
                    raise DemoError(f"The {name} ended by itself: {last_line(log)} (all of it is in {log})")
        return None

    def _at_rest(self) -> bool:
        champion = self.trainer.champion()
        return champion is not None and self.weights() == {champion: WHOLE}

    def _say_counts(self) -> None:
        counts = self.counts
        answers = ", ".join(f"v{v} {n:,}" for v, n in sorted(counts.answers.items(), key=lambda item: int(item[0])))
        own = "".join(f" (apart from {n:,} by v{v} itself)" for v, n in sorted(counts.own.items()))
        self.screen.say(
            f"Client: {counts.sent:,} requests, {counts.failed} failed{own}; right answers: {answers};"
            f" {counts.sent - counts.answered} under way.",
            BOLD,
        )


def _of(lines: Sequence[Line], event: str, version: int) -> Line | None:
    return next((line for line in reversed(lines) if line.event == event and line.version == version), None)


def _verdict(lines: Sequence[Line], version: int) -> Line | None:
    return _of(lines, "verdict", version)


def _call(lines: Sequence[Line], version: int) -> str:
    found = _verdict(lines, version)
    return str((found.data or {}).get("call")) if found else ""


def _done(lines: Sequence[Line], verb: str, version: int) -> Line | None:
    return next(
        (
            line
            for line in reversed(lines)
            if line.event == "done" and line.version == version and (line.data or {}).get("verb") == verb
        ),
        None,
    )


def _settled(lines: Sequence[Line], version: int) -> Line | None:
    """Once a version's way is at its end: tagged with a final verdict, or its rollout crowned or rolled back."""
    if _call(lines, version) in ENDED:
        return _done(lines, "tag", version)
    if _of(lines, "crowned", version) or _of(lines, "rolled_back", version):
        return _done(lines, "unmark", version)
    return None


def _served(line: Line) -> bool:
    return line.event == "live" and line.target == settings.TARGET


def _begun(lines: Sequence[Line], version: int) -> bool:
    return _of(lines, "rollout_started", version) is not None


def _in_canary(lines: Sequence[Line], version: int) -> Line | None:
    """The moment at which a version has a share of the traffic and not all of it."""
    return next(
        (
            line
            for line in lines
            if line.event == "live" and 0 < ((line.data or {}).get("weights") or {}).get(str(version), 0) < WHOLE
        ),
        None,
    )


def _met(lines: Sequence[Line], since: float) -> Line | None:
    return next(
        (line for line in lines if line.event == "done" and line.reason == "order_met" and line.at >= since), None
    )
