"""Apprise on a real receiver of this machine: bounded, never failing, and saying nothing of the address."""

from __future__ import annotations

import logging
import socket
import time

import pytest

from tests.notify.receiver import Receiver, receiving
from watcher.errors import UserError
from watcher.messenger import AppriseMessenger, service_of


def test_a_message_arrives_as_it_is(receiver: Receiver) -> None:
    messenger = AppriseMessenger([receiver.url])
    assert messenger.send("churn: won", "churn: version 3 wins: 0.9 <b>, needed 0.8", [0]) == {0}
    assert receiver.got == [("churn: won", "churn: version 3 wins: 0.9 <b>, needed 0.8")]


def test_only_the_addresses_asked_for_are_told(receiver: Receiver) -> None:
    with receiving() as other:
        messenger = AppriseMessenger([receiver.url, other.url])
        assert messenger.send("a", "b", [1]) == {1}
        assert (receiver.got, other.got) == ([], [("a", "b")])


@pytest.mark.parametrize("hostile", ["@everyone", "<!channel>", "@here look"])
def test_nobody_who_names_a_model_can_call_a_whole_room(receiver: Receiver, hostile: str) -> None:
    AppriseMessenger([receiver.url]).send(hostile, hostile, [0])
    assert hostile not in receiver.got[0]
    assert receiver.got[0][1].replace("\u200b", "") == hostile


def test_a_refusal_is_told_without_the_address_and_once(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.status = 500
    now = [0.0]
    messenger = AppriseMessenger([receiver.url], clock=lambda: now[0])
    for _ in range(3):
        assert messenger.send("a", "b", [0]) == frozenset()
        now[0] += 1_000.0
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in records] == [
        "notify.urls[0] did not take a message (refused, or out of reach): it is tried again"
    ]
    assert "s3cretpass" not in caplog.text


def test_a_service_that_is_away_is_left_alone_for_a_while_and_then_works_again(receiver: Receiver) -> None:
    now = [0.0]
    messenger = AppriseMessenger([receiver.url], clock=lambda: now[0])
    receiver.status = 503
    assert messenger.send("a", "b", [0]) == frozenset()
    receiver.status = 200
    assert messenger.send("a", "b", [0]) == frozenset()
    now[0] = 16.0
    assert messenger.send("a", "b", [0]) == {0}
    assert receiver.got == [("a", "b")]


def test_a_service_that_says_nothing_keeps_nobody_longer_than_the_bound(receiver: Receiver) -> None:
    receiver.silent.set()
    with receiving() as other:
        messenger = AppriseMessenger([receiver.url, other.url], patience=2.0)
        begun = time.monotonic()
        assert messenger.send("a", "b", [0, 1]) == {1}
        assert time.monotonic() - begun < 10.0
        assert other.got == [("a", "b")]


def test_nobody_who_listens_is_a_message_that_did_not_arrive() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert AppriseMessenger([f"json://127.0.0.1:{free.getsockname()[1]}/"]).send("a", "b", [0]) == frozenset()


@pytest.mark.parametrize("url", ["nonsense-s3cretpass", "s3cretpass://here", "tgram://s3cretpass", ""])
def test_an_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UserError, match=r"notify\.urls\[2\]") as caught:
        service_of(2, url)
    assert "s3cretpass" not in str(caught.value)


def test_an_address_that_is_none_keeps_the_others_from_nothing(receiver: Receiver) -> None:
    assert AppriseMessenger(["nonsense", receiver.url]).send("a", "b", [0, 1]) == {1}
    assert service_of(0, receiver.url) == "JSON"
