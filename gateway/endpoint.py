"""One public port with its releases, weights and token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from gateway.balance import Balance
from gateway.mirror import Copy, Mirror
from gateway.release import Release
from gateway.spec import EndpointSpec, ReleaseSpec
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
        self.mirror: Mirror | None = None
        self._balance = Balance({})

    def choose(self) -> Release | None:
        name = self._balance.next()
        return self.releases.get(name) if name is not None else None

    def copy(self) -> Copy | None:
        return self.mirror.copy() if self.mirror is not None else None

    def set_weights(self, weights: Mapping[str, int], token: str) -> None:
        """From here on; counts start again with the new token, and nothing is mirrored any more."""
        self.weights = dict(weights)
        self._balance = Balance(weights)
        self.set_mirror(None, token)

    def set_mirror(self, mirror: Mirror | None, token: str) -> None:
        """From here on; counts start again with the new token."""
        self.end_mirror()
        self.mirror = mirror
        self.token = token
        for release in self.releases.values():
            release.stats = Stats()

    def end(self, release: Release) -> None:
        """Drain it and remove its files, after all earlier ones of its name: they share the folder."""
        earlier = self.ending.get(release.name)

        async def end() -> None:
            if earlier is not None:
                await asyncio.wait((earlier,))
            await release.stop(forget=True)

        def ended(task: asyncio.Task[None]) -> None:
            if self.ending.get(release.name) is task:
                del self.ending[release.name]

        task = self.ending[release.name] = asyncio.get_running_loop().create_task(end())
        task.add_done_callback(ended)

    def end_mirror(self) -> None:
        """Nothing more is mirrored."""
        if self.mirror is not None:
            self.mirror.end()
        self.mirror = None

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
            "mirror": self.mirror.told() if self.mirror is not None else None,
            "problem": self.problem,
            "releases": {name: release.told() for name, release in self.releases.items()},
        }

    def stored(self, instead: Mapping[str, ReleaseSpec | None] | None = None) -> dict[str, Any]:
        """What is kept of it, with these releases instead (None: without them)."""
        spec, mirror = self.spec, self.mirror
        releases = {name: release.spec for name, release in self.releases.items()} | dict(instead or {})
        mirrored = mirror is not None and releases.get(mirror.release.name) is not None
        return {
            "host": spec.host,
            "port": spec.port,
            "owner": spec.owner,
            "model": spec.model,
            "token": self.token,
            "weights": self.weights,
            "mirror": {mirror.release.name: mirror.percent} if mirror is not None and mirrored else {},
            "releases": {name: wanted.told() for name, wanted in releases.items() if wanted is not None},
        }
