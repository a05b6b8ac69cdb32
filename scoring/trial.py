"""A version is tried before a job is switched to it: in a process of its own, bounded, with a few real rows, unwritten.

The result lies beside the pointer: `{"format", "id", "state", "at", "host", "pid", "started", "version", "rows", "ms",
"answers", "scored", "detail"}`. `state` is `running`, `fits` or `refused`; `scored`: whether the rows could be scored.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring import documents, environment, pointer
from scoring.delta import sample
from scoring.errors import INPUT, POINTER, VERSION, Stop, sentence
from scoring.model import Scorer, load
from scoring.pointer import Release

FORMAT = 1
RUNNING, FITS, REFUSED = "running", "fits", "refused"
AGAIN = 2.0
"""Seconds between two tries while the input or the artifacts cannot be read."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is tried where."""

    pointer: str
    release: str
    id: str
    """Of this trial, as the pointer has it."""
    input: str | None = None
    output: str | None = None
    """Of a stream: the table whose columns the answers must fit."""
    rows: int = 1_000
    limit: float = 300.0
    """Seconds after which it ends, whatever it is doing."""
    memory: int | None = None
    """Bytes of address space that it may use."""


def run(options: Options) -> None:
    """Try it, and leave what came of it beside the pointer."""
    where = documents.beside(options.pointer, f"{options.release}.trial")
    told: dict[str, Any] = {
        "format": FORMAT,
        "id": options.id,
        "state": RUNNING,
        "at": time.time(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(),
        "rows": 0,
        "ms": None,
        "answers": {},
        "scored": False,
        "detail": "",
    }
    documents.put(where, told)
    ends = time.monotonic() + options.limit
    late = _bound(options, where, told)
    while True:
        try:
            told |= _tried(options)
            break
        except Stop as error:
            told |= {"state": REFUSED, "detail": sentence(error)}
            # That a table or a store is out of reach says nothing of the version.
            if error.kind not in (INPUT, POINTER) or time.monotonic() + AGAIN > ends:
                break
            time.sleep(AGAIN)
        except Exception as error:  # noqa: BLE001 whatever a model's code does, there is an answer
            told |= {"state": REFUSED, "detail": f"it cannot be tried: {sentence(error)}"}
            break
    late.cancel()
    documents.put(where, told | {"at": time.time()})


def _bound(options: Options, where: str, told: dict[str, Any]) -> threading.Timer:
    """From here on it ends in time, and says so."""
    import resource

    if options.memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))

    def late() -> None:
        said = f"it was not tried to the end within {options.limit:g} s"
        try:
            documents.put(where, told | {"state": REFUSED, "detail": said, "at": time.time()})
        finally:
            os._exit(1)

    timer = threading.Timer(options.limit, late)
    timer.daemon = True
    timer.start()
    return timer


def _tried(options: Options) -> dict[str, Any]:
    found = pointer.read(options.pointer)
    release = found.named(options.release) if found else None
    if found is None or release is None:
        raise Stop(VERSION, f"{options.release} is no longer staged.")
    with tempfile.TemporaryDirectory(prefix="scoring-trial-") as folder:
        path = _fetched(release, folder)
        if lacking := environment.unmet(environment.requirements_of(path), _workers(options.pointer)):
            raise Stop(VERSION, f"v{release.version}: {lacking}.")
        scorer = load(Release(release.name, release.model, release.version, release.key, str(path)))
        return _scored(options, scorer, _live(options, found))


def _fetched(release: Release, folder: str) -> Path:
    """The version's artifacts on this disk."""
    path = documents.local(release.uri)
    if not documents.is_remote(release.uri):
        if not (path / "MLmodel").is_file():
            raise Stop(VERSION, f"v{release.version}: there is no model at {release.uri}.")
        return path
    from mlflow.artifacts import download_artifacts

    try:
        return Path(download_artifacts(artifact_uri=release.uri, dst_path=folder))
    except Exception as error:
        raise Stop(POINTER, f"v{release.version}: {release.uri} cannot be fetched: {sentence(error)}") from error


def _workers(uri: str) -> Any:
    """What is installed where the job runs, as it last said; before it ever ran, what is installed here."""
    told = documents.read(documents.beside(uri, "status"))
    there = told.get("environment") if isinstance(told, dict) else None
    known = isinstance(there, dict) and isinstance(there.get("packages"), dict) and there["packages"]
    return there if known else environment.installed()


def _live(options: Options, found: pointer.Pointer) -> dict[str, str]:
    """Output column -> type of what is live now, nothing where nobody knows."""
    if found.live is None or found.live.name == options.release:
        return {}
    told = documents.read(documents.beside(options.pointer, f"{found.live.name}.trial"))
    answers = told.get("answers") if isinstance(told, dict) else None
    return {str(name): str(kind) for name, kind in answers.items()} if isinstance(answers, dict) else {}


def _scored(options: Options, scorer: Scorer, before: dict[str, str]) -> dict[str, Any]:
    """The outcome of scoring. Raises Stop where the version does not fit the tables or the version before."""
    told: dict[str, Any] = {"state": FITS, "scored": True, "version": scorer.release.version}
    if options.input is not None:
        rows = sample.rows(options.input, options.rows)
        scorer.refuse_unfit(rows.schema)
        began = time.monotonic()
        try:
            if rows.num_rows:
                scorer.score(rows)
            told |= {"detail": f"{rows.num_rows} rows of the input scored, unwritten"}
        except Stop as error:
            told |= {"scored": False, "detail": sentence(error)}
        told |= {"rows": rows.num_rows, "ms": round(1_000 * (time.monotonic() - began), 1)}
    answers = {name: str(kind) for name, kind in (scorer.answers or {}).items()}
    for what, there in (("the version before", before), (options.output or "", _written(options, answers))):
        if answers and there and answers != there:
            raise Stop(
                VERSION, f"v{scorer.release.version} answers {_listed(answers)}, and {what} has {_listed(there)}"
            )
    return told | {"answers": answers}


def _written(options: Options, answers: dict[str, str]) -> dict[str, str]:
    there = sample.columns(options.output) if options.output is not None else None
    return (
        {name: kind for name, kind in there.items() if name in answers or name.startswith("prediction")}
        if there
        else {}
    )


def _listed(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in sorted(columns.items()))


def _started() -> str:
    """When this process started, in ticks since boot: tells it from another one of the same pid."""
    return Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
