"""Whatever a client sends, it gets an answer or loses its connection, and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gateway import pids, world
from tests.gateway.world import BODY, Endpoint

pytestmark = pytest.mark.slow
MIB = 1 << 20
LIMITS = {"body": 2 * MIB, "head": 16 * 1024, "stall": 1.5, "head_time": 1.5, "idle": 2.0, "connections": 200}
POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WHOLE = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with world.running(tmp_path_factory.mktemp("gateway"), **LIMITS) as home:
        yield Endpoint(home).serving(world.linear())


@pytest.fixture(autouse=True)
def others_are_served_all_along(endpoint: Endpoint) -> Iterator[None]:
    yield
    assert endpoint.ask().status == 200
    assert endpoint.release("r1")["detail"] == ""


def connect(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", endpoint.port), timeout=15)


def read_all(peer: socket.socket) -> bytes:
    """Until the other side ends the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := peer.recv(65536):
            parts.append(part)
    return b"".join(parts)


def read_answers(peer: socket.socket, count: int) -> list[tuple[int, bytes]]:
    data = b""
    found: list[tuple[int, bytes]] = []
    while len(found) < count:
        head, separator, rest = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        if separator and len(rest) >= length:
            found.append((int(head[9:12]), rest[:length]))
            data = rest[length:]
            continue
        part = peer.recv(65536)
        assert part, f"the connection ended after {len(found)} answers"
        data += part
    return found


def sent(endpoint: Endpoint, data: bytes) -> bytes:
    """Everything that comes back until the connection ends."""
    with connect(endpoint) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(data)
        return read_all(peer)


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "binary": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in a header's name": b"GET /ping HTTP/1.1\r\nHo st: x\r\n\r\n",
    "a folded header": b"GET /ping HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "a bare line feed in a value": b"GET /ping HTTP/1.1\r\nA: b\x00c\r\n\r\n",
    "a length that is none": POST + b"Content-Length: ten\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "twice the same length": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk longer than told": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "another encoding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("title", MALFORMED)
def test_what_is_no_proper_http_gets_one_refusal_and_the_connection_ends(endpoint: Endpoint, title: str) -> None:
    answer = sent(endpoint, MALFORMED[title])
    assert answer[9:12] in (b"400", b"405", b"501"), answer
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


def test_what_came_before_the_malformed_request_is_answered_first(endpoint: Endpoint) -> None:
    answer = sent(endpoint, WHOLE + WHOLE + b"nonsense\r\n\r\n")
    assert [answer[i + 9 : i + 12] for i in _starts(answer)] == [b"200", b"200", b"400"]


def _starts(answer: bytes) -> list[int]:
    return [i for i in range(len(answer)) if answer.startswith(b"HTTP/1.1 ", i)]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /ping HTTP/1.1\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (b"GET /ping HTTP/1.1\r\nA: " + b"a" * 400_000, b"431"),
        (b"GET /ping HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", b"431"),
        (POST + b"Content-Length: %d\r\n\r\n" % (1 << 62), b"413"),
        (POST + b"Content-Length: 99999999999999999999999999\r\n\r\n", b"4"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_read(endpoint: Endpoint, data: bytes, status: bytes) -> None:
    assert sent(endpoint, data)[9:12].startswith(status)


def test_a_body_that_grows_too_large_in_chunks_is_refused(endpoint: Endpoint) -> None:
    chunk = b"%x\r\n%b\r\n" % (MIB, bytes(MIB))
    assert b"HTTP/1.1 413" in sent(endpoint, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 8)


def test_a_large_body_is_streamed_and_answered(endpoint: Endpoint) -> None:
    rows = json.dumps({"dataframe_split": {"columns": world.COLUMNS, "data": [world.ROW] * 30_000}}).encode()
    assert len(rows) > MIB / 2
    answer = endpoint.ask(rows)
    assert answer.status == 200
    assert len(answer.json()["predictions"]) == 30_000


def test_a_body_in_chunks_is_answered(endpoint: Endpoint) -> None:
    parts = [BODY[:7], BODY[7:9], BODY[9:]]
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"
    with connect(endpoint) as peer:
        peer.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + data)
        assert read_answers(peer, 1)[0][0] == 200


def test_a_large_body_in_chunks_that_arrive_slowly_is_answered(endpoint: Endpoint) -> None:
    rows = json.dumps({"dataframe_split": {"columns": world.COLUMNS, "data": [world.ROW] * 10_000}}).encode()
    with connect(endpoint) as peer:
        peer.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(rows), 50_000):
            part = rows[at : at + 50_000]
            peer.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            time.sleep(0.005)
        peer.sendall(b"0\r\n\r\n")
        status, body = read_answers(peer, 1)[0]
        assert status == 200
        assert len(json.loads(body)["predictions"]) == 10_000
        peer.sendall(WHOLE)
        assert read_answers(peer, 1)[0][0] == 200


def test_requests_in_one_write_are_answered_in_order(endpoint: Endpoint) -> None:
    bodies = [
        json.dumps({"dataframe_split": {"columns": world.COLUMNS, "data": [[float(n)] * 4]}}).encode()
        for n in range(40)
    ]
    with connect(endpoint) as peer:
        peer.sendall(b"".join(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies))
        answers = read_answers(peer, len(bodies))
    values = [json.loads(body)["predictions"][0] for _, body in answers]
    assert {status for status, _ in answers} == {200}
    assert values == sorted(values)


def test_a_flood_of_requests_in_one_write_ends_with_a_refusal(endpoint: Endpoint) -> None:
    answer = sent(endpoint, b"GET /ping HTTP/1.1\r\n\r\n" * 3000)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400" in answer


def test_a_request_byte_by_byte_is_answered(endpoint: Endpoint) -> None:
    with connect(endpoint) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in WHOLE:
            peer.sendall(bytes([byte]))
        assert read_answers(peer, 1)[0][0] == 200


def test_a_client_that_waits_for_100_gets_it_once(endpoint: Endpoint) -> None:
    with connect(endpoint) as peer:
        peer.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert peer.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(BODY)
        assert read_answers(peer, 1)[0][0] == 200


def test_a_client_that_waits_for_100_with_too_large_a_body_is_refused_at_once(endpoint: Endpoint) -> None:
    answer = sent(endpoint, POST + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_head_request_has_no_body(endpoint: Endpoint) -> None:
    with connect(endpoint) as peer:
        peer.sendall(b"HEAD /ping HTTP/1.1\r\nHost: x\r\n\r\n" + WHOLE)
        data = b""
        while data.count(b"HTTP/1.1 ") < 2:
            data += peer.recv(65536)
        assert data[9:12] == b"405"
        assert data.partition(b"\r\n\r\n")[2].startswith(b"HTTP/1.1 200")


def test_a_client_of_http_1_0_is_answered_and_dropped_unless_it_asks_to_stay(endpoint: Endpoint) -> None:
    old = WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")
    answer = sent(endpoint, old)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    with connect(endpoint) as peer:
        stay = old.replace(b"Host: x\r\n", b"Connection: keep-alive\r\n")
        peer.sendall(stay)
        assert read_answers(peer, 1)[0][0] == 200
        peer.sendall(stay)
        assert read_answers(peer, 1)[0][0] == 200


def test_an_offer_to_upgrade_is_answered_in_http_1_1(endpoint: Endpoint) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    assert sent(endpoint, b"GET /ping HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n").startswith(b"HTTP/1.1 200")
    chunked = POST + offer + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with connect(endpoint) as peer:
        for request in (WHOLE.replace(b"Host: x\r\n", offer), chunked):
            peer.sendall(request[:-20])
            time.sleep(0.02)
            peer.sendall(request[-20:] + WHOLE)
            assert [status for status, _ in read_answers(peer, 2)] == [200, 200]


def test_a_client_that_stops_in_its_headers_is_told_and_dropped(endpoint: Endpoint) -> None:
    assert sent(endpoint, b"POST /invocations HTTP/1.1\r\nHost:").startswith(b"HTTP/1.1 408")


def test_a_client_that_drips_headers_is_dropped(endpoint: Endpoint) -> None:
    with connect(endpoint) as peer:
        begun = time.monotonic()
        peer.sendall(b"GET /ping HTTP/1.1\r\n")
        peer.settimeout(0.2)
        while time.monotonic() - begun < 10:
            with contextlib.suppress(TimeoutError):
                if peer.recv(100).startswith(b"HTTP/1.1 408"):
                    return
            peer.sendall(b"A: b\r\n")
    raise AssertionError("it went on for ever")


def test_a_client_that_stops_in_its_body_is_told_and_dropped(endpoint: Endpoint) -> None:
    assert sent(endpoint, POST + b"Content-Length: 100\r\n\r\n{").startswith(b"HTTP/1.1 408")
    assert sent(endpoint, POST + b"Content-Length: 1000000\r\n\r\n" + b" " * 200_000).startswith(b"HTTP/1.1 408")


def test_a_kept_connection_without_requests_ends(endpoint: Endpoint) -> None:
    with connect(endpoint) as peer:
        peer.sendall(WHOLE)
        assert read_answers(peer, 1)[0][0] == 200
        assert read_all(peer) == b""


def test_a_client_that_leaves_in_the_middle_harms_nobody(endpoint: Endpoint) -> None:
    for part in (POST, WHOLE[:-5], WHOLE, WHOLE * 3, POST + b"Content-Length: 1000000\r\n\r\n" + b" " * 300_000):
        for _ in range(5):
            with connect(endpoint) as peer:
                peer.sendall(part)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert endpoint.ask().status == 200


def test_a_client_that_closes_its_half_gets_its_answer(endpoint: Endpoint) -> None:
    with connect(endpoint) as peer:
        peer.sendall(WHOLE)
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer).startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_read_is_dropped(endpoint: Endpoint) -> None:
    rows = json.dumps({"dataframe_split": {"columns": world.COLUMNS, "data": [world.ROW] * 30_000}}).encode()
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(15)
        peer.connect(("127.0.0.1", endpoint.port))
        with contextlib.suppress(OSError):
            for _ in range(200):
                peer.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(rows) + rows)
            raise AssertionError("it was allowed to go on for ever")


def test_too_many_connections_are_refused_and_later_ones_served(tmp_path: Path) -> None:
    few = 20
    with world.running(tmp_path, **LIMITS | {"connections": few, "idle": 600.0, "head_time": 600.0}) as home:
        patient = Endpoint(home).serving(world.linear())
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(connect(patient)) for _ in range(few + 5)]
            peers[-1].sendall(WHOLE)
            assert b"HTTP/1.1 503" in read_all(peers[-1])
        world.wait_until(lambda: patient.ask().status == 200)


def test_nobody_reaches_the_gateway_or_the_worker_beside_the_protocol(endpoint: Endpoint) -> None:
    for path in ("/state", "/endpoints/e", "/-/status", "/endpoints/e/weights"):
        assert endpoint.ask(b"", "GET", path, {}).status == 404


def test_a_client_cannot_forge_what_an_answer_says_of_its_release(endpoint: Endpoint) -> None:
    answer = endpoint.ask(
        headers={
            "Content-Type": "application/json",
            "Connection": "keep-alive, X-Secret",
            "X-Secret": "1",
            "X-Model-Version": "99",
            "X-Release": "forged",
        }
    )
    assert (answer.headers["x-model-version"], answer.release) == ("1", "r1")


def test_many_bad_clients_at_once_harm_nobody(endpoint: Endpoint) -> None:
    titles = list(MALFORMED) * 3
    with ThreadPoolExecutor(8) as pool:
        bad = [pool.submit(sent, endpoint, MALFORMED[title]) for title in titles]
        good = [pool.submit(endpoint.ask) for _ in range(40)]
        assert {answer.result().status for answer in good} == {200}
        assert all(answer.result() for answer in bad)


def test_the_gateway_is_no_larger_afterwards(endpoint: Endpoint) -> None:
    """A 100 MiB upload that is refused, and large ones that are not, leave its memory bounded."""
    server = pids.server(endpoint.home)
    before = _resident(server)
    for _ in range(20):
        sent(endpoint, POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (2 * MIB) + b" " * (2 * MIB))
    assert _resident(server) - before < 30 * MIB


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
