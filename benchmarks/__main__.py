"""`python -m benchmarks`: measure, and print a table of what was measured and what it must reach.

Exit code 0 where every goal that was measured is met, 1 where one is not, 2 where something could not be measured, 130
after Ctrl-C. Processes that were started are ended in every case.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from benchmarks import profiles, registry, results
from benchmarks.bench import Bench, BenchError, Figure
from benchmarks.table import BENCHMARKS, ELSEWHERE, text, told
from demo.errors import DemoError, Stopped
from demo.processes import Processes

MET, MISSED, CANNOT, INTERRUPTED = 0, 1, 2, 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """The exit code."""
    given = _arguments()
    if given.write:
        return _written()
    registry.set_environment()
    if given.profile:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as made:
            profiles.all_of_them(Bench(Path(made)))
        return MET
    with _stoppable():
        folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))
        try:
            return _measured(given, folder)
        except BenchError as error:
            sys.stderr.write(f"{error}\n")
            return CANNOT
        except Stopped:
            return INTERRUPTED
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            shutil.rmtree(folder, ignore_errors=True)


def _measured(given: argparse.Namespace, folder: Path) -> int:
    found = results.merged(given.json) if given.json else results.Results()
    machine = results.here()
    names = given.only or list(BENCHMARKS)
    measured: dict[str, Figure] = {}
    with _ended(folder):
        bench = Bench(folder / "bench", given.rounds, say=_say)
        bench.folder.mkdir()
        for name in names:
            began = time.monotonic()
            _say(f"{name} ...")
            part = (BENCHMARKS | ELSEWHERE)[name](bench)
            measured.update(part)
            found.add(part, given.rounds, machine)
            if given.json:
                found.write(given.json)
            _say(f"{name}: {time.monotonic() - began:.0f} s")
    lines = told(measured)
    print(f"{text(lines)}\n\n{machine}; medians of {given.rounds} rounds")
    return MET if all(line.met for line in lines) else MISSED


def _written() -> int:
    try:
        results.write_pages(results.kept())
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT
    return MET


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """A signal ends the measuring as an error would: through every `finally` on the way."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _ended(folder: Path) -> Iterator[None]:
    """No process is left afterwards, whatever started it."""
    processes = Processes(folder / "processes", folder / "no-gateway")
    processes.adopt_orphans()
    try:
        yield
    finally:
        while True:
            try:
                with contextlib.suppress(DemoError):
                    processes.end_all()
                break
            except Stopped:
                continue


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=[*BENCHMARKS, *ELSEWHERE], help="measure only this; may be given again"
    )
    parser.add_argument("--rounds", type=_rounds, default=5, help="rounds of each, 5 by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, beside those of other rows")
    parser.add_argument(
        "--write", action="store_true", help="measure nothing: put benchmarks/results.json into README and docs"
    )
    parser.add_argument("--profile", action="store_true", help="measure nothing: print whose code spends the time")
    return parser.parse_args()


def _rounds(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"write a whole number from 1, not {given!r}")
    return int(given)


if __name__ == "__main__":
    sys.exit(main())
