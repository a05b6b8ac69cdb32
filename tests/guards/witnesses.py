"""Which check misses each guard: `witnesses.json`, made by looking for it, and tried again in every test run.

`python -m tests.guards.witnesses` looks for the witnesses that are wanting, writes down what it finds at once, and may
be stopped and started again. A guard that no check misses stands there with null, and the tests fail: it wants a
trouble that reaches it, an invariant that sees it, or to be taken out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.guards.find import ROOT, Guard, guards
from tests.guards.reasons import REASONS
from tests.guards.trying import tried

FILE = Path(__file__).with_name("witnesses.json")
FIRST = 40
"""Checks that are tried first, spread over all that reach a guard; most guards are missed by one of them."""


def witnesses() -> dict[str, str | None]:
    """Guard -> name of a check that fails without it, None where none is known."""
    return dict(json.loads(FILE.read_text()))


def unlisted(found: Iterable[Guard], known: Mapping[str, object]) -> list[str]:
    """Guards in the source that have neither a witness nor a reason and were never looked for."""
    return [str(guard) for guard in found if str(guard) not in known and str(guard) not in REASONS]


def write(known: Mapping[str, str | None]) -> None:
    """Keep them, in the order of the source, without guards that are gone or have a reason."""
    kept = {str(g): known[str(g)] for g in guards() if str(g) in known and str(g) not in REASONS}
    FILE.write_text(json.dumps(kept, indent=1) + "\n")


def spread(reached: Sequence[str], useful: Mapping[str, int]) -> list[str]:
    """All of the checks: those first that missed other guards, then some from everywhere, then the rest."""
    proven = [name for name, _ in Counter(useful).most_common() if name in set(reached)]
    everywhere = reached[:: max(len(reached) // FIRST, 1)]
    return list(dict.fromkeys((*proven[:FIRST], *everywhere, *reached)))


def main() -> None:
    """Look for what is wanting."""
    known = witnesses()
    wanting = [guard for guard in guards() if known.get(str(guard)) is None and str(guard) not in REASONS]
    asked = subprocess.run(
        [sys.executable, "-m", "tests.guards.reach"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    reached = json.loads(asked.stdout)
    useful = Counter(name for name in known.values() if name is not None)
    for outcome in tried(wanting, {str(guard): spread(reached[str(guard)], useful) for guard in wanting}):
        known[str(outcome.guard)] = outcome.check if outcome.noticed else None
        write(known)
        print(outcome, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
