"""The output table, written exactly once: how far the input was scored stands in the output's own log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from scoring.errors import OUTPUT, Stop, sentence
from scoring.files import file_system

TRIES = 5
NOTE = "scoring."
"""What the names of our own entries in a commit begin with."""


class Sink:
    """One output table and the application whose rows are counted. The table is made with the first rows.

    delta-rs writes a transaction's identifier but does not refuse a second one. So a commit is only ever tried at the
    version right after the one in whose log the identifier was checked: whoever else commits in between makes it
    fail, and it is checked again. That holds against a second writer too.
    """

    def __init__(self, uri: str, app: str) -> None:
        self.uri, self.app = uri, app
        self._files = file_system(uri)
        self._table = self._open()

    @property
    def id(self) -> str | None:
        """The table's own identifier, None before there is one."""
        return str(self._table.metadata().id) if self._table is not None else None

    @property
    def version(self) -> int | None:
        return int(self._table.version()) if self._table is not None else None

    @property
    def schema(self) -> Any:
        """The table's Arrow schema, None before there is one."""
        import pyarrow as pa

        return pa.schema(self._table.schema()) if self._table is not None else None

    def position(self) -> int | None:
        """How far the input was scored, None where nothing was."""
        if self._table is None:
            return None
        found = self._table.transaction_version(self.app)
        return int(found) if found is not None else None

    def append(self, table: Any, before: int | None, after: int, note: Mapping[str, str]) -> bool:
        """Commit the rows that lead from one position to the next; False where that had been done already.

        Raises Stop where the table is gone, was replaced, or has other columns.
        """
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        if self._table is None:
            self._create(table.schema)
        told = {f"{NOTE}{name}": value for name, value in {**note, "app": self.app}.items()}
        for _ in range(TRIES):
            self._require()
            there = self.position()
            if there is not None and there >= after:
                return False
            if there is not None and there != before:
                raise Stop(OUTPUT, f"Somebody else scores {self.app} into {self.uri}: end one of the two streams.")
            transaction = Transaction(self.app, after, int(time.time() * 1000))
            properties = CommitProperties(told, max_commit_retries=0, app_transactions=[transaction])
            try:
                write_deltalake(self._table, table, mode="append", commit_properties=properties)
            except CommitFailedError:
                self._refresh()
            except (DeltaError, OSError) as error:
                # Whether it landed is not known: the log is.
                self._refresh()
                there = self.position()
                if there is not None and there >= after:
                    return True
                raise Stop(OUTPUT, f"{self.uri} cannot be written: {sentence(error)}", passing=True) from error
            else:
                return True
        raise Stop(OUTPUT, f"{self.uri} is written by so many others that no commit of ours lands.", passing=True)

    def notes(self, above: int, most: int) -> Iterator[dict[str, Any]]:
        """What our own newest commits above a version say, oldest first: `version`, `timestamp` (ms), and the notes."""
        if self._table is None:
            return
        newest = int(self._table.version()) - above
        for entry in reversed(self._table.history(min(max(newest, 1), most))):
            if entry.get(f"{NOTE}app") == self.app and int(entry["version"]) > above:
                named = {key.removeprefix(NOTE): value for key, value in entry.items() if key.startswith(NOTE)}
                yield {"version": int(entry["version"]), "timestamp": int(entry["timestamp"]), **named}

    def _open(self) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return DeltaTable(self.uri)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise Stop(OUTPUT, f"{self.uri} cannot be read: {sentence(error)}") from error

    def _create(self, schema: Any) -> None:
        from deltalake import DeltaTable

        self._table = self._open() or DeltaTable.create(self.uri, schema)

    def _refresh(self) -> None:
        before, self._table = self.id, self._open()
        if self.id != before:
            raise Stop(OUTPUT, self._gone)

    def _require(self) -> None:
        """Raises Stop where the table that was opened is no longer there: a commit would make half of a new one."""
        from pyarrow import fs

        if self._files.get_file_info(f"_delta_log/{self.version:020d}.json").type is fs.FileType.NotFound:
            self._refresh()

    @property
    def _gone(self) -> str:
        return (
            f"The output table {self.uri} was deleted or replaced while rows were scored into it. Restore it, or start"
            " again with --begin to score the input into a new one."
        )
