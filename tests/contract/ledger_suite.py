"""What every ledger must do: inherit `LedgerSuite` and give it the fixture `ledger`."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.errors import Conflict, Terminal
from watcher.pause import UNTIL_RESUMED
from watcher.ports import Ledger, Line

HOSTILE = [
    "prod.risk.churn",
    "über/モデル",
    "'; DROP TABLE record; --",
    "<script>alert(1)</script>",
    "a\x00b",
    "\ud800 alone",
    "../../etc/passwd",
    "%",
    "a_b",
    "\u202egnp.exe",
    "line\nbreak\r\x1b[31mred",
    "",
    " ",
    "é",
    "e\u0301",
    "x" * 5000,
]
text = st.text(alphabet=st.characters(), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


class WipeableLedger(Ledger, Protocol):
    def wipe(self) -> None: ...


def race(ledgers: list[Ledger], wins: int) -> list[str]:
    """Let one thread per ledger save the same record until it has won `wins` times; returns all revisions won."""
    with ThreadPoolExecutor(len(ledgers)) as threads:
        won = threads.map(lambda ledger: save_often(ledger, "race", wins), ledgers)
        return [revision for revisions in won for revision in revisions]


def assert_each_revision_is_won_once(
    opens: Callable[..., Ledger], about: tuple[Any, ...], wins: int, after: Ledger
) -> None:
    """Two processes, each of which opens the ledger by itself, save the same record until each has won so often."""
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.SimpleQueue()
    workers = [spawn.Process(target=_save_elsewhere, args=(opens, about, wins, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    won = [revision for _ in workers for revision in answers.get()]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    stored = after.load("race")
    assert stored is not None
    assert stored.body == {"number": 2 * wins}
    assert stored.revision in won
    assert len(set(won)) == 2 * wins
    assert [line.version for line in after.history(newest_first=False)] == list(range(1, 2 * wins + 1))


def _save_elsewhere(
    opens: Callable[..., Ledger], about: tuple[Any, ...], wins: int, answers: multiprocessing.SimpleQueue[list[str]]
) -> None:
    answers.put(save_often(opens(*about), "race", wins))


def assert_a_forked_child_does_no_harm(ledger: Ledger) -> None:
    """A child saves through what its parent had opened, and the parent goes on from there."""
    first = ledger.save("m", {"n": 1}, None)
    child = os.fork()
    if not child:
        try:
            ledger.save("m", {"n": 2}, first)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    stored = ledger.load("m")
    assert stored is not None
    assert stored.body == {"n": 2}
    ledger.save("m", {"n": 3}, stored.revision)


def save_often(ledger: Ledger, key: str, wins: int) -> list[str]:
    """Add one to the record's number and write one line, `wins` times, beginning again after each lost race."""
    won: list[str] = []
    while len(won) < wins:
        stored = ledger.load(key)
        number = stored.body["number"] + 1 if stored else 1
        lines = [Line(float(number), key, "seen", version=number)]
        try:
            won.append(ledger.save(key, {"number": number}, stored.revision if stored else None, lines))
        except Conflict:
            continue
    return won


class LedgerSuite:
    examples = 60
    """Generated records."""
    wins = 50
    """Of each racing thread."""

    def test_a_record_that_was_never_saved_is_none(self, ledger: WipeableLedger) -> None:
        assert ledger.load("churn") is None
        assert ledger.due(1e12) == []
        assert ledger.history() == []

    def test_a_saved_record_is_read_back_with_its_revision(self, ledger: WipeableLedger) -> None:
        revision = ledger.save("churn", {"n": 1, "deep": {"list": [1, 2.5, None, True]}}, None)
        stored = ledger.load("churn")
        assert stored is not None
        assert stored.body == {"n": 1, "deep": {"list": [1, 2.5, None, True]}}
        assert stored.revision == revision

    def test_a_later_change_of_the_callers_value_does_not_reach_the_ledger(self, ledger: WipeableLedger) -> None:
        body: dict[str, Any] = {"list": [1]}
        data: dict[str, Any] = {"list": [1]}
        ledger.save("churn", body, None, [Line(1.0, "churn", "seen", data=data)])
        body["list"].append(2)
        data["list"].append(2)
        stored = ledger.load("churn")
        assert stored is not None
        assert stored.body == {"list": [1]}
        assert ledger.history()[0].data == {"list": [1]}

    def test_a_save_with_an_old_revision_changes_nothing(self, ledger: WipeableLedger) -> None:
        first = ledger.save("churn", {"n": 1}, None, due=9.0)
        second = ledger.save("churn", {"n": 2}, first, due=5.0)
        with pytest.raises(Conflict, match=r"^ledger: 'churn' was written by somebody else in the meantime$"):
            ledger.save("churn", {"n": 3}, first, [Line(1.0, "churn", "seen")], due=1.0)
        stored = ledger.load("churn")
        assert stored is not None
        assert (stored.body, stored.revision) == ({"n": 2}, second)
        assert ledger.history() == []
        assert ledger.due(4.0) == []

    def test_a_first_save_conflicts_where_a_record_is_already_there(self, ledger: WipeableLedger) -> None:
        ledger.save("churn", {"n": 1}, None)
        with pytest.raises(Conflict):
            ledger.save("churn", {"n": 1}, None)

    def test_a_save_over_a_wiped_record_conflicts_and_the_history_stays(self, ledger: WipeableLedger) -> None:
        revision = ledger.save("churn", {"n": 1}, None, [Line(1.0, "churn", "seen")], due=1.0)
        ledger.wipe()
        assert ledger.load("churn") is None
        assert ledger.due(2.0) == []
        assert len(ledger.history()) == 1
        with pytest.raises(Conflict):
            ledger.save("churn", {"n": 2}, revision)
        ledger.save("churn", {"n": 2}, None)

    def test_a_revision_never_comes_back_even_for_the_same_content(self, ledger: WipeableLedger) -> None:
        """A counter would: after a wipe an old worker's revision 1 would fit the new record's revision 1."""
        seen = set()
        for _ in range(5):
            ledger.wipe()
            first = ledger.save("churn", {}, None)
            seen |= {first, ledger.save("churn", {}, first)}
        assert len(seen) == 10

    def test_keys_are_told_apart_exactly(self, ledger: WipeableLedger) -> None:
        for number, key in enumerate(HOSTILE):
            ledger.save(key, {"number": number}, None, due=float(number))
        for number, key in enumerate(HOSTILE):
            stored = ledger.load(key)
            assert stored is not None
            assert stored.body == {"number": number}
        assert ledger.due(1e9) == HOSTILE

    def test_hostile_text_stays_data_in_the_history(self, ledger: WipeableLedger) -> None:
        lines = [Line(float(n), t, "seen", t, n, t, {t: t}) for n, t in enumerate(HOSTILE)]
        ledger.save("churn", {}, None, lines)
        assert ledger.history(newest_first=False) == lines
        for line in lines:
            assert ledger.history(model=line.model, target=line.target) == [line]

    def test_any_json_comes_back_as_it_was(self, ledger: WipeableLedger) -> None:
        @given(body=st.dictionaries(text, json_values, max_size=5))
        @settings(max_examples=self.examples, deadline=None)
        def check(body: dict[str, Any]) -> None:
            stored = ledger.load("any")
            ledger.save("any", body, stored.revision if stored else None, [Line(1.0, "any", "seen", data=body)])
            stored = ledger.load("any")
            assert stored is not None
            assert stored.body == body
            assert ledger.history(most=1)[0].data == body

        check()

    @pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
    def test_what_is_not_json_is_refused_and_nothing_is_written(self, ledger: WipeableLedger, value: object) -> None:
        with pytest.raises(Terminal):
            ledger.save("churn", {"x": value}, None, [Line(1.0, "churn", "seen")])
        with pytest.raises(Terminal):
            ledger.save("churn", {}, None, [Line(1.0, "churn", "seen"), Line(1.0, "churn", "seen", data={"x": value})])
        assert ledger.load("churn") is None
        assert ledger.history() == []

    def test_due_gives_the_longest_overdue_first_and_nothing_early(self, ledger: WipeableLedger) -> None:
        for key, due in {"late": 30.0, "first": 10.0, "second": 20.0, "never": None}.items():
            ledger.save(key, {}, None, due=due)
        assert ledger.due(9.9) == []
        assert ledger.due(10.0) == ["first"]
        assert ledger.due(30.0) == ["first", "second", "late"]

    def test_what_waits_for_the_end_of_a_pause_is_due_before_all_else_and_can_be_told_apart(
        self, ledger: WipeableLedger
    ) -> None:
        ledger.save("paused", {}, None, due=UNTIL_RESUMED)
        ledger.save("other", {}, None, due=1e-3)
        assert ledger.due(UNTIL_RESUMED) == ["paused"]
        assert ledger.due(2e9) == ["paused", "other"]
        stored = ledger.load("paused")
        assert stored is not None
        assert stored.due == UNTIL_RESUMED

    def test_due_at_the_same_moment_is_ordered_by_key(self, ledger: WipeableLedger) -> None:
        for key in ("b", "c", "a"):
            ledger.save(key, {}, None, due=1.0)
        assert ledger.due(1.0) == ["a", "b", "c"]

    def test_a_record_tells_when_it_is_due(self, ledger: WipeableLedger) -> None:
        first = ledger.save("churn", {}, None, due=12.5)
        stored = ledger.load("churn")
        assert stored is not None
        assert stored.due == 12.5
        ledger.save("churn", {}, first)
        stored = ledger.load("churn")
        assert stored is not None
        assert stored.due is None

    def test_a_later_save_moves_or_clears_due(self, ledger: WipeableLedger) -> None:
        first = ledger.save("churn", {}, None, due=1.0)
        second = ledger.save("churn", {}, first, due=50.0)
        assert ledger.due(49.0) == []
        ledger.save("churn", {}, second)
        assert ledger.due(1e12) == []

    def test_history_is_bounded_by_time_with_both_ends_included(self, ledger: WipeableLedger) -> None:
        ledger.save("m", {}, None, [Line(float(at), "m", "seen", version=at) for at in range(1, 8)])
        assert [line.version for line in ledger.history(since=3.0, until=5.0)] == [5, 4, 3]
        assert [line.version for line in ledger.history(since=6.5)] == [7]
        assert [line.version for line in ledger.history(until=0.5)] == []

    def test_history_is_ordered_by_time_whatever_the_order_of_writing(self, ledger: WipeableLedger) -> None:
        ledger.save("m", {}, None, [Line(float(at), "m", "seen", version=at) for at in (3, 1, 2)])
        assert [line.version for line in ledger.history()] == [3, 2, 1]
        assert [line.version for line in ledger.history(newest_first=False)] == [1, 2, 3]

    def test_lines_of_one_moment_keep_the_order_of_writing(self, ledger: WipeableLedger) -> None:
        ledger.save("m", {}, None, [Line(1.0, "m", "seen", version=number) for number in range(5)])
        assert [line.version for line in ledger.history(newest_first=False)] == [0, 1, 2, 3, 4]
        assert [line.version for line in ledger.history()] == [4, 3, 2, 1, 0]

    def test_history_is_read_in_pages_by_time(self, ledger: WipeableLedger) -> None:
        ledger.save("m", {}, None, [Line(float(at), "m", "seen", version=at) for at in range(25)])
        pages, until = [], None
        while page := ledger.history(model="m", most=10, until=until):
            pages.append([line.version for line in page])
            until = page[-1].at - 0.5
        assert pages == [list(range(24, 14, -1)), list(range(14, 4, -1)), list(range(4, -1, -1))]

    def test_the_number_of_lines_counts_from_the_end_that_is_read_first(self, ledger: WipeableLedger) -> None:
        ledger.save("m", {}, None, [Line(float(at), "m", "seen", version=at) for at in range(5)])
        assert [line.version for line in ledger.history(most=2)] == [4, 3]
        assert [line.version for line in ledger.history(most=2, newest_first=False)] == [0, 1]

    @pytest.mark.parametrize("most", [0, -1])
    def test_no_lines_are_asked_for_and_none_come(self, ledger: WipeableLedger, most: int) -> None:
        ledger.save("m", {}, None, [Line(1.0, "m", "seen")])
        assert ledger.history(most=most) == []

    def test_history_is_chosen_by_model_event_and_target_together(self, ledger: WipeableLedger) -> None:
        lines = [
            Line(float(number), model, event, target, number)
            for number, (model, event, target) in enumerate(
                (m, e, t) for m in ("a", "b") for e in ("live", "done") for t in ("api", None)
            )
        ]
        ledger.save("m", {}, None, lines)
        for model in ("a", "b", None):
            for event in ("live", "done", None):
                for target in ("api", None):
                    wanted = [
                        line
                        for line in lines
                        if model in (None, line.model) and event in (None, line.event) and target in (None, line.target)
                    ]
                    found = ledger.history(model=model, event=event, target=target, newest_first=False)
                    assert found == wanted

    def test_one_of_several_racing_threads_wins_each_revision(self, ledger: WipeableLedger) -> None:
        won = race([ledger] * 4, self.wins)
        all_won = 4 * self.wins
        stored = ledger.load("race")
        assert stored is not None
        assert stored.body == {"number": all_won}
        assert len(set(won)) == all_won
        assert [line.version for line in ledger.history(newest_first=False)] == list(range(1, all_won + 1))
