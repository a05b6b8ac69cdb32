"""Folders as Arrow file systems, local or in an object store."""

from __future__ import annotations

from typing import Any

from scoring import documents


def file_system(uri: str) -> Any:
    """The folder at `uri`; paths within it are relative."""
    from pyarrow import fs

    if not documents.is_remote(uri):
        return fs.SubTreeFileSystem(str(documents.local(uri).absolute()), fs.LocalFileSystem())
    from deltalake.fs import DeltaStorageHandler

    return fs.PyFileSystem(DeltaStorageHandler(uri))
