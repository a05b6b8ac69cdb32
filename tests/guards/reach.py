"""`python -m tests.guards.reach`: which checks of the suite reach a guard, so that only those need be run without it.

A check reaches a guard where without it the loop would go on otherwise, at least once. Fails where a check fails.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence

from tests.guards import suite
from tests.guards.find import Guard, guards
from tests.guards.taking import watching


def reach(wanted: Sequence[Guard]) -> dict[str, list[str]]:
    """For each guard the names of the checks that reach it, the quickest first. Raises what a check raises.

    An entry of a chain is reached by every check.
    """
    met: set[tuple[str, int]] = set()
    checks = list(suite.checks(suite.prepare()))
    seconds: dict[str, float] = {}
    found: dict[str, list[str]] = defaultdict(list)
    with watching({guard.module for guard in wanted}, lambda module, ordinal: met.add((module, ordinal))):
        for name, check in checks:
            met.clear()
            began = time.process_time()
            try:
                check()
            except Exception as error:
                error.add_note(f"in the check: {name}")
                raise
            seconds[name] = time.process_time() - began
            for guard in wanted:
                if guard.always or (guard.module, guard.ordinal) in met:
                    found[str(guard)].append(name)
    return {str(guard): sorted(found[str(guard)], key=seconds.__getitem__) for guard in wanted}


if __name__ == "__main__":
    print(json.dumps(reach(guards())))  # noqa: T201
