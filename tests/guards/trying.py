"""Takes guards out one by one, shared out to two processes."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.guards.find import ROOT, Guard
from tests.guards.suite import STORY

AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the suite without a guard; `check` is None where nothing failed."""

    guard: Guard
    check: str | None
    kind: str | None
    error: str | None

    @property
    def noticed(self) -> bool:
        """Whether more failed than what a story says of its own end."""
        return self.kind not in (None, STORY)

    def __str__(self) -> str:
        where = f"{self.guard.module.replace('.', '/')}.py:{self.guard.line}"
        return f"{where}: {self.guard.name}: {self.kind}: {self.check}: {self.error}"


def tried(guards: Sequence[Guard], checks: Mapping[str, Sequence[str]]) -> Iterator[Outcome]:
    """The outcome without each of the guards, as they come. `checks` has the names of the checks to run for each."""
    todo: queue.SimpleQueue[Guard | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
    for guard in guards:
        todo.put(guard)
    for _ in range(AT_ONCE):
        todo.put(None)
    command = [sys.executable, "-m", "tests.guards.mutant"]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(AT_ONCE)
    ]
    for worker in workers:
        threading.Thread(target=_feed, args=(worker, todo, done, checks), daemon=True).start()
    try:
        for _ in guards:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _feed(
    worker: subprocess.Popen[str],
    todo: queue.SimpleQueue[Guard | None],
    done: queue.SimpleQueue[Outcome | BaseException],
    checks: Mapping[str, Sequence[str]],
) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        while (guard := todo.get()) is not None:
            worker.stdin.write(json.dumps([guard.module, guard.ordinal, checks[str(guard)]]) + "\n")
            worker.stdin.flush()
            said = json.loads(worker.stdout.readline())
            done.put(Outcome(guard, said["check"], said["kind"], said["error"]))
    except (OSError, ValueError) as error:
        done.put(error)
