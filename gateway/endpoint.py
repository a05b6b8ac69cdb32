"""One public port with its releases, weights and token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from gateway.balance import Balance
from gateway.release import Release
from gateway.spec import EndpointSpec
from gateway.stats import Stats


def new_token() -> str:
    """Random, so that no two states of an endpoint share one."""
    return secrets.token_hex(8)


class Endpoint:
    """What is persisted of it is `stored`; everything else is made again at a restart."""

    def __init__(self, spec: EndpointSpec) -> None:
        self.spec = spec
        self.releases: dict[str, Release] = {}
        self.weights: dict[str, int] = {}
        self.token = new_token()
        self.server: asyncio.Server | None = None
        self.problem: str | None = None
        """Why nobody can connect, None where all is well."""
        self.ending: dict[str, asyncio.Task[None]] = {}
        """Releases that are being drained, by name: their successors of the same name wait for them."""
        self._balance = Balance({})

    def choose(self) -> Release | None:
        name = self._balance.next()
        return self.releases.get(name) if name is not None else None

    def set_weights(self, weights: Mapping[str, int], token: str) -> None:
        """From here on; counts start again with the new token."""
        self.weights = dict(weights)
        self.token = token
        self._balance = Balance(weights)
        for release in self.releases.values():
            release.stats = Stats()

    def told(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "name": spec.name,
            "host": spec.host,
            "port": spec.port,
            "owner": spec.owner,
            "model": spec.model,
            "token": self.token,
            "weights": self.weights,
            "problem": self.problem,
            "releases": {name: release.told() for name, release in self.releases.items()},
        }

    def stored(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "host": spec.host,
            "port": spec.port,
            "owner": spec.owner,
            "model": spec.model,
            "token": self.token,
            "weights": self.weights,
            "releases": {name: release.spec.told() for name, release in self.releases.items()},
        }
