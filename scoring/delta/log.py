"""The commits of an input table, one by one, as its log has them.

The log is Delta's public protocol: one JSON file a version, one action a line. It is read here because the rows of
one version must come in the same order however often they are read: a position within a version is then all that a
stream has to remember. Readers of whole tables promise no order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from scoring.errors import INPUT, Stop, sentence
from scoring.files import file_system

WANTED_CHANGES = ("insert", "update_postimage")
CHANGE = "_change_type"


@dataclass(frozen=True, slots=True)
class File:
    """One file that came with a version."""

    path: str
    partition: Mapping[str, str | None]
    changes: bool
    """Whether it is a file of the change data feed: its rows say what happened to them."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one version brought."""

    version: int
    files: tuple[File, ...]
    fields: Mapping[str, str] | None
    """Column -> type, where the version changed the table's description."""


class Log:
    """The log of the table at `uri`. Raises Stop where there is no table, or one that cannot be followed."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        table = self._open()
        self.id = str(table.metadata().id)
        self.latest = int(table.version())
        self._configuration = dict(table.metadata().configuration)
        self.schema, self.fields = _schemas(table)
        mode = self._configuration.get("delta.columnMapping.mode", "none")
        if mode != "none":
            raise Stop(INPUT, f"{uri} maps its columns by {mode}, and this engine follows only tables that do not.")

    def _open(self) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return DeltaTable(self.uri)
        except TableNotFoundError as error:
            raise Stop(INPUT, f"There is no Delta table at {self.uri}.") from error
        except (DeltaError, OSError) as error:
            raise Stop(INPUT, f"{self.uri} cannot be read: {sentence(error)}") from error

    @cached_property
    def files(self) -> Any:
        """The table's folder as an Arrow file system."""
        return file_system(self.uri)

    def commit(self, version: int) -> Commit | None:
        """One version, None where it is not there (yet). Raises Stop for one whose rows cannot be told apart."""
        try:
            text = self.files.open_input_stream(f"_delta_log/{version:020d}.json").read()
        except FileNotFoundError:
            return None
        except OSError as error:
            said = f"Version {version} of {self.uri} cannot be read: {sentence(error)}"
            raise Stop(INPUT, said, passing=True) from error
        try:
            actions = [dict(json.loads(line)) for line in text.splitlines() if line.strip()]
        except (TypeError, ValueError) as error:
            raise Stop(INPUT, f"Version {version} of {self.uri} is no commit: {sentence(error)}") from error
        return self._read(version, actions)

    def _read(self, version: int, actions: list[dict[str, Any]]) -> Commit:
        told = _told(actions, "metaData")
        if told:
            self._configuration = dict(told[-1].get("configuration") or {})
        changes = _told(actions, "cdc")
        added = [add for add in _told(actions, "add") if add.get("dataChange")]
        removed = [remove for remove in _told(actions, "remove") if remove.get("dataChange")]
        if not changes and (any(add.get("deletionVector") for add in added) or (added and removed)) and not self._feed:
            raise Stop(
                INPUT,
                f"Version {version} of {self.uri} rewrote rows, and without its change data feed nobody can tell which:"
                " set delta.enableChangeDataFeed = true, and start again after that version with --start.",
            )
        chosen = [File(_path(one), one.get("partitionValues") or {}, bool(changes)) for one in changes or added]
        return Commit(version, tuple(chosen), _fields(told[-1]) if told else None)

    @property
    def _feed(self) -> bool:
        return str(self._configuration.get("delta.enableChangeDataFeed", "")).lower() == "true"


def _told(actions: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [action[kind] for action in actions if isinstance(action.get(kind), dict)]


def _path(action: Mapping[str, Any]) -> str:
    return unquote(str(action["path"]))


def _fields(told: Mapping[str, Any]) -> dict[str, str]:
    schema = json.loads(told["schemaString"])
    return {field["name"]: json.dumps(field["type"], sort_keys=True) for field in schema["fields"]}


def _schemas(table: Any) -> tuple[Any, dict[str, str]]:
    import pyarrow as pa

    told = table.schema()
    return pa.schema(told), _fields({"schemaString": told.to_json()})
