"""`make audit`: asks the advisory database about every dependency that a lock pins.

Exit code 0 where none has a known vulnerability, 1 where one has, 3 where that could not be found out: an index that
knows no advisories answers for each that it is unknown, and `pip-audit` takes that for no finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
NOBODY = "not audited: no advisory database reachable"
PATIENCE = 300.0
"""Seconds for one lock."""


@dataclass(frozen=True)
class Audited:
    """What is known of the dependencies of one lock."""

    lock: str
    asked: int = 0
    vulnerable: dict[str, list[str]] = field(default_factory=dict)
    """`name==version` -> advisories."""
    unknown: tuple[str, ...] = ()
    """Dependencies that the database did not answer for."""

    @property
    def code(self) -> int:
        if self.vulnerable:
            return VULNERABLE
        return NOT_AUDITED if self.unknown or not self.asked else CLEAN

    def __str__(self) -> str:
        if self.vulnerable:
            told = "; ".join(f"{name}: {', '.join(found)}" for name, found in sorted(self.vulnerable.items()))
            return f"{self.lock}: vulnerable: {told}"
        if len(self.unknown) == self.asked:
            return f"{self.lock}: {NOBODY}"
        if self.unknown:
            return f"{self.lock}: not audited: {len(self.unknown)} of {self.asked}: {', '.join(self.unknown)}"
        return f"{self.lock}: {self.asked} dependencies without a known vulnerability"


def read(lock: str, answer: str) -> Audited:
    """What `pip-audit --format json` says; nothing is known where that is not JSON."""
    try:
        found = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Audited(lock)
    bad = {
        f"{each['name']}=={each['version']}": [v["id"] for v in each["vulns"]] for each in found if each.get("vulns")
    }
    return Audited(lock, len(found), bad, tuple(each["name"] for each in found if "skip_reason" in each))


def locks() -> list[Path]:
    """Every lock of this checkout."""
    return sorted(ROOT.glob("requirements*.txt"))


def audited(lock: Path) -> Audited:
    """Ask about one lock."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return Audited(lock.name)
    return read(lock.name, asked.stdout)


def code_of(found: Sequence[Audited]) -> int:
    """The exit code: a vulnerability outweighs what is not known."""
    codes = {each.code for each in found}
    return next((code for code in (VULNERABLE, NOT_AUDITED) if code in codes), CLEAN)


def main() -> int:
    """Ask about every lock, and say what came of it."""
    found = []
    for lock in locks():
        found.append(audited(lock))
        sys.stdout.write(f"{found[-1]}\n")
        sys.stdout.flush()
    return code_of(found)


if __name__ == "__main__":
    sys.exit(main())
