"""Deliveries by the thousand that are forged, stale, replayed, truncated or oversized: none is taken, none crashes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import string
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosted.world import START, Hosted
from watcher.hosted.webhooks import databricks, mlflow
from watcher.hosted.webhooks.answers import Answer
from watcher.hosted.webhooks.bodies import MOST

SECRET = "s3cret"  # noqa: S105 of these tests
Headers = dict[str, str]
Delivery = tuple[Headers, bytes]


def mlflow_signed(body: bytes, delivery: str, at: float, secret: str = SECRET) -> Headers:
    """As MLflow signs; that it does so is held against its own code elsewhere."""
    stamp = str(int(at))
    content = b".".join((delivery.encode(), stamp.encode(), body))
    signature = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()
    return {"X-MLflow-Signature": f"v1,{signature}", "X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": stamp}


def databricks_signed(body: bytes, secret: str = SECRET) -> Headers:
    return {"X-Databricks-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


class Sender:
    """Makes deliveries from a seed: one kind at a time, at one of the two doors."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.count = 0

    def genuine(self, door: str) -> Delivery:
        self.count += 1
        name = self.chance.choice(("churn", "fraud.cards"))
        told = {"version": str(self.count), "tag": self._text(40)}
        if door == "mlflow":
            data = {"name": name, **told}
            body = json.dumps({"entity": "model_version", "action": "created", "data": data}).encode()
            return mlflow_signed(body, f"d-{self.count}", START + self.chance.uniform(-200, 200)), body
        body = json.dumps({"event": "MODEL_VERSION_CREATED", "model_name": name, **told}).encode()
        return databricks_signed(body), body

    def forged(self, door: str) -> Delivery:
        """A right body with a signature that is almost right, or not at all."""
        headers, body = self.genuine(door)
        key = "X-MLflow-Signature" if door == "mlflow" else "X-Databricks-Signature"
        right = headers[key]
        other = mlflow_signed(body, "d", START, "guess") if door == "mlflow" else databricks_signed(body, "guess")
        at = self.chance.randrange(3 if door == "mlflow" else 0, len(right) - 3)
        changed = right[:at] + ("x" if right[at] != "x" else "y") + right[at + 1 :]
        others = ("", self._text(80), "v1, v1, v1,", right + right[-1], "v2" + right[2:])
        wrong = self.chance.choice((other[key], right[:at], changed, *others))
        if self.chance.random() < 0.1:
            return {k: v for k, v in headers.items() if k != key}, body
        return {**headers, key: wrong}, body

    def stale(self, door: str) -> Delivery:
        """Signed, at a time that is long gone, still to come, or none. Databricks signs no time: forged instead."""
        if door != "mlflow":
            return self.forged(door)
        _, body = self.genuine(door)
        away = self.chance.choice((-1, 1)) * self.chance.choice((301, 3_600, 10**6, 10**9))
        headers = mlflow_signed(body, f"s-{self.count}", START + away)
        if self.chance.random() < 0.3:
            headers["X-MLflow-Timestamp"] = self.chance.choice(
                ("", "now", "-1", "1e9", "\uff19" * 10, "9" * 190, "0x10")
            )
        return headers, body

    def truncated(self, door: str) -> Delivery:
        """What was signed, cut off or with a byte that fell over on its way; or a signed body that was never whole."""
        headers, body = self.genuine(door)
        cut = body[: self.chance.randrange(len(body))]
        if self.chance.random() < 0.5:
            return headers, cut
        signed = databricks_signed(cut) if door != "mlflow" else mlflow_signed(cut, f"t-{self.count}", START)
        return signed, cut

    def oversized(self, door: str) -> Delivery:
        body = b" " * (MOST + self.chance.randrange(1, 50)) + self.genuine(door)[1]
        return mlflow_signed(body, "o", START) if door == "mlflow" else databricks_signed(body), body

    def _text(self, most: int) -> str:
        return "".join(self.chance.choices(string.printable + "é☃\u202e\x00", k=self.chance.randrange(most)))


EXPECTED = {
    "forged": {401},
    "stale": {401},
    "replayed": {409},
    "truncated": {400, 401},
    "oversized": {413},
}


def deliver(hosted: Hosted, seed: int, most: int) -> Counter[str]:
    """Send so many that are bad, with a genuine one now and then, without which nothing would have been shown."""
    sender = Sender(seed)
    doors: dict[str, Callable[[Headers, bytes], Answer]] = {
        "mlflow": hosted.hooks.mlflow,
        "databricks": hosted.hooks.databricks,
    }
    sent = Counter[str]()
    for number in range(most):
        door = sender.chance.choice(("mlflow", "databricks"))
        # An oversized one is a megabyte: rare, so that the run is not all hashing.
        kind = "oversized" if number % 200 == 0 else sender.chance.choice(("forged", "stale", "replayed", "truncated"))
        if kind == "replayed":
            headers, body = sender.genuine(door)
            hosted.now += 10.0 if door == "databricks" else 0.0
            first = doors[door](headers, body)
            hosted.now = START
            assert first.status == 202, (headers, body)
            sent["taken"] += 1
        else:
            headers, body = getattr(sender, kind)(door)
        answer = doors[door](headers, body)
        assert answer.models == (), (kind, door, headers, body[:500])
        assert answer.status in EXPECTED[kind], (kind, door, answer, headers, body[:500])
        sent[kind] += 1
    return sent


def hosted_in(folder: Path) -> Hosted:
    return Hosted(folder, {mlflow.SECRET: SECRET, databricks.SECRET: SECRET})


def test_of_hundreds_of_bad_deliveries_none_is_taken_and_none_crashes(tmp_path: Path) -> None:
    sent = deliver(hosted_in(tmp_path), seed=1, most=400)
    assert sent.keys() == {*EXPECTED, "taken"}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 15))
def test_of_ten_thousand_bad_deliveries_none_is_taken_and_none_crashes(tmp_path: Path, seed: int) -> None:
    sent = deliver(hosted_in(tmp_path), seed, most=2_000)
    assert sum(sent[kind] for kind in EXPECTED) == 2_000
    assert min(sent.values()) >= 10
