"""The metric in the guide is measured once its package is installed; one that cannot be used is told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from evaluation.statistics import NotComparable, metric
from evaluation.statistics.own import points
from tests.docs.texts import pages
from tests.evaluator.world import holdout, in_process, job, logistic

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes code the module of an installed package that has these entry points."""

    def installed(code: str, entry_points: str) -> None:
        about = tmp_path / "site" / "churn_metrics-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: churn-metrics\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[watcher.metrics]\n{entry_points}\n")
        (about.parent / "churn_metrics.py").write_text(code)
        monkeypatch.syspath_prepend(about.parent)
        points.cache_clear()

    yield installed
    points.cache_clear()
    sys.modules.pop("churn_metrics", None)


def shown(language: str, word: str) -> str:
    """The guide's block of this language that has the word."""
    blocks = pages()["docs/how-to/evaluate.md"].blocks
    return next(block.text for block in blocks if block.language == language and word in block.text)


def test_the_metric_of_the_guide_is_measured_on_both_models(install: Install, tmp_path: Path) -> None:
    header, _, point = shown("toml", "profit").strip().partition("\n")
    assert header == '[project.entry-points."watcher.metrics"]'
    install(shown("python", "profit"), point.replace('"', ""))
    told = in_process(job(logistic(0, 1), logistic(2), metrics=("profit",)), tmp_path / "home")
    assert told["state"] == "done", told
    found = told["scores"][0]
    truth = pd.read_parquet(holdout())["churned"]
    assert found["metric"] == "profit"
    assert -10 < found["champion"] < found["challenger"] < 10 * truth.mean()
    assert 0 < found["low"] < found["gain"] < found["high"]


BAD = {
    "not there": ("", "cannot be loaded: "),
    "no metric": ("profit = len", "is a builtin_function_or_method: make it an evaluation.statistics.Metric"),
    "broken": ("raise RuntimeError('no licence')", "cannot be loaded: no licence"),
}


@pytest.mark.parametrize("problem", sorted(BAD))
def test_a_packages_metric_that_cannot_be_used_is_told(problem: str, install: Install) -> None:
    code, words = BAD[problem]
    install(code, "profit = churn_metrics:profit")
    with pytest.raises(NotComparable) as refused:
        metric("profit")
    assert "The metric 'profit' of churn_metrics:profit" in str(refused.value)
    assert words in str(refused.value)


def test_no_package_takes_the_name_of_a_known_metric_and_a_mistyped_name_finds_a_packages(install: Install) -> None:
    install("profit = None", "roc_auc = churn_metrics:profit\nprofit = churn_metrics:profit")
    assert metric("roc_auc").name == "roc_auc"
    with pytest.raises(NotComparable, match=r"No metric is called 'profits': did you mean profit\?"):
        metric("profits")


def test_a_metric_that_raises_has_no_number_and_says_why(install: Install, tmp_path: Path) -> None:
    code = shown("python", "profit").replace("return ", "return {}['rate'] * ")
    install(code, "profit = churn_metrics:profit")
    told = in_process(job(logistic(0, 1), logistic(2), metrics=("profit",)), tmp_path / "home")
    assert told["state"] == "done", told
    assert told["scores"][0]["why"].startswith("The metric is not defined on these rows: 'rate'")
