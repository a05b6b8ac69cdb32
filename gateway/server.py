"""The process that serves: every public port, the admin socket, and the life of every release."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway import control, paths, processes, spec, stored
from gateway import limits as limits_
from gateway.admin import AdminConnection
from gateway.connection import HttpConnection, sweep
from gateway.endpoint import Endpoint, new_token
from gateway.environments import Environments
from gateway.errors import (
    CHANGED,
    LIVE,
    NOT_READY,
    OTHER_IDENTITY,
    OTHER_OWNER,
    PORT_TAKEN,
    GatewayError,
    Refused,
    no_room,
)
from gateway.files import bound_log, is_full
from gateway.front import FrontConnection
from gateway.mirror import Mirror
from gateway.nursery import Nursery
from gateway.processes import Card
from gateway.release import FAILED, READY, Release, Surroundings
from gateway.sockets import Sockets
from gateway.supervisor import start_successor
from gateway.zygote import NONCE

log = logging.getLogger(__name__)
ORPHANED = 0.2
"""Seconds between looks at whether the supervisor is there."""
SUCCESSION = 60.0
"""Seconds in which its successor must serve."""
UPKEEP = 5.0
"""Seconds between looks at logs, strays and ports that could not be had."""


class Gateway:
    """All endpoints of one home. Whatever is written is on disk before it is answered."""

    def __init__(self, home: paths.Home, host: str, sockets: Sockets) -> None:
        self.home = home
        self.host = host
        self.sockets = sockets
        self.limits = limits_.load(home.limits)
        self.nursery = Nursery(home, self.limits)
        self.around = Surroundings(home, self.limits, self.nursery, Environments(home.envs, self.limits.build))
        self.endpoints: dict[str, Endpoint] = {}
        self.peers: set[HttpConnection] = set()
        self.admins: set[HttpConnection] = set()
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._admin: asyncio.Server | None = None

    # The admin socket's verbs

    def state(self) -> dict[str, Any]:
        return {
            "format": stored.FORMAT,
            "supervisor": os.getppid(),
            "endpoints": {name: endpoint.told() for name, endpoint in self.endpoints.items()},
        }

    async def put_endpoint(self, name: str, body: Mapping[str, Any]) -> Endpoint:
        """Create it, or move it to another port. Refused (409): another owner, another model, a port in use."""
        wanted = spec.endpoint(name, body, self.host)
        async with self._writing:
            found = self.endpoints.get(name)
            if found is not None and (found.spec.owner, found.spec.model) != (wanted.owner, wanted.model):
                raise _other_owner(found)
            if found is not None and found.spec == wanted and found.server is not None:
                return found
            taken = next(
                (e for e in self.endpoints.values() if e is not found and _place(e.spec) == _place(wanted)), None
            )
            if taken is not None:
                raise Refused(
                    409, f"The endpoint {taken.spec.name} already serves on {wanted.host}:{wanted.port}.", PORT_TAKEN
                )
            listener = await self.sockets.listen(wanted.host, wanted.port)
            endpoint = found or Endpoint(wanted)
            before, endpoint.spec = endpoint.spec, wanted
            try:
                await self._save({name: endpoint.stored()})
            except Refused:
                endpoint.spec = before
                listener.close()
                if found is None or _place(before) != _place(wanted):
                    await self.sockets.close(wanted.host, wanted.port)
                raise
            self.endpoints[name] = endpoint
            old, endpoint.server = endpoint.server, None
            if old is not None:
                old.close()
            if _place(before) != _place(wanted):
                await self.sockets.close(before.host, before.port)
            await self._serve(endpoint, listener)
            return endpoint

    async def put_release(self, name: str, release: str, body: Mapping[str, Any]) -> Release:
        """Launch it. Refused (409): another identity or owner under the same name."""
        wanted = spec.release(release, body)
        async with self._writing:
            endpoint = self.endpoint(name)
            if (endpoint.spec.owner, endpoint.spec.model) != (wanted.owner, wanted.model):
                raise _other_owner(endpoint)
            found = endpoint.releases.get(release)
            if found is not None:
                if (found.spec.key, found.spec.version) != (wanted.key, wanted.version):
                    raise Refused(
                        409, f"The release {release} is of {found.spec.key}, not of {wanted.key}.", OTHER_IDENTITY
                    )
                if found.spec.memory != wanted.memory:
                    changed = replace(found.spec, memory=wanted.memory)
                    await self._save({name: endpoint.stored({release: changed})})
                    found.spec = changed
                if not (found.ended and found.state == FAILED):
                    return found
            made = Release(self.around, name, wanted)
            await self._save({name: endpoint.stored({release: wanted})})
            endpoint.releases[release] = made
            if endpoint.mirror is not None and endpoint.mirror.release is found:
                endpoint.mirror.release = made
            ending = endpoint.ending.get(release)
            if ending is None:
                made.start()
            else:
                ending.add_done_callback(lambda _: made.start() if endpoint.releases.get(release) is made else None)
            return made

    async def put_weights(self, name: str, body: Mapping[str, Any]) -> Endpoint:
        """Compare and write. Refused (409): the token is another one, or a release named is not ready."""
        wanted, seen = spec.weights(body)
        async with self._writing:
            endpoint = self.endpoint(name)
            if endpoint.token != seen:
                raise _changed()
            for release in wanted:
                _ready(endpoint, release)
            token = new_token()
            await self._save({name: {**endpoint.stored(), "weights": wanted, "mirror": {}, "token": token}})
            endpoint.set_weights(wanted, token)
            return endpoint

    async def put_mirror(self, name: str, body: Mapping[str, Any]) -> Endpoint:
        """Compare and write. Refused (409): the token is another one, or the release is not ready, or has traffic."""
        wanted, percent, seen = spec.mirror(body)
        async with self._writing:
            endpoint = self.endpoint(name)
            if endpoint.token != seen:
                raise _changed()
            mirror = Mirror(_ready(endpoint, wanted), percent, self.limits) if wanted is not None else None
            if wanted is not None and endpoint.weights.get(wanted):
                raise _live(endpoint, wanted)
            token = new_token()
            kept = {wanted: percent} if wanted is not None else {}
            await self._save({name: {**endpoint.stored(), "mirror": kept, "token": token}})
            endpoint.set_mirror(mirror, token)
            return endpoint

    async def delete_release(self, name: str, release: str) -> None:
        """Take it away; requests in flight are answered first. Absent: nothing to do. Refused (409): it is live."""
        async with self._writing:
            endpoint = self.endpoints.get(name)
            found = endpoint.releases.get(release) if endpoint else None
            if endpoint is None or found is None:
                return
            if endpoint.weights.get(release):
                raise _live(endpoint, release)
            await self._save({name: endpoint.stored({release: None})})
            if endpoint.mirror is not None and endpoint.mirror.release is found:
                endpoint.end_mirror()
            del endpoint.releases[release]
            endpoint.end(found)

    async def delete_endpoint(self, name: str) -> None:
        """Give its port back. Absent: nothing to do. Refused (409): it has releases."""
        async with self._writing:
            found = self.endpoints.get(name)
            if found is None:
                return
            if found.releases:
                raise Refused(409, f"The endpoint {name} has releases.", LIVE)
            await self._save({name: None})
            del self.endpoints[name]
            if found.server is not None:
                found.server.close()
            await self.sockets.close(found.spec.host, found.spec.port)

    def endpoint(self, name: str) -> Endpoint:
        found = self.endpoints.get(name)
        if found is None:
            raise Refused(404, f"There is no endpoint {name[:100]}.")
        return found

    def release(self, name: str, release: str) -> Release:
        found = self.endpoint(name).releases.get(release)
        if found is None:
            raise Refused(404, f"There is no release {release[:100]} on {name}.")
        return found

    # Life

    async def run(self, stop: asyncio.Event) -> None:
        """Take up what an earlier server left, serve, and end everything when told to."""
        loop = asyncio.get_running_loop()
        admin = await self.sockets.listen_unix(str(self.home.admin))
        await self._restore()
        self.nursery.start()
        self._admin = await loop.create_unix_server(
            lambda: AdminConnection(self.limits, loop, self.admins, self), sock=admin
        )
        upkeep = loop.create_task(self._upkeep())
        self._tasks |= {upkeep, *map(loop.create_task, (sweep(self.peers), sweep(self.admins), self._succeed(upkeep)))}
        await stop.wait()
        await self._end()

    async def _restore(self) -> None:
        running = [card for card in processes.cards(self.home.run) if card.nonce != NONCE]
        for kept in stored.load(self.home.state, self.host):
            endpoint = Endpoint(kept.spec)
            self.endpoints[kept.spec.name] = endpoint
            for wanted in kept.releases:
                made = Release(self.around, kept.spec.name, wanted)
                endpoint.releases[wanted.name] = made
                adopted = next((card for card in running if _is_of(card, made) and processes.alive(card)), None)
                made.start(adopted=adopted, once_ready=wanted.name in kept.weights)
            # The counts start again, so the token must not be the one that they were kept under.
            endpoint.set_weights(kept.weights, new_token())
            mirrored, percent = kept.mirror
            if mirrored is not None:
                endpoint.set_mirror(Mirror(endpoint.releases[mirrored], percent, self.limits), new_token())
        try:
            await self._save({})
        except Refused as error:
            log.warning("%s", error)  # nothing of it has changed but the tokens, which are made anew each time
        await asyncio.to_thread(self._tidy)
        for endpoint in self.endpoints.values():
            await self._listen(endpoint)

    def _tidy(self) -> None:
        """Remove the files of releases that are not there any more."""
        for folder in self.home.releases.glob("*/*"):
            endpoint = self.endpoints.get(folder.parent.name)
            if endpoint is None or folder.name not in endpoint.releases:
                shutil.rmtree(folder, ignore_errors=True)

    async def _listen(self, endpoint: Endpoint) -> None:
        try:
            await self._serve(endpoint, await self.sockets.listen(endpoint.spec.host, endpoint.spec.port))
        except Refused as error:
            endpoint.problem = error.message

    async def _serve(self, endpoint: Endpoint, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        endpoint.server = await loop.create_server(
            lambda: FrontConnection(self.limits, loop, self.peers, endpoint), sock=listener
        )
        endpoint.problem = None

    async def _save(self, instead: Mapping[str, Any]) -> None:
        """On disk what there is, with these endpoints instead (None: without them).

        Done before anything changes here, so that nothing is half done where it is Refused (507: the disk is full).
        """
        now = {name: endpoint.stored() for name, endpoint in self.endpoints.items()} | dict(instead)
        kept = {name: told for name, told in now.items() if told is not None}
        try:
            await asyncio.to_thread(stored.save, self.home.state, kept)
        except OSError as error:
            why = error.strerror or type(error).__name__
            if is_full(error):
                raise Refused(507, no_room(self.home.path, why)) from error
            raise Refused(500, f"{self.home.state} cannot be written: {why}.") from error

    async def _upkeep(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP)
            bound_log(self.home.log, self.limits.log)
            wanted = {NONCE}
            for endpoint in self.endpoints.values():
                async with self._writing:
                    if endpoint.server is None:
                        await self._listen(endpoint)
                for release in endpoint.releases.values():
                    wanted.add(release.nonce)
                    bound_log(release.folder / "log", self.limits.log)
                if endpoint.ending:
                    break
            else:
                for card in processes.cards(self.home.run):
                    if card.nonce not in wanted:
                        await self.nursery.end(card)

    async def _succeed(self, upkeep: asyncio.Task[None]) -> None:
        """When the supervisor was killed: start another, serve until its own server does, and leave it the workers.

        Orders wait meanwhile, for that server alone decides from here on. Where there is no successor, this ends at
        once: another gateway may want the ports.
        """
        parent = os.getppid()
        while os.getppid() == parent:  # noqa: ASYNC110 - the system has no event for it
            await asyncio.sleep(ORPHANED)
        log.error("the supervisor is gone; another one is started")
        upkeep.cancel()
        await self._writing.acquire()  # for good
        self.nursery.let_go()
        for endpoint in self.endpoints.values():
            for release in endpoint.releases.values():
                release.let_go()
        if self._admin is not None:
            self._admin.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SUCCESSION
        with contextlib.suppress(OSError):
            successor = start_successor(self.home, self.host, self.sockets.held)
            while successor.poll() is None and loop.time() < deadline:
                if await asyncio.to_thread(control.answering, self.home, 1.0) == successor.pid:
                    await self._leave()
                    break
                await asyncio.sleep(0.05)
        os._exit(1)

    async def _leave(self) -> None:
        """Answer what is under way, and tell each client that the connection ends with it."""
        for endpoint in self.endpoints.values():
            if endpoint.server is not None:
                endpoint.server.close()
        for peer in self.peers:
            peer.leave()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limits.drain
        while self.peers and loop.time() < deadline:  # noqa: ASYNC110 - a count, looked at a few times
            await asyncio.sleep(0.02)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        servers = [endpoint.server for endpoint in self.endpoints.values()] + [self._admin]
        for server in servers:
            if server is not None:
                server.close()
        releases = [release for endpoint in self.endpoints.values() for release in endpoint.releases.values()]
        ending = [task for endpoint in self.endpoints.values() for task in endpoint.ending.values()]
        await asyncio.gather(*(release.stop(forget=False) for release in releases), *ending, return_exceptions=True)
        await self.nursery.stop()


def _is_of(card: Card, release: Release) -> bool:
    return (card.endpoint, card.release, card.key) == (release.endpoint, release.name, release.spec.key)


def _other_owner(found: Endpoint) -> Refused:
    return Refused(
        409, f"The endpoint {found.spec.name} serves {found.spec.model} for {found.spec.owner}.", OTHER_OWNER
    )


def _changed() -> Refused:
    return Refused(409, "The weights were written by somebody else since they were read.", CHANGED)


def _live(found: Endpoint, release: str) -> Refused:
    return Refused(409, f"The release {release} has {found.weights[release]} % of the traffic.", LIVE)


def _ready(found: Endpoint, name: str) -> Release:
    release = found.releases.get(name)
    if release is None or release.state != READY:
        raise Refused(409, f"The release {name} is {release.state if release else 'not there'}.", NOT_READY)
    return release


def _place(wanted: spec.EndpointSpec) -> tuple[str, int]:
    return wanted.host, wanted.port


def _raise_files() -> None:
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else 65_536, hard))


async def serve(home: paths.Home, host: str, line: socket.socket) -> None:
    """Until SIGTERM, or until the successor of a supervisor that was killed has a server of its own."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    await Gateway(home, host, Sockets(line)).run(stop)


class PlainMessages(logging.Formatter):
    """One line a message, without anything invisible: what a model says when it fails is in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging calls
        record.message = "".join(map(_shown, record.message))
        return super().formatMessage(record)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(PlainMessages("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def main() -> None:
    """`python -m gateway.server HOME HOST FD`; started by the supervisor only."""
    import uvloop

    _log_to_stderr()
    _raise_files()
    line = socket.socket(fileno=int(sys.argv[3]))
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(serve(paths.home(sys.argv[1]), sys.argv[2], line))
    except GatewayError as error:
        log.critical("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
