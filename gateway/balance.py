"""Which release answers the next request: exact shares, in an order that no caller's rhythm can match."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import gcd


class Balance:
    """Deals requests in rounds; in each round every release gets its weight exactly, in a random order.

    A round is as short as the weights allow: of 90 and 10 it has ten turns. Strict turns would be exact too, but a
    client that repeats its requests in the same rhythm would never show some of them to a canary.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        shares = {name: weight for name, weight in sorted(weights.items()) if weight}
        step = gcd(*shares.values()) if shares else 1
        self._round = [name for name, weight in shares.items() for _ in range(weight // step)]
        self._left: list[str] = []

    def next(self) -> str | None:
        """Name of a release, None where nothing serves."""
        if not self._round:
            return None
        if len(self._round) == 1:
            return self._round[0]
        if not self._left:
            self._left = random.sample(self._round, len(self._round))
        return self._left.pop()
