"""Row keys: legal whatever the name, told apart, and in the order of time. Revisions: read back as they were."""

from __future__ import annotations

import hashlib
import math
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.errors import Terminal
from watcher.ledger.table import keys
from watcher.ledger.table.calls import Revision

LEGAL = re.compile(r"[A-Za-z0-9._=~!-]{1,512}")
texts = st.text(alphabet=st.characters(), max_size=200)
times = st.floats(allow_nan=False)


@given(model=texts, event=texts, target=texts, at=times)
def test_every_key_is_legal(model: str, event: str, target: str, at: float) -> None:
    place = keys.place(at, 2**63, 99, "f" * 32)
    made = [begin + place for begin in keys.indexes(model, event, target)]
    for key in (*made, keys.appointment(model, at), keys.RECORD + keys.name(model)):
        assert LEGAL.fullmatch(key)


def test_each_character_makes_a_name_of_its_own() -> None:
    codes = [*range(0x3000), *range(0x3000, sys.maxunicode, 61)]
    assert len({keys.name(chr(code)) for code in codes}) == len(codes)


@given(one=texts, two=texts)
def test_two_names_are_written_alike_only_where_they_are_the_same(one: str, two: str) -> None:
    assert (keys.name(one) == keys.name(two)) == (one == two)
    long = "x" * 300
    assert (keys.name(long + one) == keys.name(long + two)) == (one == two)


@given(one=times, two=times)
def test_times_sort_as_numbers_and_backwards(one: float, two: float) -> None:
    assert (keys.rising(one) < keys.rising(two)) == (one < two)
    assert (keys.falling(one) > keys.falling(two)) == (one < two)


@given(at=times, since=times, until=times, model=texts)
def test_a_range_holds_the_times_between_its_ends_and_both_ends(
    at: float, since: float, until: float, model: str
) -> None:
    begin, _ = keys.index(model, None, None)
    first, behind = keys.within(begin, until, since)
    key = begin + keys.place(at, 2**60, 0, "a" * 32)
    assert (first <= key < behind) == (since <= at <= until)


@given(one=texts, two=texts)
def test_a_range_of_one_model_holds_no_line_of_another(one: str, two: str) -> None:
    first, behind = keys.within(keys.index(one, None, None)[0])
    inside = [first <= begin + keys.place(1.0, 1, 0, "a") < behind for begin in keys.indexes(two, "seen", None)]
    assert any(inside) == (one == two)


def test_keys_are_written_as_they_always_were() -> None:
    assert keys.name("a b/\u00fc") == "a=20b=2F=C3=BC"
    assert keys.name("x" * 120) == "x" * 120
    assert keys.name("x" * 121) == "x" * 40 + "~" + hashlib.sha256(b"x" * 121).hexdigest()
    assert keys.place(1.0, 2**60, 2, "0123456789abcdef") == "400fffffffffffff!effffffffffffffffffffd01234567"
    assert keys.within("hm!m!", 1.0, 1.0) == ("hm!m!400fffffffffffff", 'hm!m!400fffffffffffff"')


def test_a_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(Terminal, match=r"^ledger: a time is not a number$"):
        keys.rising(math.nan)


def test_no_number_has_no_place_in_time() -> None:
    assert keys.rising(-math.inf) < keys.rising(-1.0) < keys.rising(-0.0) == keys.rising(0.0) < keys.rising(math.inf)


@pytest.mark.parametrize("appointment", [None, "due-1"])
@pytest.mark.parametrize("etag", ['W/"1"', "W/\"datetime'2026-11-27 10:00'\""])
def test_a_revision_reads_back_as_it_was_whatever_tag_the_service_gave(appointment: str | None, etag: str) -> None:
    revision = Revision("a1b2", appointment, etag)
    assert Revision.read(str(revision)) == revision


@pytest.mark.parametrize("text", ["", "a1b2", "a1b2 -", "a1b2 - "])
def test_what_is_no_revision_is_read_as_none(text: str) -> None:
    assert Revision.read(text) is None
