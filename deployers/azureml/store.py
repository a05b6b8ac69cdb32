"""Files of a workspace's own store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deployers.azureml.trouble import Absent, translated
from watcher.retry import Retry

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

T = TypeVar("T")

BLOCK = 8 * 1024 * 1024
"""Bytes that are sent in one call; what was cut off goes on with the next of them."""
KEPT = 300.0
"""Seconds."""


class Store:
    """One container. Names are paths in it."""

    def __init__(self, connect: Callable[[], ContainerClient], retry: Retry) -> None:
        self._connect, self._retry = connect, retry
        self._kept: tuple[float, ContainerClient] | None = None

    def read(self, name: str, most: int) -> bytes | None:
        """What a file holds, at most so many bytes; None where there is none."""

        def read(container: ContainerClient) -> bytes:
            return bytes(container.download_blob(name, offset=0, length=most, max_concurrency=1).readall())

        try:
            return self._ask(f"read {name}", read)
        except Absent:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Replace a file."""
        self._ask(f"write {name}", lambda container: container.upload_blob(name, content, overwrite=True))

    def sizes(self, folder: str) -> dict[str, int]:
        """Path below a folder -> bytes, of the files that are there whole."""

        def listed(container: ContainerClient) -> dict[str, int]:
            found = container.list_blobs(name_starts_with=f"{folder}/")
            return {str(each.name).removeprefix(f"{folder}/"): int(each.size) for each in found}

        return self._ask(f"list {folder}", listed)

    def upload(self, name: str, file: Path, go_on: Callable[[int], bool]) -> bool:
        """Send a file; whether it is there whole. `go_on` is asked before each block, with the bytes that are there.

        A block is known by what is in it, so those that are there already are not sent again, whoever sent them.
        """
        size = file.stat().st_size
        with file.open("rb") as content:
            if size <= BLOCK:
                if not go_on(0):
                    return False
                self.write(name, content.read())
                return True
            there, sent = self._staged(name), list[str]()
            for number, block in enumerate(iter(lambda: content.read(BLOCK), b"")):
                block_id = f"{number:06}-{hashlib.blake2b(block, digest_size=16).hexdigest()}"
                if block_id not in there:
                    if not go_on(number * BLOCK):
                        return False
                    self._stage(name, block_id, block)
                sent.append(block_id)
        self._commit(name, sent)
        return True

    def _staged(self, name: str) -> set[str]:
        def staged(container: ContainerClient) -> set[str]:
            _, uncommitted = container.get_blob_client(name).get_block_list("uncommitted")
            return {str(each.id) for each in uncommitted}

        try:
            return self._ask(f"read what is there of {name}", staged)
        except Absent:
            return set()

    def _stage(self, name: str, block_id: str, block: bytes) -> None:
        def stage(container: ContainerClient) -> None:
            container.get_blob_client(name).stage_block(block_id, block, length=len(block))

        self._ask(f"upload {name}", stage)

    def _commit(self, name: str, block_ids: list[str]) -> None:
        def commit(container: ContainerClient) -> None:
            from azure.storage.blob import BlobBlock

            container.get_blob_client(name).commit_block_list([BlobBlock(each) for each in block_ids])

        self._ask(f"upload {name}", commit)

    def _ask(self, doing: str, call: Callable[[ContainerClient], T]) -> T:
        """One call, tried again where that may help. Raises Absent, and what else `translated` makes of it."""

        def once() -> T:
            with translated(doing):
                return call(self._container())

        return self._retry(once)

    def _container(self) -> ContainerClient:
        """The container, asked for anew before its signature may have run out."""
        known = self._kept
        if known is None or time.monotonic() > known[0] + KEPT:
            known = self._kept = (time.monotonic(), self._connect())
        return known[1]
