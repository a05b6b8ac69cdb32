"""What holds for every test: profiles of Hypothesis, quiet libraries, and no network beyond loopback."""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("ci")

# Inherited by the processes that tests start, which the guard below does not watch.
os.environ["DO_NOT_TRACK"] = os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


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
