"""The file with which a rollout probes, where it names one: rows in MLflow's scoring format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from watcher.errors import Transient, UserError
from watcher.text import plain
from watcher.values import Example

MOST = 10_000_000
"""Bytes."""
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""What a JSON request to MLflow's scoring server holds one of."""


def reader(folder: Path) -> Callable[[str], Example]:
    """Reads a file beside the settings.

    The reader raises Transient where the file cannot be read, and UserError where it is no request: sent all the same,
    its refusal would be laid at the version's door.
    """

    def read(name: str) -> Example:
        path = folder / name
        try:
            if path.stat().st_size > MOST:
                raise UserError(f"probe sample {path} is larger than {MOST:,} bytes: give fewer rows")
            body = path.read_bytes()
        except OSError as error:
            raise Transient(f"probe sample {path} cannot be read: {error.strerror}") from error
        kind = "text/csv" if path.suffix == ".csv" else "application/json"
        if problem := _no_rows(body) if kind == "text/csv" else _no_request(body):
            raise UserError(f"probe sample {path} {problem}")
        return Example(body, kind)

    return read


def _no_rows(body: bytes) -> str | None:
    rows = [line for line in body.splitlines() if line.strip()]
    return None if len(rows) > 1 else "holds no rows: give a line of column names, and one for each row"


def _no_request(body: bytes) -> str | None:
    try:
        found = json.loads(body)
    except ValueError as error:
        return f"is not JSON: {plain(error, 200)}"
    forms = [form for form in FORMS if form in found] if isinstance(found, dict) else []
    if len(forms) == 1:
        return None
    return (
        f"is not a request to MLflow's scoring server: give an object with one of {', '.join(FORMS)},"
        ' such as {"dataframe_records": [{"x": 1.5}]}'
    )
