"""Batch and streaming jobs that read which version to score with from a release pointer."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from deployers import background
from deployers.pointer import documents
from deployers.pointer.documents import ABSENT
from deployers.pointer.seen import Reported, Staged, seen_of, state_of, wrote_by
from watcher.errors import Conflict, Terminal, Transient, UserError
from watcher.ports import Deployer
from watcher.text import plain
from watcher.values import Example, Observed, Probe, Release, State, Target, Version

FORMAT = 1
WHOLE = 100
START = 5.0
"""Seconds for a trial to have left this process."""
LIMIT = 300.0
"""Seconds after which a trial ends, whatever it is doing."""
ROWS = 1_000
"""Rows of the input that a version is tried with."""
NO_SCORING = "The package `scoring` is not here, and a version is tried with it: install it, or write trial: none."
UNTRIED = 300.0
"""Seconds until a version is launched again that could not be tried for want of it."""
NOT_TRIED = "staged without a trial (`trial: none`)"


class PointerDeployer:
    """Moves release pointers: one JSON document each, on a disk or in an object store, replaced whole.

    The watcher writes the pointer and nothing else. What the job says of itself, and what came of a trial, are
    documents beside it that the job and the trial write. `run` starts a trial; it must return soon.
    """

    atomic = True
    lease = 15.0

    def __init__(
        self,
        tracking_uri: str | None = None,
        run: Callable[[Sequence[str]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run = run or partial(_start, tracking_uri)
        self._clock = clock

    def observe(self, target: Target) -> Observed:
        held = documents.read(_pointer(target))
        if held.value is None:
            return Observed(token=ABSENT)
        there = _parsed(held.value, target)
        problem = _foreign(there, target)
        reported = self._reported(target)
        releases = (
            seen_of(name, self._staged(target, name, told), there, reported, target, self._clock())
            for name, told in there["releases"].items()
        )
        weights = {there["live"]: WHOLE} if there["live"] else {}
        return Observed(tuple(one for one in releases if one is not None), weights, there["token"], problem=problem)

    def launch(self, release: Release) -> None:
        target, version = release.target, release.version
        if _tries(target) and not target.settings.get("python") and find_spec("scoring") is None:
            # No version's fault, so it is not tried and none is condemned.
            raise Transient(NO_SCORING, UNTRIED)
        wrote = wrote_by(release.name, self._reported(target), target)
        # An order to go back waits for no trial: the job itself has scored rows with it.
        proven = wrote.rows if wrote is not None else 0
        trial: dict[str, Any] | None = None
        """What is asked for; none where nothing is to be done."""

        def change(there: dict[str, Any]) -> None:
            nonlocal trial
            trial = None
            found = there["releases"].get(release.name)
            if found is not None and found["key"] != version.identity.key:
                raise Conflict(f"{release.name} is staged with another identity.")
            state = state_of(self._staged(target, release.name, found), self._clock()) if found else None
            if state in (State.READY, State.STARTING):
                return
            tries = found["trial"]["tries"] + 1 if found and state is None and found["trial"] else 1
            if _tries(target) and not proven:
                trial = {"id": secrets.token_hex(8), "at": self._clock(), "tries": tries, "limit": LIMIT}
            there["releases"][release.name] = {
                "version": version.number,
                "key": version.identity.key,
                "uri": version.artifact_uri,
                "trial": trial,
                "proven": proven,
            }

        self._edit(target, change)
        if trial is not None:
            self._run(_trial(target, release.name, trial["id"]))

    def probe(self, release: Release, example: Example) -> Probe:
        """What the trial found: it scored rows of the input, which are what the job will be asked."""
        held = documents.read(_pointer(release.target))
        there = _parsed(held.value, release.target) if held.value is not None else {"releases": {}}
        found = there["releases"].get(release.name)
        staged = self._staged(release.target, release.name, found) if found else None
        if staged is None or state_of(staged, self._clock()) is not State.READY:
            raise Conflict(f"{release.name} is not ready on {release.target.name}.")
        if staged.trial is None:
            rows = found.get("proven")
            detail = f"the job scored {rows:,} rows with it before" if type(rows) is int and rows else NOT_TRIED
            return Probe(ok=True, version=staged.version, detail=detail)
        told = staged.result
        return Probe(told["scored"] is True, told.get("version"), plain(told.get("detail", ""), 500), told.get("ms"))

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        live = [name for name, percent in weights.items() if percent]
        heard = False

        def change(there: dict[str, Any]) -> None:
            if there["token"] != seen:
                raise Conflict(f"{target.name} changed since it was seen.")
            for name in live:
                found = there["releases"].get(name)
                if found is None or not self._may_serve(target, name, found, there):
                    raise Conflict(f"{name} is not ready on {target.name}.")
            if len(live) > 1 or (live and weights[live[0]] != WHOLE):
                raise Terminal(f"A pointer names one release, with the whole of its weight, and not {dict(weights)}.")
            there["live"] = live[0] if live else None
            there["token"] = secrets.token_hex(8)
            there["moved"] = {"at": self._clock(), "heard": heard}

        held = documents.read(_pointer(target))
        if held.value is None:
            if live or seen != ABSENT:
                raise Conflict(f"There is no pointer at {target.place} yet.")
            return
        heard = self._reported(target).heard
        self._edit(target, change)

    def retire(self, target: Target, name: str) -> None:
        held = documents.read(_pointer(target))
        if held.value is None or name not in _parsed(held.value, target)["releases"]:
            return

        def change(there: dict[str, Any]) -> None:
            if there["live"] == name:
                raise Conflict(f"{name} is live on {target.name}.")
            there["releases"].pop(name, None)

        self._edit(target, change)
        documents.remove(documents.beside(_pointer(target), f"{name}.trial"))

    def adopt(self, target: Target, version: Version) -> None:
        raise Terminal("A release pointer names only what was staged in it: there is nothing to adopt.")

    def check(self, target: Target) -> Sequence[str]:
        try:
            held = documents.read(_pointer(target))
            there = _parsed(held.value, target) if held.value is not None else None
        except (Transient, Terminal) as error:
            return [str(error)]
        if there is not None and (problem := _foreign(there, target)):
            return [problem]
        said = documents.problems(_pointer(target))
        if _tries(target):
            said += _trial_problems(target)
        return said

    def _may_serve(self, target: Target, name: str, found: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
        return there["live"] == name or state_of(self._staged(target, name, found), self._clock()) is State.READY

    def _reported(self, target: Target) -> Reported:
        return Reported.of(documents.beside(_pointer(target), "status"), self._clock())

    @staticmethod
    def _staged(target: Target, name: str, told: Mapping[str, Any]) -> Staged:
        if told["trial"] is None:
            return Staged(told["version"], told["key"], None, {})
        result = documents.read(documents.beside(_pointer(target), f"{name}.trial")).value
        mine = isinstance(result, dict) and result.get("id") == told["trial"]["id"]
        return Staged(told["version"], told["key"], told["trial"], result if mine else {})

    def _edit(self, target: Target, change: Callable[[dict[str, Any]], None]) -> None:
        """Replace the pointer by what `change` makes of it. Raises what `change` raises."""

        def changed(before: Any) -> Mapping[str, Any] | None:
            there = documents.copied(_parsed(_new(target) if before is None else before, target))
            if problem := _foreign(there, target):
                raise Terminal(problem)
            change(there)
            return None if there == before else there

        documents.edit(_pointer(target), changed)


def build(tracking_uri: str | None) -> Deployer:
    """The deployer of `batch` and `stream` targets. Trials fetch artifacts by way of the tracking URI."""
    return PointerDeployer(tracking_uri)


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """`stream:/srv/pointers/churn.json`: the pointer. A batch job and a stream have one each."""
    pointer = settings.get("pointer")
    if not isinstance(pointer, str) or not pointer:
        raise UserError(f"A target of kind {kind} needs `pointer`, the document that its job reads.")
    return f"{kind}:{pointer}"


def _pointer(target: Target) -> str:
    place(target.kind, target.settings)
    return str(target.settings["pointer"])


def _new(target: Target) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "owner": target.owner,
        "model": target.model,
        "token": ABSENT,
        "live": None,
        "releases": {},
        "moved": None,
    }


def _parsed(found: Any, target: Target) -> dict[str, Any]:
    """The document as a pointer. Raises Terminal where it is none: it is not ours to mend."""
    whole = isinstance(found, dict) and found.get("format") == FORMAT
    texts = whole and all(isinstance(found.get(key), str) and found[key] for key in ("owner", "model", "token"))
    releases = found.get("releases") if texts else None
    sound = isinstance(releases, dict) and all(_is_release(told) for told in releases.values())
    if not sound or (found.get("live") is not None and found["live"] not in (releases or {})):
        raise Terminal(f"{target.settings['pointer']} is not a release pointer that this watcher can read.")
    there: dict[str, Any] = found
    there.setdefault("live", None)
    there.setdefault("moved", None)
    return there


def _is_release(told: Any) -> bool:
    if not isinstance(told, dict) or type(told.get("version")) is not int:
        return False
    trial = told.setdefault("trial", None)
    if not (trial is None or isinstance(trial, dict)):
        return False
    if trial is not None:
        times = (trial.get("at"), trial.get("limit"))
        if not all(type(each) in (int, float) for each in times) or type(trial.get("tries")) is not int:
            return False
        if not isinstance(trial.get("id"), str):
            return False
    return type(told.get("key")) is str and type(told.get("uri")) is str


def _foreign(there: Mapping[str, Any], target: Target) -> str | None:
    if (there["owner"], there["model"]) == (target.owner, target.model):
        return None
    return plain(f"The pointer is the owner {there['owner']}'s, for the model {there['model']}.", 500)


def _tries(target: Target) -> bool:
    return bool(target.settings.get("trial") != "none")


def _trial(target: Target, name: str, trial: str) -> list[str]:
    settings = target.settings
    command = [_python(target), "-m", "scoring", "trial", "--background", "--pointer", _pointer(target)]
    command += ["--release", name, "--id", trial, "--limit", f"{LIMIT:g}", "--rows", str(settings.get("rows") or ROWS)]
    if settings.get("input"):
        command += ["--input", str(settings["input"])]
    if settings.get("output") and target.kind == "stream":
        command += ["--output", str(settings["output"])]
    if settings.get("memory"):
        command += ["--memory", str(settings["memory"])]
    return command


def _python(target: Target) -> str:
    return str(target.settings.get("python") or sys.executable)


def _start(tracking_uri: str | None, command: Sequence[str]) -> None:
    background.start(command, "scoring", tracking_uri, START, f"{command[0]} cannot try a version")


def _trial_problems(target: Target) -> list[str]:
    if find_spec("scoring") is None:
        return [NO_SCORING]
    table = target.settings.get("input")
    if table is None:
        return []
    if documents.is_local(str(table)) and not (documents.path(str(table)) / "_delta_log").is_dir():
        return [f"There is no Delta table at {table}, so no version can be tried on its rows."]
    return []
