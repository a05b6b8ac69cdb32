"""MLflow's scoring protocol, answered by MLflow's own functions. Runs in the environment of the model."""

from __future__ import annotations

import asyncio
import io
import json
import os
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
EXACT = 2**53
"""Up to here every whole number is a double."""


class Answer(NamedTuple):
    """What `mlflow models serve` would say."""

    status: int
    content_type: bytes
    body: bytes
    extra: bytes = b""
    """Further header lines, each with its end."""


BROKEN = Answer(500, TEXT, b"Internal Server Error")
"""What MLflow's server says where its code raises something unforeseen."""
LATE = Answer(504, JSON, b"Request processing time exceeded limit")
HEALTHY = Answer(200, JSON, b"\n")


class Scorer:
    """One loaded model. `score` must be called from one thread only."""

    def __init__(self, folder: Path) -> None:
        from mlflow import pyfunc
        from mlflow.pyfunc import scoring_server
        from mlflow.version import VERSION

        options: dict[str, Any] = {}
        if config := os.environ.get(scoring_server.SERVING_MODEL_CONFIG):
            options["model_config"] = json.loads(config)
        self.model = pyfunc.load_model(str(folder), suppress_warnings=True, **options)
        self.schema = self.model.metadata.get_input_schema()
        self.columns = _double_columns(self.model, self.schema)
        self.version = VERSION.encode()
        self._server = scoring_server
        self._app: Any = None
        # Some flavours look at this while they predict.
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"

    def score(self, body: bytes, content_type: str | None) -> Answer:
        """Answer one POST of /invocations as `mlflow models serve` does, its errors included."""
        from mlflow.exceptions import MlflowException

        if self.columns is not None and content_type == "application/json":
            quick = self._score_doubles(body, self.columns)
            if quick is not None:
                return Answer(200, JSON, quick)
        try:
            found = self._server.invocations(body, content_type, self.model, self.schema)
            kind = TEXT if found.mimetype == "text/plain" else found.mimetype.encode("latin-1")
            return Answer(found.status, kind, found.response.encode())
        except MlflowException as error:
            return Answer(error.get_http_status_code(), JSON, error.serialize_as_json().encode())

    def _score_doubles(self, body: bytes, columns: list[str]) -> bytes | None:
        """The answer to a plain table of numbers, None where MLflow's own code must look at it.

        Casting column by column is most of what a small request costs; a table of nothing but numbers for a
        signature of nothing but doubles needs one cast, with the same result.
        """
        import numpy as np
        import pandas as pd

        try:
            parsed = json.loads(body)
            if type(parsed) is not dict or len(parsed) != 1:
                return None
            table = parsed.get("dataframe_split")
            if type(table) is not dict or table.keys() != {"columns", "data"} or table["columns"] != columns:
                return None
            rows = table["data"]
            width = len(columns)
            if type(rows) is not list or not rows or any(type(row) is not list or len(row) != width for row in rows):
                return None
            kinds = set(map(type, chain.from_iterable(rows)))
            if kinds != {float} and not (kinds <= {float, int} and _exact(rows)):
                return None
            frame = pd.DataFrame(np.array(rows, dtype=np.float64), columns=columns)
            out = io.StringIO()
            self._server.predictions_to_json(self.model.predict(frame), out)
            return out.getvalue().encode()
        except Exception:  # noqa: BLE001 - whatever is wrong is worded by MLflow's own path, which is asked next
            return None

    async def ask_app(self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        """Any other request (another path, another method), answered by MLflow's own application."""
        if self._app is None:
            self._app = self._server.init(self.model)
        if not hasattr(self._app, "openapi"):  # an MLflow of the years when this was not FastAPI
            return Answer(404, JSON, b'{"detail":"Not Found"}')
        return await _call(self._app, method, target, headers, body)


def _exact(rows: list[list[Any]]) -> bool:
    return all(-EXACT <= cell <= EXACT for row in rows for cell in row if type(cell) is int)


def _double_columns(model: Any, schema: Any) -> list[str] | None:
    """Names of the columns where the signature holds nothing but required doubles, else None."""
    try:
        from mlflow.types import DataType

        metadata = model.metadata
        if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
            return None
        if metadata._is_signature_from_type_hint() or metadata._is_type_hint_from_example():  # noqa: SLF001 - no public way
            return None
        if any(column.type != DataType.double or not column.required for column in schema.inputs):
            return None
        names = schema.input_names()
        return names if len(set(names)) == len(names) else None
    except (ImportError, AttributeError):
        return None


async def _call(
    app: Any,
    method: bytes,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
) -> Answer:
    """One request to an ASGI application, its answer collected."""
    path, _, query = target.partition(b"?")
    status, kind, parts = 500, TEXT, []
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.sleep(3600)
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, kind
        if message["type"] == "http.response.start":
            status = message["status"]
            found = {name.lower(): value for name, value in message["headers"]}
            kind = found.pop(b"content-type", b"")
            found.pop(b"content-length", None)
            extras.extend(found.items())
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    extras: list[tuple[bytes, bytes]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method.decode("latin-1"),
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
        "state": {},
    }
    await app(scope, receive, send)
    return Answer(status, kind, b"".join(parts), b"".join(b"%b: %b\r\n" % pair for pair in extras))
