"""Whatever an MLflow deployments plugin can deploy to. Plugins block for up to an hour and split no traffic.

A place is one deployment by a fixed name. A release is first a deployment of its own, by which it is probed; then the
place's deployment is changed to its model. Each call of the plugin is an operation in a process of its own, and what
was asked for last stands in a document of this machine, since a plugin keeps no tags: it is the only memory there is.
Only what the document says that an operation made, or a person lent, is ever changed or deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deployers.mlflow_plugin.names import deployment, own, place
from deployers.mlflow_plugin.work import DONE, FAILED, LOST, RUNNING, Work, Works, read, replace, start
from watcher.errors import Conflict, Terminal, Transient, UnderWay, UserError
from watcher.ports import Deployer
from watcher.text import plain
from watcher.values import Example, Kind, Observed, Probe, Release, SeenRelease, State, Target, Traffic, Version

SHAPE = Kind.BATCH
"""It is switched at once, after the canary of the other targets."""
FORMAT = 1
WHOLE = 100
MOST_TRIES = 3
"""Times that an operation's process may die before its release counts as failed."""
FRESH = 60.0
"""Seconds for which a list of the plugin's deployments is believed."""
SOON = 5.0
"""Seconds until an operation under way is looked at again."""
CHECKED = 30.0
"""Seconds that `check` waits for the plugin."""
FUNCTIONS = "FUNCTIONS_WORKER_RUNTIME"
REFUSED = (
    "mlflow-plugin targets are not served from Azure Functions: a plugin blocks for up to an hour, and a function's"
    " processes end before. Watch this model from a machine that stays up."
)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Listed:
    """The plugin's deployments, as they were when it was asked."""

    names: frozenset[str]
    at: float

    @staticmethod
    def by(look: Work) -> _Listed:
        return _Listed(frozenset(str(name) for name in look.result.get("names") or ()), look.at)


class PluginDeployer:
    """Moves deployments of any plugin. `run` begins the operation in a folder; it must return soon."""

    atomic = True
    lease = 30.0

    def __init__(
        self,
        tracking_uri: str | None = None,
        run: Callable[[Path], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run, self._clock = run or partial(start, tracking_uri), clock

    def observe(self, target: Target) -> Observed:
        _refuse_functions()
        book = self._read(target)
        if problem := _foreign(book, target):
            return Observed((), {}, book["token"], problem=problem)
        listed = self._listed(target)
        # Read after the list: what an operation made meanwhile is ours.
        book, works = self._read(target), self._works(target)
        _forget_lost(book, works, target, listed)
        live = _live(book, works, target, listed)
        releases = [seen for name in book["releases"] if (seen := _seen(book, works, target, name, listed)) is not None]
        by_hand = _is_by_hand(book, works, target, listed)
        if by_hand:
            lent = book["adopted"] or 0
            releases.append(SeenRelease(deployment(target), lent, "", State.READY, ours=False))
        moving = _is_moving(book, works)
        weights = {deployment(target): WHOLE} if by_hand and not moving else {live: WHOLE} if live else {}
        adopted = not by_hand or book["adopted"] is not None
        return Observed(tuple(releases), weights, book["token"], adopted, moving=moving, delayed=True)

    def launch(self, release: Release) -> None:
        _refuse_functions()
        target, version, name = release.target, release.version, release.name
        listed, there = self._listed(target), own(release.target, release.name)
        with self._edited(target) as (book, works):
            found = book["releases"].get(name)
            tries, made = 1, False
            if found is not None:
                if found["key"] != version.identity.key:
                    raise Conflict(f"{name} is there with another identity")
                if found["retiring"] is not None and works.of(found["retiring"]).state == RUNNING:
                    raise Transient(f"{name} is still being deleted", SOON)
                state = _state(book, works, name)[0]
                if found["retiring"] is None and state in (State.READY, State.STARTING):
                    return
                before, made = works.of(found["work"]), found["made"]
                if not made and before.met and before.ended >= listed.at:
                    raise Conflict(before.why)
                tries = found["tries"] + 1 if state is None and not before.met else 1
                if book["live"] is not None and book["live"]["name"] == name:
                    book["live"] = None
            if not made and there in listed.names:
                raise Conflict(f"{there} is there, and this watcher did not make it: delete it")
            uri = f"models:/{version.identity.name}/{version.number}" if _by_name(target) else version.artifact_uri
            work = works.prepare(_job(target, "put", name=there, model_uri=uri, ours=made))
            book["releases"][name] = {
                "version": version.number, "key": version.identity.key, "uri": uri, "work": work, "tries": tries,
                "made": made, "staged": True, "retiring": None, "probe": None,
            }  # fmt: skip
        works.begin(work)

    def probe(self, release: Release, example: Example) -> Probe:
        """Ask the release's own deployment by the plugin's `predict`. `UnderWay` until that process is through."""
        _refuse_functions()
        target, name = release.target, release.name
        asked = hashlib.sha256(example.body).hexdigest()[:16]
        with self._edited(target) as (book, works):
            found = book["releases"].get(name)
            state = _state(book, works, name)[0] if found is not None and found["retiring"] is None else None
            if state is State.STARTING:
                raise Transient(f"{name} is still being made", SOON)
            if found is None or state is not State.READY:
                raise Conflict(f"{name} is not ready")
            live = book["live"] is not None and book["live"]["name"] == name
            told = found["probe"] or {}
            work = works.of(told.get("work")) if told.get("of") == asked else Work(LOST)
            if work.state == RUNNING:
                # The longer it takes, the less often it is looked at, and the history stays short.
                pause = min(max((self._clock() - work.at) / 4, SOON), FRESH)
                raise UnderWay(f"{name} is being asked", pause)
            if work.state in (DONE, FAILED):
                found["probe"] = None
                if work.state == FAILED:
                    return Probe(ok=False, version=release.version.number, detail=work.why)
                return Probe(
                    ok=True,
                    version=release.version.number,
                    detail=f"{work.result.get('size')} characters",
                    ms=work.result.get("ms"),
                )
            if live or found["staged"]:
                where = deployment(target) if live else own(target, name)
                begun = works.prepare(
                    _job(target, "predict", name=where, inputs=example.body.decode("utf-8", "replace"))
                )
                found["probe"] = {"work": begun, "of": asked}
            else:
                there = own(target, name)
                begun = works.prepare(_job(target, "put", name=there, model_uri=found["uri"], ours=found["made"]))
                found |= {"work": begun, "staged": True}
        works.begin(begun)
        raise UnderWay(f"{name} is being asked", SOON)

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        _refuse_functions()
        wanted = [name for name, percent in weights.items() if percent]
        begun: str | None = None
        listed = self._listed(target)
        with self._edited(target) as (book, works):
            if book["token"] != seen:
                raise Conflict(f"{target.name} changed since it was seen")
            if _is_moving(book, works):
                raise Transient(f"{target.name} is being changed", SOON)
            _forget_lost(book, works, target, listed)
            by_hand = _is_by_hand(book, works, target, listed)
            if by_hand and book["adopted"] is None:
                raise Conflict(f"{deployment(target)} was made by hand: `watcher adopt` lends it")
            live = _live(book, works, target, listed)
            for name in wanted:
                found = book["releases"].get(name)
                ready = found is not None and found["retiring"] is None
                if not ready or (name != live and _state(book, works, name)[0] is not State.READY):
                    raise Conflict(f"{name} is not ready")
            if len(wanted) > 1 or (wanted and weights[wanted[0]] != WHOLE):
                raise Terminal(f"a deployment of a plugin serves one release whole, not {dict(weights)}")
            if not wanted and (by_hand or book["adopted"] is not None):
                raise Terminal(f"{deployment(target)} was made by hand: it is not deleted")
            book["token"] = secrets.token_hex(8)
            begun = _switch(book, works, target, wanted[0] if wanted else None, live)
        if begun is not None:
            works.begin(begun)

    def retire(self, target: Target, name: str) -> None:
        _refuse_functions()
        failure: str | None = None
        with self._edited(target) as (book, works):
            found = book["releases"].get(name)
            if found is None:
                if name == deployment(target) and not book["ours"]:
                    raise Conflict(f"{name} was not made by this watcher: it is not deleted")
                return
            live = book["live"]
            if live is not None and name in (live["name"], live["before"]) and not _is_left_behind(works, live, name):
                raise Conflict(f"{name} is live")
            if found["retiring"] is not None:
                before = works.of(found["retiring"])
                if before.state in (RUNNING, DONE):
                    return
                failure = before.why
            elif works.of(found["work"]).state == RUNNING:
                raise Transient(f"{name} is still being made", SOON)
            elif not found["staged"] or not found["made"]:
                del book["releases"][name]
                return
            begun = works.prepare(_job(target, "delete", name=own(target, name)))
            found["retiring"] = begun
        works.begin(begun)
        if failure is not None:
            raise Transient(f"{name} could not be deleted: {failure}")

    def adopt(self, target: Target, version: Version) -> None:
        _refuse_functions()
        listed = self._listed(target)
        with self._edited(target) as (book, works):
            if not _is_by_hand(book, works, target, listed):
                raise Terminal(f"{deployment(target)} serves nothing that was made by hand: there is nothing to adopt.")
            book["adopted"], book["token"] = version.number, secrets.token_hex(8)

    def check(self, target: Target) -> Sequence[str]:
        try:
            _refuse_functions()
            book = self._read(target)
            if problem := _foreign(book, target):
                return [problem]
            if problem := _not_installed(target):
                return [problem]
            listed = self._looked(target)
        except (Transient, Terminal, UserError, OSError) as error:
            return [str(error)]
        by_hand = _is_by_hand(self._read(target), self._works(target), target, listed)
        if by_hand and book["adopted"] is None:
            return [f"{deployment(target)} was made by hand: `watcher adopt {target.key} --version N` lends it."]
        return []

    def _listed(self, target: Target) -> _Listed:
        """Deployments that the plugin lists, some time ago at most; asked for anew meanwhile.

        Raises Transient before the first answer, and where the last one was an error.
        """
        works, book = self._works(target), self._read(target)
        look = works.of(book["look"])
        if look.state == LOST or (look.state in (DONE, FAILED) and self._clock() > look.at + FRESH):
            begun = None
            with self._edited(target) as (there, _):
                if there["look"] == book["look"]:
                    begun = works.prepare(_job(target, "look"))
                    there["look"], there["looked"] = begun, book["look"] if look.state == DONE else None
                    if look.state == DONE:
                        _forget_lost(there, works, target, _Listed.by(look))
            if begun is not None:
                works.begin(begun)
            book = self._read(target)
        # The last answer that is there, while the next one is waited for.
        look, before = (works.of(book[key]) for key in ("look", "looked"))
        if look.state in (RUNNING, LOST) and before.state == DONE:
            look = before
        if look.state == FAILED:
            raise Transient(f"the plugin cannot list its deployments: {look.why}")
        if look.state != DONE:
            raise Transient("the plugin is asked for its deployments", SOON)
        return _Listed.by(look)

    def _looked(self, target: Target) -> _Listed:
        """As `_listed`, waited for: a person asked."""
        ends = self._clock() + CHECKED
        while True:
            try:
                return self._listed(target)
            except Transient as error:
                if error.retry_after is None or self._clock() > ends:
                    raise
                time.sleep(0.1)

    def _works(self, target: Target) -> Works:
        return Works(_folder(target) / "work", self._run, self._clock)

    def _read(self, target: Target) -> Json:
        """The place's document, with what operations have made by now."""
        book = read(_folder(target) / "place.json")
        if book is None:
            return _new(target)
        if book.get("format") != FORMAT:
            raise Terminal(f"{_folder(target)} was written by another version of the watcher")
        works = self._works(target)
        live = book["live"] or {"name": "", "work": None}
        switch = works.of(live["work"])
        book["ours"] = (book["ours"] or switch.made) and not (live["name"] is None and switch.state == DONE)
        for each in book["releases"].values():
            each["made"] = each["made"] or works.of(each["work"]).made
        return book

    @contextmanager
    def _edited(self, target: Target) -> Iterator[tuple[Json, Works]]:
        """The place's document under its lock, written where the block ends well. Raises Terminal for another's."""
        folder = _folder(target)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Transient(f"{folder} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            book, works = self._read(target), self._works(target)
            if problem := _foreign(book, target):
                raise Terminal(problem)
            yield book, works
            for name in [name for name, each in book["releases"].items() if _is_gone(works, each)]:
                del book["releases"][name]
            replace(folder / "place.json", book)
            works.forget(_spoken_of(book))
        except OSError as error:
            raise Transient(f"{folder} cannot be written: {error.strerror}") from error
        finally:
            os.close(lock)


def build(tracking_uri: str | None) -> Deployer:
    """The deployer of `mlflow-plugin` targets. Plugins find models by way of the tracking URI."""
    return PluginDeployer(tracking_uri)


def _state(book: Mapping[str, Any], works: Works, name: str) -> tuple[State | None, str]:
    """How far a release is, None where its process died or met another's, and it has to be launched again; why."""
    found, live = book["releases"][name], book["live"]
    switch = works.of(live["work"]) if live is not None and live["name"] == name else Work(DONE)
    if switch.state == FAILED and not switch.met:
        return State.FAILED, switch.why
    work = works.of(found["work"])
    if work.met:
        return None, ""
    if work.state == DONE:
        return State.READY, ""
    if work.state == LOST:
        died = f"the plugin's process was ended {MOST_TRIES} times before it was through"
        return (State.FAILED, died) if found["tries"] >= MOST_TRIES else (None, "")
    return (State.STARTING, "") if work.state == RUNNING else (State.FAILED, work.why)


def _switch(book: Json, works: Works, target: Target, wanted: str | None, live: str | None) -> str | None:
    """The operation that makes it so; None where it is so already."""
    if wanted == live and (wanted is not None or book["live"] is None):
        return None
    _leave(book, works)
    name = deployment(target)
    if wanted is None:
        work = works.prepare(_job(target, "delete", name=name))
    else:
        found = book["releases"][wanted]
        staged = own(target, wanted) if found["staged"] else None
        book["ours"] = book["ours"] or book["adopted"] is not None
        work = works.prepare(
            _job(target, "put", name=name, model_uri=found["uri"], ours=book["ours"], then_delete=staged)
        )
    book["live"] = {"name": wanted, "work": work, "before": live}
    return work


def _leave(book: Json, works: Works) -> None:
    """Move away from what the place was switched to: that one's own deployment was deleted then."""
    was = book["live"]
    if was is not None and was["name"] is not None and works.of(was["work"]).state == DONE:
        book["releases"].get(was["name"], {})["staged"] = False


def _forget_lost(book: Json, works: Works, target: Target, listed: _Listed) -> None:
    """A place's deployment that is gone is nobody's: who makes it anew by hand owns it."""
    if book["live"] is not None and _is_lost(book, works, target, listed):
        _leave(book, works)
        book |= {"live": None, "ours": False, "adopted": None}


def _is_lost(book: Json, works: Works, target: Target, listed: _Listed) -> bool:
    work = works.of(book["live"]["work"])
    return work.state == DONE and deployment(target) not in listed.names and listed.at > work.ended


def _is_by_hand(book: Json, works: Works, target: Target, listed: _Listed) -> bool:
    """Whether the place's deployment is another's: as the plugin lists it, or as a switch met it since."""
    switch = works.of((book["live"] or {}).get("work"))
    return not book["ours"] and (deployment(target) in listed.names or (switch.met and switch.ended >= listed.at))


def _live(book: Json, works: Works, target: Target, listed: _Listed) -> str | None:
    """What is known to serve; nothing where the last change was cut short, or somebody deleted the deployment."""
    live = book["live"]
    if live is None:
        return None
    work = works.of(live["work"])
    if work.state == RUNNING:
        return str(live["before"]) if live["before"] else None
    serves = live["name"] and work.state == DONE and not _is_lost(book, works, target, listed)
    return str(live["name"]) if serves else None


def _is_moving(book: Json, works: Works) -> bool:
    return book["live"] is not None and works.of(book["live"]["work"]).state == RUNNING


def _is_left_behind(works: Works, live: Mapping[str, Any], name: str) -> bool:
    """Whether the place has been moved away from a release, or what it was to be moved to was never reached."""
    state = works.of(live["work"]).state
    return state != RUNNING if name == live["before"] else state in (FAILED, LOST)


def _seen(book: Json, works: Works, target: Target, name: str, listed: _Listed) -> SeenRelease | None:
    """A release, None where it is being deleted or has to be launched again."""
    found = book["releases"][name]
    if found["retiring"] is not None and works.of(found["retiring"]).state in (RUNNING, DONE):
        return None
    state, why = _state(book, works, name)
    work = works.of(found["work"])
    live = book["live"] is not None and book["live"]["name"] == name
    gone = work.state == DONE and own(target, name) not in listed.names and listed.at > work.ended
    if state is None or (state is State.READY and gone and found["staged"] and not live):
        return None
    nothing = Traffic(available=False)
    return SeenRelease(name, found["version"], found["key"], state, ours=True, detail=why, traffic=nothing)


def _is_gone(works: Works, found: Mapping[str, Any]) -> bool:
    return found["retiring"] is not None and works.of(found["retiring"]).state == DONE


def _spoken_of(book: Mapping[str, Any]) -> set[str]:
    """Operations that the document names."""
    found = {book["look"], book["looked"], (book["live"] or {}).get("work")}
    for each in book["releases"].values():
        found |= {each["work"], each["retiring"], (each["probe"] or {}).get("work")}
    return found - {None}


def _new(target: Target) -> Json:
    return {
        "format": FORMAT, "owner": target.owner, "model": target.model, "token": "absent", "live": None, "ours": False,
        "adopted": None, "releases": {}, "look": None, "looked": None,
    }  # fmt: skip


def _foreign(book: Mapping[str, Any], target: Target) -> str | None:
    if (book["owner"], book["model"]) == (target.owner, target.model):
        return None
    return plain(f"The deployment is the owner {book['owner']}'s, for the model {book['model']}.", 500)


def _job(target: Target, do: str, **more: Any) -> Json:
    settings = target.settings
    return {
        "do": do, "plugin": settings["plugin"], "config": dict(settings.get("config") or {}),
        "flavor": settings.get("flavor"), "endpoint": settings.get("endpoint"), **more,
    }  # fmt: skip


def _folder(target: Target) -> Path:
    digest = hashlib.sha256(place(target.kind, target.settings).encode()).hexdigest()[:16]
    return Path(str(target.settings.get("state") or "state/plugins")) / f"{deployment(target)}-{digest}"


def _by_name(target: Target) -> bool:
    return bool(target.settings.get("model_uri") == "registry")


def _not_installed(target: Target) -> str | None:
    """One sentence where no plugin for the target is installed."""
    from mlflow.deployments.interface import plugin_store

    plugin_store.register_entrypoints()
    scheme = str(target.settings["plugin"]).partition(":")[0]
    if scheme in plugin_store.registry:
        return None
    there = ", ".join(sorted(plugin_store.registry))
    return f"No MLflow deployments plugin for {plain(scheme)!r} is installed here; there are {there}."


def _refuse_functions() -> None:
    if os.environ.get(FUNCTIONS):
        raise Terminal(REFUSED)


__all__ = ["SHAPE", "PluginDeployer", "build", "place"]
