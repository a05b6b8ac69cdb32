"""Files of a workspace's own store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployers.azureml.trouble import Absent, translated
from watcher.retry import Retry

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

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

        def once() -> bytes:
            with translated(f"read {name}"):
                return bytes(self._container().download_blob(name, offset=0, length=most, max_concurrency=1).readall())

        try:
            return self._retry(once)
        except Absent:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Replace a file."""

        def once() -> None:
            with translated(f"write {name}"):
                self._container().upload_blob(name, content, overwrite=True)

        self._retry(once)

    def sizes(self, folder: str) -> dict[str, int]:
        """Path below a folder -> bytes, of the files that are there whole."""

        def once() -> dict[str, int]:
            with translated(f"list {folder}"):
                found = self._container().list_blobs(name_starts_with=f"{folder}/")
                return {str(each.name).removeprefix(f"{folder}/"): int(each.size) for each in found}

        return self._retry(once)

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
        def once() -> set[str]:
            with translated(f"read what is there of {name}"):
                _, uncommitted = self._container().get_blob_client(name).get_block_list("uncommitted")
                return {str(each.id) for each in uncommitted}

        try:
            return self._retry(once)
        except Absent:
            return set()

    def _stage(self, name: str, block_id: str, block: bytes) -> None:
        def once() -> None:
            with translated(f"upload {name}"):
                self._container().get_blob_client(name).stage_block(block_id, block, length=len(block))

        self._retry(once)

    def _commit(self, name: str, block_ids: list[str]) -> None:
        def once() -> None:
            from azure.storage.blob import BlobBlock

            with translated(f"upload {name}"):
                self._container().get_blob_client(name).commit_block_list([BlobBlock(each) for each in block_ids])

        self._retry(once)

    def _container(self) -> Any:
        """The container, asked for anew before its signature may have run out."""
        known = self._kept
        if known is None or time.monotonic() > known[0] + KEPT:
            known = self._kept = (time.monotonic(), self._connect())
        return known[1]
