"""What was measured, where and when: `results.json`, and the pages that show it."""

from __future__ import annotations

import json
import platform
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench import BenchError, Figure, Measured
from benchmarks.table import ROWS, markdown, told

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results.json")
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
BEGIN, END = "<!-- measured: `python -m benchmarks --write` -->", "<!-- end of measured -->"


@dataclass
class Results:
    """Figures by the key of their row. Both sides of one are of one run; two figures may be of different machines."""

    figures: dict[str, Figure] = field(default_factory=dict)
    days: dict[str, str] = field(default_factory=dict)
    """When each was measured."""
    machines: dict[str, str] = field(default_factory=dict)
    """Where."""
    rounds: dict[str, int] = field(default_factory=dict)

    def add(self, measured: Measured, rounds: int, machine: str) -> None:
        """Put new figures in place of earlier ones."""
        today = time.strftime("%Y-%m-%d", time.gmtime())
        for key, figure in measured.items():
            self.figures[key], self.days[key], self.rounds[key] = figure, today, rounds
            self.machines[key] = machine

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def here() -> str:
    """The machine in a few words."""
    import mlflow

    cores, memory = _cores(), _memory()
    versions = f"Python {platform.python_version()}, MLflow {mlflow.__version__}"
    return f"{cores}, {memory} of memory, Linux {platform.release().partition('-')[0]}, {versions}"


def read(path: Path) -> Results:
    """Raises BenchError where there is no such file, or it is not one of these."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        figures = {
            key: Figure(each["value"], each["told"], tuple(each["rounds"])) for key, each in found["figures"].items()
        }
        return Results(figures, found["days"], found["machines"], found["rounds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path} cannot be read as results: {error}") from error


def merged(path: Path) -> Results:
    """What the file holds, to be added to; nothing where it is not there."""
    return read(path) if path.exists() else Results()


NOT_YET = "Not measured yet: `make bench` measures, and prints this table."


def kept() -> Results | None:
    """The figures of `results.json`, None where nothing was measured yet. Raises BenchError where it cannot be read."""
    return read(RESULTS) if RESULTS.exists() else None


def section(results: Results | None) -> str:
    """What the pages show between their marks."""
    if results is None or not results.figures:
        return f"{BEGIN}\n\n{NOT_YET}\n\n{END}"
    rounds = min(results.rounds.values())
    missing = dict.fromkeys(row.benchmark for row in ROWS if row.key not in results.figures)
    still = f"Not measured yet: {', '.join(name.replace('_', ' ') for name in missing)}.\n\n" if missing else ""
    return (
        f"{BEGIN}\n\n{markdown(told(results.figures))}\n\n"
        f"Medians of at least {rounds} rounds, both sides in each. {_where(results)}\n\n{still}{END}"
    )


def _where(results: Results) -> str:
    """Machines and days, the one of most figures first; of the others, which those are."""
    lines: list[str] = []
    for machine, _ in Counter(results.machines.values()).most_common():
        keys = [key for key, where in results.machines.items() if where == machine]
        days = sorted({results.days[key] for key in keys})
        when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        names = dict.fromkeys(row.benchmark.replace("_", " ") for row in ROWS if row.key in keys)
        lines.append(f"{', '.join(names)}: {machine}; {when}." if lines else f"{machine}; {when}.")
    return "\n".join(lines)


def shown(page: str, results: Results | None) -> str:
    """The page with these results. Raises BenchError where it has no place for them."""
    if not re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", page, re.DOTALL):
        raise BenchError(f"a page has no lines `{BEGIN}` and `{END}`")
    before, _, rest = page.partition(BEGIN)
    return before + section(results) + rest.partition(END)[2]


def write_pages(results: Results | None) -> None:
    """Put them into README and docs/performance.md."""
    for path in PAGES:
        path.write_text(shown(path.read_text(encoding="utf-8"), results), encoding="utf-8")


def _cores() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    count = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    name = re.sub(r"\((R|TM)\)|CPU|Processor|@.*", "", names[0] if names else platform.machine())
    return f"{count} cores of {' '.join(name.split())}"


def _memory() -> str:
    found = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"), re.MULTILINE)
    return f"{int(found[1]) / 1024 / 1024:.0f} GB" if found else "unknown size"
