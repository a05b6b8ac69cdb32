"""Which release answers the next request: smooth weighted turns, the same sequence every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass
class _Share:
    name: str
    weight: int
    credit: int = 0


class Balance:
    """Over any 100 requests in a row each release gets its weight exactly, spread as evenly as can be."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._shares = [_Share(name, weight) for name, weight in sorted(weights.items()) if weight]
        self._total = sum(share.weight for share in self._shares)

    def next(self) -> str | None:
        """Name of a release, None where nothing serves."""
        if not self._shares:
            return None
        best = self._shares[0]
        if len(self._shares) > 1:
            for share in self._shares:
                share.credit += share.weight
                if share.credit > best.credit:
                    best = share
            best.credit -= self._total
        return best.name
