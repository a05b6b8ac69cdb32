"""The closed list of reasons and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.reasons import DECIDING, JUDGING, REASONS, Reason, page

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"


def test_the_page_says_what_the_list_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m watcher.reasons > docs/reasons.md"


def test_every_code_is_there_once() -> None:
    assert len(REASONS) == len(JUDGING) + len(DECIDING)


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS.keys())
def test_a_reason_is_one_sentence_each_of_meaning_and_remedy(reason: Reason) -> None:
    for text in (reason.sentence, reason.remedy):
        assert text.endswith(".")
        assert ". " not in text
        assert "|" not in text
