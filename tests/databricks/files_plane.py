"""Files of Unity Catalog volumes in the stand-in: a folder on disk, behind the Files API as databricks-sdk calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.databricks.refused import Refused

PAGE = 2
"""Entries of a listing before it names the next page."""


class Sent(bytes):
    """What a file holds, with the headers of its answer."""

    headers: dict[str, str]


@dataclass
class Files:
    """Everything below `/Volumes`."""

    root: Path
    writes: list[str] = field(default_factory=list)

    def here(self, path: str) -> Path:
        """Where a path of the workspace lies on this machine."""
        assert path.startswith("/Volumes/")
        assert ".." not in path
        return self.root / path.lstrip("/")

    def answer(self, method: str, path: str, sent: bytes, query: dict[str, str]) -> tuple[int, Any] | None:
        """None where this is no call of the Files API."""
        found = re.fullmatch(r"/api/2\.0/fs/(files|directories)(/Volumes/.+)", unquote(path))
        if not found:
            return None
        here = self.here(found[2])
        match method, found[1]:
            case "PUT", "files":
                if here.exists() and query.get("overwrite") != "true":
                    raise Refused(409, "ALREADY_EXISTS", "The file being created already exists.")
                here.parent.mkdir(parents=True, exist_ok=True)
                # As in an object store, whoever reads meanwhile reads the old or the new.
                spare = here.with_name(f".{here.name}")
                spare.write_bytes(sent)
                spare.replace(here)
                self.writes.append(found[2])
                return 204, b""
            case (("GET" | "HEAD"), "files"):
                if not here.is_file():
                    raise Refused(404, "NOT_FOUND", "The file being accessed is not found.")
                said = Sent(here.read_bytes())
                said.headers = {"Last-Modified": formatdate(here.stat().st_mtime, usegmt=True)}
                return 200, said
            case (("GET" | "HEAD"), "directories"):
                if not here.is_dir():
                    raise Refused(404, "NOT_FOUND", "The directory being accessed is not found.")
                return 200, self._listing(here, found[2], int(query.get("page_token") or 0))
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"no API {method} {path}")

    @staticmethod
    def _listing(here: Path, path: str, start: int) -> dict[str, Any]:
        entries = [
            {"path": f"{path}/{each.name}", "name": each.name, "is_directory": each.is_dir()}
            | (
                {"file_size": each.stat().st_size, "last_modified": int(each.stat().st_mtime * 1000)}
                if each.is_file()
                else {}
            )
            for each in sorted(here.iterdir())
        ]
        more = {"next_page_token": str(start + PAGE)} if len(entries) > start + PAGE else {}
        return {"contents": entries[start : start + PAGE]} | more
