"""The user's file as frozen values, already checked by `config.py`. Durations in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watcher.news import DEFAULT, News
from watcher.policy import Policy
from watcher.values import Mode, Rollout, Target


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Where the models are registered."""

    uri: str = field(repr=False)
    """May hold a password that came from the environment, so it is never part of a message."""
    tracking_uri: str = field(repr=False)
    marks: str = "auto"
    """`auto`, `alias` or `tag`."""


@dataclass(frozen=True, slots=True)
class Poll:
    """How often is looked, in seconds."""

    changes: float = 60.0
    marks: float = 60.0
    evidence: float = 60.0
    resync: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may happen at once."""

    rollouts_at_once: int = 3


@dataclass(frozen=True, slots=True)
class Notify:
    """Who is notified of what."""

    urls: tuple[str, ...] = field(default=(), repr=False)
    """Addresses as Apprise takes them: secrets, so they are never part of a message."""
    events: frozenset[News] = frozenset(DEFAULT)


@dataclass(frozen=True, slots=True)
class Watched:
    """Everything the settings say about one model."""

    name: str
    mode: Mode
    policy: Policy
    rollout: Rollout
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class ModelRule:
    """One entry of `models:`; exactly one of `name` and `match` is set."""

    name: str | None
    match: str | None
    mode: Mode
    policy: str
    rollout: str
    targets: tuple[Mapping[str, object], ...] = field(repr=False)
    """As written, `name` and `kind` always present, `{model}` and `{model_slug}` not yet filled in."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in the user's file."""

    owner: str
    registry: RegistrySettings
    ledger: str = field(repr=False)
    policies: Mapping[str, Policy]
    rollouts: Mapping[str, Rollout]
    models: tuple[ModelRule, ...]
    poll: Poll = field(default_factory=Poll)
    limits: Limits = field(default_factory=Limits)
    notify: Notify = field(default_factory=Notify)
    folder: Path = Path()
    """Where the file lies; relative paths in it start here."""
