"""Weights are kept exactly, request by request."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.balance import Balance


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=4)))
    shares = [after - before for before, after in zip([0, *cuts], [*cuts, 100], strict=True)]
    return {f"r{n}": share for n, share in enumerate(shares)}


@given(weights(), st.integers(0, 3))
def test_each_hundred_requests_since_the_weights_were_set_are_shared_exactly(
    wanted: dict[str, int], hundreds: int
) -> None:
    balance = Balance(wanted)
    for _ in range(100 * hundreds):
        balance.next()
    assert Counter(balance.next() for _ in range(100)) == Counter({k: v for k, v in wanted.items() if v})


def test_a_small_share_is_spread_not_bunched() -> None:
    balance = Balance({"old": 90, "new": 10})
    rounds = [[balance.next() for _ in range(10)] for _ in range(50)]
    assert [turns.count("new") for turns in rounds] == [1] * 50


def test_a_client_that_repeats_its_requests_shows_all_of_them_to_a_canary() -> None:
    balance = Balance({"old": 90, "new": 10})
    shown = {n % 10 for n in range(2_000) if balance.next() == "new"}
    assert shown == set(range(10))


def test_nothing_serves_where_there_are_no_weights() -> None:
    assert Balance({}).next() is None
    assert Balance({"r1": 0}).next() is None
