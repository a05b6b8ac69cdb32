"""The whole loop on one machine, on real parts: an MLflow registry on SQLite, the watcher, the gateway, a client.

Every line of the story is read from the watcher's history; the headings name what people do. Exit code 0 where every
promise was kept, 1 where one was broken, 2 where the demo could not run, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from demo import promises, report
from demo.errors import DemoError, Stopped
from demo.folder import Folder, taken
from demo.processes import CHECKOUT, Processes
from demo.screen import BOLD, Screen
from demo.settings import BAKE
from demo.story import Story
from demo.trainer import MODEL, Trainer
from demo.versions import RECIPES

KEPT, BROKEN, CANNOT, INTERRUPTED = 0, 1, 2, 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """The exit code."""
    given = _arguments()
    ending = threading.Event()
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        if not ending.is_set():
            raise Stopped

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        with taken(given.folder) as folder:
            return _run(folder, given, Screen(), asked, ending)
    except DemoError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT
    except Stopped:
        return INTERRUPTED
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _run(
    folder: Folder, given: argparse.Namespace, screen: Screen, asked: threading.Event, ending: threading.Event
) -> int:
    processes = Processes(folder.processes, folder.gateway)
    processes.adopt_orphans()
    with _ended(processes, ending):
        processes.end_earlier()
        if given.stop:
            return KEPT
        folder.wipe()
        began = time.monotonic()
        trainer = Trainer(folder.uri, folder.artifacts, folder.answers, dict(given.metric))
        story = Story(folder, given.port or _free_port(), processes, trainer, screen, asked.is_set, given.engine)
        try:
            story.tell(given.acts)
            seen = promises.Seen(
                lines=story.tail.lines,
                counts=story.counts,
                registered=tuple(story.registered),
                champion=trainer.champion(),
                tags=trainer.calls(),
                weights=story.weights(),
                bake=BAKE,
                scored=story.scored,
                killed=tuple(story.killed),
            )
            checked = promises.check(seen)
            told = report.build(seen, checked, time.monotonic() - began)
            report.write(folder.report, told)
            report.show(screen, told, checked)
            _say_where(screen, folder)
            if given.keep:
                _say_how_to_ask(screen, folder, story.url)
                with contextlib.suppress(Stopped):
                    asked.wait()
        finally:
            story.end()
        return BROKEN if told["requests_failed"] or any(promise.broken for promise in checked) else KEPT


@contextlib.contextmanager
def _ended(processes: Processes, ending: threading.Event) -> Iterator[None]:
    """Whatever happens within, no process is left afterwards."""
    try:
        yield
    finally:
        while True:
            try:
                ending.set()
                processes.end_all()
                break
            except Stopped:
                continue


def _say_where(screen: Screen, folder: Folder) -> None:
    watcher, settings = f"{_shown(Path(sys.executable))} -m watcher", _shown(folder.settings)
    screen.say()
    screen.say("The history, and why each thing was done:", BOLD)
    screen.copy(f"{watcher} history {MODEL} -c {settings}")
    screen.copy(f"{watcher} explain {MODEL} 3 -c {settings}")

    screen.say(f"The report: {_shown(folder.report)}. The settings: {settings}.")
    screen.say("On your own registry:", BOLD)
    screen.say(
        "Copy watch.example.yaml to watch.yaml; name your registry, your model, and the metric that decides. With"
        " `mode: advise` it judges and explains, and touches nothing. Then:"
    )
    for command in ("check", "plan", "run"):
        screen.copy(f"{watcher} {command} -c watch.yaml")


def _say_how_to_ask(screen: Screen, folder: Folder, url: str) -> None:
    one = _shown(folder.answers / "request.json")
    screen.say()
    screen.say("Serving until Ctrl-C; what the watcher does is told below. Ask it, or move the alias yourself:", BOLD)
    screen.copy(f"curl -si {url} -H 'Content-Type: application/json' -d @{one}")
    screen.copy(f"{_shown(Path(sys.executable))} -m mlflow ui --backend-store-uri {shlex.quote(folder.uri)}")


def _shown(path: Path) -> str:
    """As a person in the checkout would write it."""
    near = path if not path.is_absolute() else Path(os.path.relpath(path, Path.cwd()))
    return shlex.quote(str(near if not str(near).startswith("..") else path))


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def _metric(text: str) -> tuple[int, float]:
    version, _, value = text.partition("=")
    if not version.isdecimal() or int(version) not in RECIPES:
        raise argparse.ArgumentTypeError(f"write VERSION=VALUE with a version from 1 to {max(RECIPES)}, not {text!r}")
    try:
        score = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no number; write for example 3=0.6") from None
    if not math.isfinite(score):
        raise argparse.ArgumentTypeError("only a finite number can be logged")
    return int(version), score


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--acts", type=int, choices=range(1, 9), default=8, help="tell only the first acts")
    parser.add_argument(
        "--metric",
        type=_metric,
        action="append",
        default=[],
        metavar="VERSION=VALUE",
        help="log another r2 for a version than the measured one, and see the story change:\n"
        "with --metric 3=0.6 version 3 wins; may be given several times",
    )
    parser.add_argument(
        "--engine", choices=["delta", "spark"], default="delta", help="what the batch job and the stream run on"
    )
    parser.add_argument("--folder", type=Path, default=CHECKOUT / ".demo", help="where everything lies; wiped first")
    parser.add_argument("--port", type=int, help="public port of the endpoint; by default a free one")
    parser.add_argument("--keep", action="store_true", help="go on serving at the end, until Ctrl-C")
    parser.add_argument("--stop", action="store_true", help="only end what an earlier demo left running")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
