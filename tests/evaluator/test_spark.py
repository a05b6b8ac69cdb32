"""The runner `spark` where there is no Spark: one sentence with the remedy, and nothing is said about a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation import spark
from tests.contract.local_evaluations import LocalWorld
from tests.evaluator.world import in_process, job, logistic
from watcher.errors import Terminal
from watcher.evaluations import Evaluated, Progress
from watcher.evaluators.local import FUNCTIONS, REFUSED, LocalEvaluator


def no_pyspark(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setattr(spark, "pyspark", lambda: None)


def no_java(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.delenv("JAVA_HOME", raising=False)
    patch.setenv("PATH", str(folder))


def no_java_at_home(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("JAVA_HOME", str(folder))


def old_java(patch: pytest.MonkeyPatch, folder: Path) -> None:
    java(folder, "1.8.0_292")
    patch.setenv("JAVA_HOME", str(folder))


def java(home: Path, version: str) -> None:
    """What of an installed Java is looked at."""
    (home / "bin").mkdir()
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(f'IMPLEMENTOR="Me"\nJAVA_VERSION="{version}"\n')


MISSING: dict[Callable[[pytest.MonkeyPatch, Path], None], str] = {
    no_pyspark: (
        "The runner spark needs pyspark, which is not installed: install the extra spark, or write runner: local."
    ),
    no_java: (
        "The runner spark needs Java 17 or later, and there is none on the PATH: install it, or write runner: local."
    ),
    no_java_at_home: (
        "The runner spark needs Java 17 or later, and there is none at JAVA_HOME, {folder}: install it, or write"
        " runner: local."
    ),
    old_java: (
        "The runner spark needs Java 17 or later, and {folder}/bin/java is Java 8: set JAVA_HOME to a later one, or"
        " write runner: local."
    ),
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalWorld:
    monkeypatch.setattr(spark, "pyspark", lambda: "4.2.0")
    return LocalWorld(tmp_path / "watcher", "spark")


@pytest.mark.parametrize("lack", MISSING, ids=lambda each: each.__name__)
def test_what_is_missing_is_told_by_check_and_by_the_evaluation_and_no_model_is_at_fault(
    lack: Callable[[pytest.MonkeyPatch, Path], None], world: LocalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "java"
    folder.mkdir()
    lack(monkeypatch, folder)
    sentence = MISSING[lack].format(folder=folder)
    assert world.evaluator.check(world.rules) == [sentence]
    told = in_process(job(logistic(0, 1), logistic(0), master="local[*]"), tmp_path / "evaluations")
    assert (told["state"], told["fault"], told["why"]) == ("failed", "elsewhere", sentence)


@pytest.mark.parametrize("version", ["17.0.15", "25", "of the future"])
def test_a_java_that_may_do_is_no_objection(
    version: str, world: LocalWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java(tmp_path, version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert world.evaluator.check(world.rules) == []


def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark, "pyspark", lambda: "4.2.0")
    java(tmp_path, "17")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert spark.missing("spark://127.0.0.1:1") == (
        "No Spark answers at spark://127.0.0.1:1 (Connection refused): start it, or correct job.master."
    )


def test_azure_functions_refuses_it_wherever_it_is_asked(tmp_path: Path) -> None:
    world = LocalWorld(tmp_path, "spark")
    hosted = LocalEvaluator(tmp_path, None, {FUNCTIONS: "python"})
    asked = world.asked(2, 1)
    assert hosted.check(world.rules) == [REFUSED]
    assert hosted.observe(asked) == Evaluated(Progress.FAILED, why=REFUSED)
    with pytest.raises(Terminal, match="no Java"):
        hosted.start(asked)
    assert world.begun() == 0
