"""The crown tag is written whole and believed only when it is whole."""

from __future__ import annotations

import contextlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.registry import tags
from watcher.values import Crown

numbers = st.integers(0, 2**31 - 1)
crowns = st.builds(
    Crown,
    crowned=st.none() | numbers,
    previous=st.none() | numbers,
    floor=numbers,
    met=st.booleans(),
    n=numbers,
    displaced=st.none() | numbers,
)


@given(crowns)
def test_a_crown_is_read_back_as_it_was_written_and_fits_every_registry(crown: Crown) -> None:
    text = tags.crown_text(crown)
    assert tags.crown_from(text) == crown
    assert len(text) <= tags.LONGEST


WHOLE: dict[str, Any] = {"crowned": 3, "previous": None, "floor": 2, "met": True, "n": 4}


def test_a_crown_without_the_displaced_version_is_whole() -> None:
    assert tags.crown_from(json.dumps(WHOLE)) == Crown(3, None, 2, True, 4)


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_a_crown_with_a_part_missing_is_none(missing: str) -> None:
    with pytest.raises(tags.NotACrown):
        tags.crown_from(json.dumps({k: v for k, v in WHOLE.items() if k != missing}))


@pytest.mark.parametrize(
    "changed",
    [
        {"n": -1}, {"n": 1.0}, {"n": True}, {"n": "4"}, {"n": None}, {"n": 2**31}, {"floor": None}, {"floor": "2"},
        {"crowned": "3"}, {"crowned": [3]}, {"previous": False}, {"met": 1}, {"met": None}, {"displaced": {}},
    ],
)  # fmt: skip
def test_a_crown_with_a_part_of_another_kind_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(tags.NotACrown):
        tags.crown_from(json.dumps(WHOLE | changed))


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", "{", "[" * 900, '{"n": NaN}', " " * 1_001, json.dumps(WHOLE) + " " * 1_000, None, 3]
)
def test_anything_else_is_no_crown(text: object) -> None:
    with pytest.raises(tags.NotACrown):
        tags.crown_from(text)


@given(st.text(max_size=300))
def test_any_text_is_a_crown_or_refused(text: str) -> None:
    with contextlib.suppress(tags.NotACrown):
        assert isinstance(tags.crown_from(text), Crown)


@given(st.text(max_size=3_000))
def test_a_persons_text_is_short_printable_and_never_empty(text: str) -> None:
    kept = tags.short(text)
    assert 0 < len(kept) <= tags.LONGEST
    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in kept}
