"""Every bound and time-out of a gateway in one place; `limits.json` in its home overrides them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

from gateway.errors import GatewayError

MIB = 1 << 20


def _request_timeout() -> float:
    try:
        return float(os.environ.get("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", ""))
    except ValueError:
        return 60.0


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes."""

    start: float = 300.0
    """From launch to ready, the building of an environment apart."""
    build: float = 1_800.0
    """Building an environment for a model that needs other libraries."""
    wait: float = 10.0
    """How long a request waits for a worker that is being replaced."""
    drain: float = 10.0
    """How long requests in flight may take when their release goes."""
    stop: float = 3.0
    """From the polite signal to the other one."""
    request: float = 60.0
    """MLflow's own request time-out; its environment variable sets the default."""
    ping_every: float = 1.0
    ping: float = 5.0
    """A worker that says nothing and does nothing for so long hangs; busy ones get the time of a request as well."""
    backoff_first: float = 0.1
    backoff_most: float = 30.0
    settled: float = 60.0
    """A worker that lived so long starts its backoff afresh."""
    abandoned: float = 60.0
    """A worker whose gateway is gone for so long ends."""
    head: int = 64 * 1024
    """Bytes of request line and headers."""
    head_time: float = 15.0
    body: int = 256 * MIB
    spill: int = 64 * 1024
    """A body above this is streamed to the worker while it arrives."""
    stall: float = 30.0
    """A client that neither sends nor takes a byte for so long is dropped."""
    idle: float = 75.0
    """Kept connections without a request."""
    connections: int = 4_096
    mirror_at_once: int = 2
    """Copies of requests that are on their way to a mirrored release at the same time."""
    mirror_waiting: int = 64
    """Copies that wait for their turn; more are dropped."""
    mirror_body: int = 256 * 1024
    """A request with a larger body is not copied."""
    mirror_answer: int = 64 * 1024
    """Larger answers are not compared: comparing takes time from everyone."""
    log: int = 5 * MIB


def load(path: Path) -> Limits:
    """Defaults with what the file overrides. Raises GatewayError where the file is not such an object."""
    values: dict[str, float] = {"request": _request_timeout()}
    known = {f.name for f in fields(Limits)}
    try:
        given = json.loads(path.read_text())
    except FileNotFoundError:
        given = {}
    except (OSError, ValueError) as error:
        raise GatewayError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(given, dict) or not set(given) <= known:
        raise GatewayError(f"{path} must be a JSON object with keys out of {', '.join(sorted(known))}.")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise GatewayError(f"{path}: {key} must be a number above zero, not {value!r}.")
        values[key] = value
    return Limits(**values)  # type: ignore[arg-type]
