"""What holds for every test: profiles of Hypothesis, quiet libraries, and no network beyond loopback."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.azurite import azurite

__all__ = ["azurite"]

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("ci")

# Inherited by the processes that tests start, which the guard below does not watch.
os.environ["DO_NOT_TRACK"] = os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


_ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_KEPT = (
    ("mlflow.tracking._tracking_service.utils", "_tracking_uri"),
    ("mlflow.tracking._model_registry.utils", "_registry_uri"),
)
"""Where MLflow keeps what `set_tracking_uri` was given; it writes the environment too."""


@pytest.fixture(autouse=True)
def mlflow_forgets() -> Iterator[None]:
    """Where a test, or code that it runs in this process, has pointed MLflow goes with the test."""
    environment = {name: os.environ.get(name) for name in _ADDRESSES}
    kept = {where: getattr(sys.modules.get(where[0]), where[1], None) for where in _KEPT}
    yield
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    for (module, name), value in kept.items():
        if module in sys.modules:
            setattr(sys.modules[module], name, value)


def _is_loopback(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]  # an address of AF_UNIX is not a tuple
    else:
        return
    if not _is_loopback(host):
        pytest.fail(f"a test reached for {host!r}, beyond loopback ({event})")


# An audit hook, since it sees every socket of this process whoever opened it. It cannot be removed again.
sys.addaudithook(_refuse_network)
