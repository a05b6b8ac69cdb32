"""`python -m tests.guards.mutant`: runs the suite once without each guard that is named on standard input.

One guard a line, as a JSON list of its module, its ordinal and the names of the checks to run; one line of JSON for
each: which check failed and how, or that none did. Each guard is taken out in a forked process of its own, so that
nothing of it is left.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

import pytest

from tests.guards import suite
from tests.guards.taking import take_out
from tests.loop.world import Died

LONGEST = 120
"""Seconds of processor time for one guard, several times what the suite takes."""


def main(lines: Iterable[str]) -> None:
    """Answers one line for each."""
    checks = dict(suite.checks(suite.prepare()))
    for line in lines:
        module, ordinal, names = json.loads(line)
        chosen = [(name, checks[name]) for name in names if name in checks]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST + 1))
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            os.write(writing, json.dumps(_one(module, ordinal, chosen)).encode())
            os._exit(0)
        os.close(writing)
        with open(reading, encoding="utf-8") as answer:  # noqa: PTH123 a pipe
            said = answer.read()
        os.waitpid(child, 0)
        endless = {"check": "any", "kind": "no rest", "error": f"no end within {LONGEST} s"}
        print(said or json.dumps(endless), flush=True)  # noqa: T201


def _one(module: str, ordinal: int, checks: Sequence[suite.Check]) -> dict[str, str | None]:
    take_out(import_module(module), ordinal)
    found: dict[str, str | None] = {"check": None, "kind": None, "error": None}
    for name, check in checks:
        try:
            check()
        except (Exception, Died, pytest.fail.Exception) as error:  # noqa: BLE001 however it fails, it failed
            said: dict[str, str | None] = {
                "check": name,
                "kind": suite.kind(error),
                "error": f"{type(error).__name__}: {error}"[:400],
            }
            if said["kind"] != suite.STORY:
                return said
            found = found if found["check"] else said
    return found


if __name__ == "__main__":
    main(sys.stdin)
