from __future__ import annotations

import socket
from pathlib import Path

import pytest

BEYOND = "192.0.2.1"  # reserved for documentation: nothing answers there


def test_a_connection_beyond_loopback_fails_the_test() -> None:
    with socket.socket() as client:
        client.settimeout(0)
        with pytest.raises(pytest.fail.Exception, match=BEYOND):
            client.connect((BEYOND, 80))


def test_a_datagram_beyond_loopback_fails_the_test() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        pytest.raises(pytest.fail.Exception, match=BEYOND),
    ):
        client.sendto(b"", (BEYOND, 9))


def test_looking_up_a_name_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"registry\.invalid"):
        socket.getaddrinfo("registry.invalid", 443)


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "localhost"), (socket.AF_INET6, "::1")]
)
def test_loopback_is_reached(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as server:
        with socket.create_connection(server.getsockname()[:2], timeout=5):
            connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b""


def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        client.connect(str(tmp_path / "socket"))
        assert server.accept()[0].fileno() > 0
