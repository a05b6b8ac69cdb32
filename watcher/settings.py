"""The user's file as frozen values, already checked by `config.py`. Durations in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watcher.policy import Policy
from watcher.values import Mode, Rollout, Target


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    uri: str
    tracking_uri: str
    marks: str = "auto"
    """`auto`, `alias` or `tag`."""


@dataclass(frozen=True, slots=True)
class Poll:
    changes: float = 60.0
    marks: float = 60.0
    evidence: float = 60.0
    resync: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Limits:
    rollouts_at_once: int = 3


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
    targets: tuple[Mapping[str, object], ...]
    """As written, `name` and `kind` always present, `{model}` and `{model_slug}` not yet filled in."""


@dataclass(frozen=True, slots=True)
class Settings:
    owner: str
    registry: RegistrySettings
    ledger: str
    policies: Mapping[str, Policy]
    rollouts: Mapping[str, Rollout]
    models: tuple[ModelRule, ...]
    poll: Poll = field(default_factory=Poll)
    limits: Limits = field(default_factory=Limits)
    folder: Path = Path()
    """Where the file lies; relative paths in it start here."""
