"""The registry in memory and MLflow's own answer the same to the same history, whatever it is."""

from __future__ import annotations

import pytest

from tests.registry.fuzz import PEOPLE, PORTS, coverage, difference, recorded, report, slice_of_every_run

LONG = range(100, 112)


@pytest.mark.slow
def test_the_same_history_leads_to_the_same_answers_codes_and_marks() -> None:
    for history in slice_of_every_run():
        assert (found := difference(history)) is None, found


def test_the_histories_do_everything() -> None:
    reached = coverage(slice_of_every_run())
    assert {act for act, answer in reached if answer == "done"} == {*PEOPLE, *PORTS}, report(reached)


@pytest.mark.long
def test_many_long_histories_do_everything_in_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    histories = [recorded(seed, 400) for seed in LONG]
    reached = coverage(histories)
    with capsys.disabled():
        print(f"\n{report(reached)}")  # noqa: T201 an empty fuzz has to show
    for history in histories:
        assert (found := difference(history)) is None, found
    for act in {*PEOPLE, *PORTS} - {"changed", "evidence"}:
        answers = {answer for name, answer in reached if name == act}
        assert "done" in answers, report(reached)
        assert len(answers) > 1, report(reached)
