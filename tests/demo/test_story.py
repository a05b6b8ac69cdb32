"""The story on real parts: a registry, the watcher, the gateway, models, a client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.demo.processes import left_over, running

LONGEST = 180.0
"""Seconds that the whole may take on two cores."""


def told(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """What a person saw, and the report; every promise was kept and nothing is left."""
    with running(folder, *arguments) as demo:
        text, _ = demo.communicate(timeout=2 * LONGEST)
    assert demo.returncode == 0, text
    assert left_over(folder) == []
    report = json.loads((folder / "report.json").read_text())
    assert report["requests_failed"] == 0
    assert report["requests_sent"] == sum(report["answers"].values()) + report["requests_failed_v6"]
    assert set(report["promises"].values()) == {"kept"}
    rows = report["rows"]
    assert rows["in"] == rows["out"] == sum(rows["by_version"].values()) > 0
    assert (rows["lost"], rows["twice"]) == (0, 0)
    return " ".join(text.split()), report


def calls(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {version: (said["call"], said["reason"]) for version, said in report["verdicts"].items()}


@pytest.mark.slow
def test_a_better_metric_of_version_3_changes_the_story(tmp_path: Path) -> None:
    """Nothing is scripted: with its measured metric version 3 loses, as the whole story shows."""
    text, report = told(tmp_path / "demo", "--acts", "3", "--metric", "3=0.6")
    assert calls(report) == {
        "1": ("wins", "first_version"),
        "2": ("wins", "beats_champion"),
        "3": ("wins", "beats_champion"),
        "4": ("invalid", "evidence_untrusted"),
    }
    assert report["champion"] == 3
    assert set(report["answers"]) == {"1", "2", "3"}
    assert set(report["rows"]["by_version"]) == {"1", "2", "3"}
    assert [run["version"] for run in report["runs"]] == [2, 3]
    assert set(report["seconds_to_first_answer"]) == {"1", "2", "3"}
    assert "version 3 is the champion now, in place of version 2." in text
    assert "version 4 waits: evidence missing" in text
    assert "\x1b" not in text


@pytest.mark.long
def test_the_whole_story(tmp_path: Path) -> None:
    text, report = told(tmp_path / "demo")
    assert calls(report) == {
        "1": ("wins", "first_version"),
        "2": ("displaced", ""),
        "3": ("loses", "gain_too_small"),
        "4": ("invalid", "evidence_untrusted"),
        "5": ("rolled_back", "probe_failed"),
        "6": ("rolled_back", "analysis_errors"),
        "7": ("invalid", "input_refused"),
        "8": ("wins", "beats_champion"),
    }
    assert report["champion"] == 8
    assert set(report["answers"]) == {"1", "2", "6", "8"}
    assert report["requests_failed_v6"] > 0
    assert set(report["rows"]["by_version"]) == {"1", "2", "8"}
    assert {run["version"] for run in report["runs"]} == {2, 8}
    assert "version 2 wrote" in text
    assert "version 6 at 50 %" not in text
    assert "`body_mass_index`" in report["verdicts"]["7"]["detail"]
    assert report["seconds_from_order_to_answer"]["1"] < 10
    assert report["seconds"] < LONGEST
