"""Weights are kept exactly, request by request."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import Balance


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=4)))
    shares = [after - before for before, after in zip([0, *cuts], [*cuts, 100], strict=True)]
    return {f"r{n}": share for n, share in enumerate(shares)}


@given(weights(), st.integers(0, 250))
def test_any_hundred_requests_in_a_row_are_shared_exactly(wanted: dict[str, int], skipped: int) -> None:
    balance = Balance(wanted)
    for _ in range(skipped):
        balance.next()
    assert Counter(balance.next() for _ in range(100)) == Counter({k: v for k, v in wanted.items() if v})


def test_a_small_share_is_spread_not_bunched() -> None:
    balance = Balance({"old": 90, "new": 10})
    turns = [balance.next() for _ in range(100)]
    places = [n for n, name in enumerate(turns) if name == "new"]
    assert {after - before for before, after in pairwise(places)} == {10}


def test_nothing_serves_where_there_are_no_weights() -> None:
    assert Balance({}).next() is None
    assert Balance({"r1": 0}).next() is None
