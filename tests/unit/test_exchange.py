"""A request ends in time, wherever in its answer the other side drips."""

from __future__ import annotations

import time

import pytest

from deployers import exchange
from tests.azureml.certificate import certificate
from tests.dripping import dripping

DRIPS = {
    "in the headers": b"HTTP/1.1 200 OK\r\nX-Name: ",
    "in a body with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    "in a body without": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("where", DRIPS)
def test_an_answer_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch, where: str, *, secure: bool) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate()[0]))
    with dripping(DRIPS[where], certificate() if secure else None) as uri:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no whole answer within 0\.3 s"):
            exchange.post(uri, b"{}", {}, connect=5.0, within=0.3, most=1_000_000)
    assert time.monotonic() - began < 5.0
