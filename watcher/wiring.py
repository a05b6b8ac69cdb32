"""The composition root: settings become ports. Used by the hosts (command line, Functions), by nothing else."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import deployers
from watcher import samples, telemetry
from watcher.errors import UserError
from watcher.gather import Sources
from watcher.messenger import AppriseMessenger
from watcher.outbox import Nobody, Outbox
from watcher.poll import Poller
from watcher.ports import Deployer, Evaluator, Ledger, Line, Stored
from watcher.reconcile import Loop
from watcher.settings import Settings, Watched
from watcher.telling import TellingLedger
from watcher.values import Marks, Status, Target, Version


@dataclass(frozen=True)
class App:
    """Everything built from one settings file."""

    settings: Settings
    registry: Any
    """Feed, Registry, Orders and Evidence in one adapter."""
    ledger: Ledger
    loop: Loop
    clock: Callable[[], float]

    def watched(self, model: str) -> Watched | None:
        """What the settings say about a model, None where they do not name it."""
        from watcher import config

        found = config.watched(self.settings, model, shapes=deployers.shape, place=deployers.place)
        return found and replace(found, targets=tuple(_with_environment(target) for target in found.targets))

    def shared_places(self, models: Sequence[str]) -> tuple[str, ...]:
        """One sentence for each place that two of these models would share."""
        from watcher import config

        return config.shared_places(self.settings, models, shapes=deployers.shape, place=deployers.place)

    def watches(self, model: str) -> bool:
        """Whether the settings speak of a model; where they contradict themselves its wake-up says so."""
        from watcher import config

        return config.is_watched(self.settings, model)

    def require_registry(self) -> None:
        """Raises UserError where the registry or the tracking store is a file that is not there."""
        from watcher.registry.client import absent

        registry = self.settings.registry
        for uri in (registry.uri, registry.tracking_uri):
            if problem := absent(uri):
                raise UserError(problem)

    def too_slow(self, target: Target) -> str | None:
        """Why no step of this target could ever start on this host, None where all can."""
        lease, deadline = self.deployer(target.kind).lease, self.loop.deadline
        if lease < deadline:
            return None
        return (
            f"A verb of kind {target.kind} may take {lease:g} s, and a wake-up on this host lasts {deadline:g} s at"
            " most: let it last longer, or watch this model from a host without such a limit."
        )

    def objections(self, target: Target, marks: Marks) -> tuple[str, ...]:
        """What would keep the model's champion or its newest version from serving there, one sentence each."""
        ask = deployers.objections(target.kind)
        if ask is None:
            return ()
        found: list[str] = []
        for number in sorted({number for number in (marks.champion, marks.newest) if number}):
            version = self.registry.version(target.model, number)
            if isinstance(version, Version) and version.status is Status.READY:
                said = ask(target.settings, self.registry.of(version))
                found += [f"Version {number} would fail there: {each}." for each in said]
        return tuple(found)

    def poller(self) -> Poller:
        named = tuple(rule.name for rule in self.settings.models if rule.name is not None)
        return Poller(self.registry, self.ledger, self.watches, named, self.clock)

    def trials(self) -> Evaluator:
        """An evaluator that shares nothing with the loop's: what is only tried costs no look at a holdout."""
        return _evaluators(self.settings, os.environ, trials=True)

    def deployer(self, kind: str) -> Deployer:
        return self.loop.sources.deployers[kind]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the ledger found out about its own file, and an operator must be told."""
        ledger = self.ledger.inner if isinstance(self.ledger, TellingLedger) else self.ledger
        return tuple(getattr(ledger, "notes", ()))


class Deployers(Mapping[str, Deployer]):
    """Deployers by kind, imported and built when first asked for."""

    def __init__(self, kinds: frozenset[str], tracking_uri: str) -> None:
        self._kinds, self._tracking_uri = kinds, tracking_uri
        self._built: dict[str, Deployer] = {}

    def __getitem__(self, kind: str) -> Deployer:
        if kind not in self._kinds:
            raise KeyError(kind)
        if kind not in self._built:
            self._built[kind] = deployers.load(kind)(self._tracking_uri)
        return self._built[kind]

    def __iter__(self) -> Any:
        return iter(sorted(self._kinds))

    def __len__(self) -> int:
        return len(self._kinds)


class LateLedger:
    """Opens the ledger when it is first used: what needs the registry alone works while the ledger is out of reach."""

    def __init__(self, opened: Callable[[], Ledger]) -> None:
        self._open = opened
        self._opened: Ledger | None = None
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(getattr(self._opened, "notes", ()))

    def load(self, key: str) -> Stored | None:
        return self._ledger().load(key)

    def save(
        self,
        key: str,
        body: Mapping[str, Any],
        unchanged: str | None,
        lines: Sequence[Line] = (),
        due: float | None = None,
    ) -> str:
        return self._ledger().save(key, body, unchanged, lines, due)

    def due(self, now: float) -> Sequence[str]:
        return self._ledger().due(now)

    def history(
        self,
        model: str | None = None,
        until: float | None = None,
        since: float | None = None,
        most: int = 1000,
        *,
        newest_first: bool = True,
        event: str | None = None,
        target: str | None = None,
    ) -> Sequence[Line]:
        return self._ledger().history(model, until, since, most, newest_first=newest_first, event=event, target=target)

    def _ledger(self) -> Ledger:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened


def load(
    path: Path,
    environ: Mapping[str, str] | None = None,
    tell: Callable[[Line], None] | None = None,
) -> App:
    """Read the settings and build everything. Raises UserError for a mistake in the file."""
    from watcher import config

    environ = os.environ if environ is None else environ
    return build(config.load(path, environ, shapes=deployers.shape, place=deployers.place), environ, tell)


def build(
    settings: Settings,
    environ: Mapping[str, str],
    tell: Callable[[Line], None] | None = None,
    clock: Callable[[], float] = time.time,
) -> App:
    """Build every port from settings; `tell` is called with each history line once it is written."""
    from watcher.ledger import open_ledger
    from watcher.registry.mlflow import build as build_registry

    registry = telemetry.Counted(build_registry(settings.registry, environ))
    ledger: Ledger = LateLedger(lambda: open_ledger(settings.ledger, settings.folder, environ))
    if tell is not None:
        ledger = TellingLedger(ledger, tell)
    kinds = frozenset(str(target["kind"]) for rule in settings.models for target in rule.targets)
    moved = Deployers(kinds, settings.registry.tracking_uri)
    sources = Sources(
        registry, registry, moved, samples.reader(settings.folder), evaluator=_evaluator(settings, environ)
    )
    worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    outbox = _outbox(settings, ledger, clock)
    loop = Loop(sources, ledger, settings.limits, clock, worker, settings.poll.evidence, outbox=outbox)
    return App(settings, registry, ledger, loop, clock)


def _outbox(settings: Settings, ledger: Ledger, clock: Callable[[], float]) -> Outbox | Nobody:
    if not settings.notify.urls:
        return Nobody()
    return Outbox(ledger, AppriseMessenger(settings.notify.urls), settings.notify.events, clock)


def _evaluator(settings: Settings, environ: Mapping[str, str]) -> Evaluator | None:
    """What scores on a holdout, None where no policy asks for it: then nothing of it is imported."""
    if all(policy.evaluate is None for policy in settings.policies.values()):
        return None
    return _evaluators(settings, environ)


def _evaluators(settings: Settings, environ: Mapping[str, str], *, trials: bool = False) -> Evaluator:
    """By the runner that each policy names."""
    from watcher.evaluators import local, remote
    from watcher.evaluators.by_runner import ByRunner

    uri = settings.registry.tracking_uri

    def build(runner: str) -> Evaluator:
        if runner in ("local", "spark"):
            return local.LocalEvaluator(settings.folder, uri, environ, local.TRIALS if trials else local.FOLDER)
        return remote.RemoteEvaluator(deployers.runs(runner), uri, environ, remote.TRIALS if trials else "")

    runners = {policy.evaluate.runner for policy in settings.policies.values() if policy.evaluate is not None}
    return ByRunner({runner: build(runner) for runner in sorted(runners)})


def _with_environment(target: Target) -> Target:
    """The target, with what its releases run in where the user's file does not say: the judge compares with it."""
    if "environment" in target.settings:
        return target
    found = deployers.environment(target.kind, target.settings)
    return replace(target, settings={**target.settings, "environment": found}) if found else target
