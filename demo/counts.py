"""What the client counted, as it travels from its process to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.files import read_json, write_json

MOST_FAILURES = 20
"""Failures that are kept with their words."""
AWAY = 1.0
"""Seconds without an answer after which a version's next one counts as its return."""


@dataclass
class Counts:
    """Times are seconds since the epoch; versions are keys as text, as JSON has them."""

    sent: int = 0
    failed: int = 0
    """Whatever was not a 200 equal to what its version predicts, those in `own` apart."""
    answers: dict[str, int] = field(default_factory=dict)
    """Right answers by version."""
    own: dict[str, int] = field(default_factory=dict)
    """Failures of a version on rows that its own model cannot predict, wherever it runs."""
    returns: dict[str, list[float]] = field(default_factory=dict)
    """When a version's first answer came, and the first one after each absence."""
    last: dict[str, float] = field(default_factory=dict)
    """When a version's last answer came, right or not."""
    longest_ms: float = 0.0
    failures: list[str] = field(default_factory=list)

    def came(self, version: str, at: float) -> None:
        """The version answered."""
        if at - self.last.get(version, 0.0) > AWAY:
            self.returns.setdefault(version, []).append(at)
        self.last[version] = at

    def right(self, version: str) -> None:
        self.answers[version] = self.answers.get(version, 0) + 1

    def of_its_own(self, version: str) -> None:
        self.own[version] = self.own.get(version, 0) + 1

    def wrong(self, words: str) -> None:
        self.failed += 1
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(words)

    @property
    def answered(self) -> int:
        """Requests that are through, however they ended."""
        return sum(self.answers.values()) + sum(self.own.values()) + self.failed

    def first_since(self, version: int, at: float) -> float | None:
        """When the version came (back) at or after a moment, None where it did not."""
        return next((time for time in self.returns.get(str(version), ()) if time >= at), None)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Counts:
        """As they were last written; zeros before that."""
        found: Mapping[str, Any] | None = read_json(path)
        return cls(**found) if found else cls()
