"""Whatever an MLflow deployments plugin can deploy to. Plugins block for up to an hour and split no traffic.

A place is one deployment by a fixed name. A release is first a deployment of its own, by which it is probed; then the
place's deployment is changed to its model. Each call of the plugin is an operation in a process of its own, and what
was asked for last stands in a document of this machine, since a plugin keeps no tags: it is the only memory there is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from deployers.mlflow_plugin.work import DONE, FAILED, LOST, RUNNING, Work, Works, read, replace, start
from watcher.errors import Conflict, Terminal, Transient, UserError
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
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
Json = dict[str, Any]


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
        names = self._names(target, book)
        live = self._live(target, book, names)
        releases = [seen for name in book["releases"] if (seen := self._seen(target, book, name, names)) is not None]
        deployment = _deployment(target)
        by_hand = deployment in names and not book["ours"]
        if by_hand:
            lent = book["adopted"] or 0
            releases.append(SeenRelease(deployment, lent, "", State.READY, ours=False))
        moving = self._moving(target, book)
        weights = {deployment: WHOLE} if by_hand and not moving else {live: WHOLE} if live else {}
        adopted = not by_hand or book["adopted"] is not None
        return Observed(tuple(releases), weights, book["token"], adopted, moving=moving)

    def launch(self, release: Release) -> None:
        _refuse_functions()
        target, version, name = release.target, release.version, release.name
        with self._edited(target) as (book, works):
            found = book["releases"].get(name)
            tries = 1
            if found is not None:
                if found["key"] != version.identity.key:
                    raise Conflict(f"{name} is there with another identity")
                if found["retiring"] is not None and works.of(found["retiring"]).state == RUNNING:
                    raise Transient(f"{name} is still being deleted", SOON)
                state = _state(book, works, name)[0]
                if found["retiring"] is None and state in (State.READY, State.STARTING):
                    return
                tries = found["tries"] + 1 if state is None else 1
                if book["live"] is not None and book["live"]["name"] == name:
                    book["live"] = None
            uri = f"models:/{version.identity.name}/{version.number}" if _by_name(target) else version.artifact_uri
            work = works.prepare(_job(target, "put", name=name, model_uri=uri))
            book["releases"][name] = {
                "version": version.number, "key": version.identity.key, "uri": uri, "work": work, "tries": tries,
                "staged": True, "retiring": None, "probe": None,
            }  # fmt: skip
        works.begin(work)

    def probe(self, release: Release, example: Example) -> Probe:
        """Ask the release's own deployment by the plugin's `predict`. `Transient` until that process is through."""
        _refuse_functions()
        target, name = release.target, release.name
        asked = hashlib.sha256(example.body).hexdigest()[:16]
        with self._edited(target) as (book, works):
            found = book["releases"].get(name)
            if found is None or found["retiring"] is not None or _state(book, works, name)[0] is not State.READY:
                raise Conflict(f"{name} is not ready")
            live = book["live"] is not None and book["live"]["name"] == name
            told = found["probe"] or {}
            work = works.of(told.get("work")) if told.get("of") == asked else Work(LOST)
            if work.state == RUNNING:
                raise Transient(f"{name} is being asked", SOON)
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
                where = _deployment(target) if live else name
                begun = works.prepare(
                    _job(target, "predict", name=where, inputs=example.body.decode("utf-8", "replace"))
                )
                found["probe"] = {"work": begun, "of": asked}
            else:
                begun = works.prepare(_job(target, "put", name=name, model_uri=found["uri"]))
                found |= {"work": begun, "staged": True}
        works.begin(begun)
        raise Transient(f"{name} is being asked", SOON)

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        _refuse_functions()
        wanted = [name for name, percent in weights.items() if percent]
        begun: str | None = None
        names = self._names(target, self._read(target))
        with self._edited(target) as (book, works):
            if book["token"] != seen:
                raise Conflict(f"{target.name} changed since it was seen")
            if self._moving(target, book):
                raise Transient(f"{target.name} is being changed", SOON)
            by_hand = _deployment(target) in names and not book["ours"]
            if by_hand and book["adopted"] is None:
                raise Conflict(f"{_deployment(target)} was made by hand: `watcher adopt` lends it")
            live = self._live(target, book, names)
            for name in wanted:
                found = book["releases"].get(name)
                ready = found is not None and found["retiring"] is None
                if not ready or (name != live and _state(book, works, name)[0] is not State.READY):
                    raise Conflict(f"{name} is not ready")
            if len(wanted) > 1 or (wanted and weights[wanted[0]] != WHOLE):
                raise Terminal(f"a deployment of a plugin serves one release whole, not {dict(weights)}")
            if by_hand and not wanted:
                raise Terminal(f"{_deployment(target)} was made by hand: it is not deleted")
            book["token"] = secrets.token_hex(8)
            begun = self._switch(target, book, works, wanted[0] if wanted else None, live)
        if begun is not None:
            works.begin(begun)

    def retire(self, target: Target, name: str) -> None:
        _refuse_functions()
        failure: str | None = None
        with self._edited(target) as (book, works):
            found = book["releases"].get(name)
            if found is None:
                if name == _deployment(target) and not book["ours"]:
                    raise Conflict(f"{name} was not made by this watcher: it is not deleted")
                return
            live = book["live"]
            if live is not None and name in (live["name"], live["before"]) and not self._left_behind(works, live, name):
                raise Conflict(f"{name} is live")
            if found["retiring"] is not None:
                before = works.of(found["retiring"])
                if before.state in (RUNNING, DONE):
                    return
                failure = before.why
            elif not found["staged"]:
                del book["releases"][name]
                return
            begun = works.prepare(_job(target, "delete", name=name))
            found["retiring"] = begun
        works.begin(begun)
        if failure is not None:
            raise Transient(f"{name} could not be deleted: {failure}")

    def adopt(self, target: Target, version: Version) -> None:
        _refuse_functions()
        names = self._names(target, self._read(target))
        with self._edited(target) as (book, _):
            if _deployment(target) not in names or book["ours"]:
                raise Terminal(
                    f"{_deployment(target)} serves nothing that was made by hand: there is nothing to adopt."
                )
            book["adopted"], book["token"] = version.number, secrets.token_hex(8)

    def check(self, target: Target) -> Sequence[str]:
        try:
            _refuse_functions()
            book = self._read(target)
            if problem := _foreign(book, target):
                return [problem]
            if problem := _not_installed(target):
                return [problem]
            names = self._looked(target)
        except (Transient, Terminal, UserError, OSError) as error:
            return [str(error)]
        if _deployment(target) in names and not book["ours"] and book["adopted"] is None:
            return [f"{_deployment(target)} was made by hand: `watcher adopt {target.key} --version N` lends it."]
        return []

    def _switch(self, target: Target, book: Json, works: Works, wanted: str | None, live: str | None) -> str | None:
        """The operation that makes it so; None where it is so already."""
        if wanted == live and (wanted is not None or book["live"] is None):
            return None
        was = book["live"]
        if was is not None and was["name"] is not None and works.of(was["work"]).state == DONE:
            # Its own deployment was deleted when the place's took its model.
            book["releases"].get(was["name"], {})["staged"] = False
        deployment = _deployment(target)
        if wanted is None:
            work = works.prepare(_job(target, "delete", name=deployment))
        else:
            found = book["releases"][wanted]
            staged = wanted if found["staged"] else None
            work = works.prepare(_job(target, "put", name=deployment, model_uri=found["uri"], then_delete=staged))
            book["ours"] = True
        book["live"] = {"name": wanted, "work": work, "before": live}
        return work

    def _live(self, target: Target, book: Json, names: set[str]) -> str | None:
        """What is known to serve; nothing where the last change was cut short, or somebody deleted the deployment."""
        live = book["live"]
        if live is None:
            return None
        work = self._works(target).of(live["work"])
        if work.state == RUNNING:
            return str(live["before"]) if live["before"] else None
        gone = _deployment(target) not in names and self._listed_at(target, book) > work.ended
        return str(live["name"]) if live["name"] and work.state == DONE and not gone else None

    def _moving(self, target: Target, book: Json) -> bool:
        return book["live"] is not None and self._works(target).of(book["live"]["work"]).state == RUNNING

    @staticmethod
    def _left_behind(works: Works, live: Mapping[str, Any], name: str) -> bool:
        """Whether the place has been moved away from a release, or what it was to be moved to was never reached."""
        state = works.of(live["work"]).state
        return state != RUNNING if name == live["before"] else state in (FAILED, LOST)

    def _seen(self, target: Target, book: Json, name: str, names: set[str]) -> SeenRelease | None:
        """A release, None where it is being deleted or has to be launched again."""
        works, found = self._works(target), book["releases"][name]
        if found["retiring"] is not None and works.of(found["retiring"]).state in (RUNNING, DONE):
            return None
        state, why = _state(book, works, name)
        work = works.of(found["work"])
        live = book["live"] is not None and book["live"]["name"] == name
        gone = work.state == DONE and name not in names and self._listed_at(target, book) > work.ended
        if state is None or (state is State.READY and gone and found["staged"] and not live):
            return None
        nothing = Traffic(available=False)
        return SeenRelease(name, found["version"], found["key"], state, ours=True, detail=why, traffic=nothing)

    def _names(self, target: Target, book: Json) -> set[str]:
        """Deployments that the plugin lists, some time ago at most; asked for anew meanwhile.

        Raises Transient before the first answer, and where the last one was an error.
        """
        look = self._works(target).of(book["look"])
        if look.state == LOST or (look.state in (DONE, FAILED) and self._clock() > look.at + FRESH):
            begun = None
            with self._edited(target) as (there, works):
                if there["look"] == book["look"]:
                    begun = works.prepare(_job(target, "look"))
                    there["look"], there["looked"] = begun, book["look"] if look.state == DONE else None
            if begun is not None:
                self._works(target).begin(begun)
            look = self._list(target, self._read(target))
        elif look.state == RUNNING:
            look = self._list(target, book)
        if look.state == FAILED:
            raise Transient(f"the plugin cannot list its deployments: {look.why}")
        if look.state != DONE:
            raise Transient("the plugin is asked for its deployments", SOON)
        return {str(name) for name in look.result.get("names") or ()}

    def _list(self, target: Target, book: Json) -> Work:
        """The last answer of the plugin that is there, while the next one is waited for."""
        look, before = (self._works(target).of(book[key]) for key in ("look", "looked"))
        return before if look.state in (RUNNING, LOST) and before.state == DONE else look

    def _listed_at(self, target: Target, book: Json) -> float:
        """When the list was asked for that `_names` gives."""
        return self._list(target, book).at

    def _looked(self, target: Target) -> set[str]:
        """As `_names`, waited for: a person asked."""
        ends = self._clock() + CHECKED
        while True:
            try:
                return self._names(target, self._read(target))
            except Transient as error:
                if error.retry_after is None or self._clock() > ends:
                    raise
                time.sleep(0.1)

    def _works(self, target: Target) -> Works:
        return Works(_folder(target) / "work", self._run, self._clock)

    @staticmethod
    def _read(target: Target) -> Json:
        found = read(_folder(target) / "place.json")
        if found is None:
            return _new(target)
        if found.get("format") != FORMAT:
            raise Terminal(f"{_folder(target)} was written by another version of the watcher")
        return found

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


def place(kind: str, settings: Mapping[str, Any]) -> str:
    """`mlflow-plugin:sagemaker:/us-west-2/churn`: the plugin's target and the deployment's name."""
    plugin, deployment = settings.get("plugin"), settings.get("deployment")
    if not isinstance(plugin, str) or not plugin:
        raise UserError("`plugin` must be the target URI that the plugin takes, such as sagemaker:/us-west-2.")
    if not isinstance(deployment, str) or not _NAME.fullmatch(deployment):
        raise UserError(
            "`deployment` must be a name of letters, digits and '-', at most 63, and begin with a letter or a digit,"
            f" not {plain(deployment)!r}."
        )
    return f"{kind}:{plugin}/{deployment}"


def _state(book: Mapping[str, Any], works: Works, name: str) -> tuple[State | None, str]:
    """How far a release is, None where its process died and it has to be launched again; why it failed."""
    found, live = book["releases"][name], book["live"]
    switch = works.of(live["work"]) if live is not None and live["name"] == name else Work(DONE)
    if switch.state == FAILED:
        return State.FAILED, switch.why
    work = works.of(found["work"])
    if work.state == DONE:
        return State.READY, ""
    if work.state == LOST:
        died = f"the plugin's process was ended {MOST_TRIES} times before it was through"
        return (State.FAILED, died) if found["tries"] >= MOST_TRIES else (None, "")
    return (State.STARTING, "") if work.state == RUNNING else (State.FAILED, work.why)


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
    return Path(str(target.settings.get("state") or "state/plugins")) / f"{_deployment(target)}-{digest}"


def _deployment(target: Target) -> str:
    return str(target.settings["deployment"])


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
