"""Evaluations as command jobs of Azure ML: what is lost, refused or killed costs time, and begins no second job.

What the jobs leave is written beforehand here; that real ones keep the contract is in tests/contract.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.azureml.evaluations import AzuremlRuns
from tests.azureml.cloud import Cloud
from tests.azureml.evaluation_world import NAME, AzuremlWorld
from tests.contract.evaluator_suite import STRONG, WEAK
from watcher.errors import Transient
from watcher.evaluations import Fault, Holdout, Progress
from watcher.evaluators.remote import AGAIN, TRIALS, RemoteEvaluator
from watcher.values import Identity, Status, Version

SCORE = {"metric": "roc_auc", "challenger": 0.8, "champion": 0.7, "gain": 0.1, "low": 0.05, "high": 0.15, "rows": 100}


class Bench(AzuremlWorld):
    """Jobs end when the test lets them."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.free = threading.Event()
        self.free.set()
        self.fails = False
        self.jobs.work = self._scripted
        self.asked_for = self.asked(STRONG, WEAK)

    def version(self, number: int) -> Version:
        return Version(Identity("churn", number, 1_700 + number, "s"), Status.READY, "azureml://models/churn")

    def _scripted(self, key: str, home: Path, _data: Path | None) -> None:
        assert self.free.wait(30)
        if self.fails:
            raise RuntimeError
        attempt = json.loads((home / "jobs" / f"{key}.json").read_bytes())["attempt"]
        found = {
            "state": "done", "at": time.time(), "attempt": attempt, "data": "d", "rows": 100, "table_version": None,
            "level": 0.95, "look": 1, "changed": 0.1, "seconds": 1.5, "leak": "", "overlap": None, "leak_unknown": "",
            "scores": [SCORE],
        }  # fmt: skip
        (home / "results").mkdir(exist_ok=True)
        (home / "results" / f"{key}.json").write_text(json.dumps(found))

    @property
    def progress(self) -> Progress:
        return self.evaluator.observe(self.asked_for).progress

    def until(self, progress: Progress) -> None:
        self.wait_until(lambda: self.progress is progress)


@pytest.fixture
def bench(whole_cloud: Cloud, tmp_path: Path) -> Iterator[Bench]:
    whole_cloud.clear()
    whole_cloud.assets.clear()
    whole_cloud.blobs.clear()
    bench = Bench(whole_cloud, tmp_path)
    yield bench
    bench.free.set()


def test_a_job_that_runs_is_running_and_is_begun_once(bench: Bench) -> None:
    bench.free.clear()
    before = time.time()
    bench.evaluator.start(bench.asked_for)
    seen = bench.evaluator.observe(bench.asked_for)
    assert seen.progress is Progress.RUNNING
    assert before <= seen.since <= time.time()
    bench.another().start(bench.asked_for)
    assert bench.begun() == 1
    bench.free.set()
    bench.until(Progress.DONE)


@pytest.mark.parametrize("call", ["PUT /jobs/", r"PUT .*/jobs/[0-9a-f]+\.json", r"PUT /codes/"])
@pytest.mark.parametrize("after", [False, True])
def test_an_answer_that_is_lost_begins_no_second_job(bench: Bench, call: str, *, after: bool) -> None:
    bench.cloud.fail(call, 0, times=3, after=after)
    for each in (bench.evaluator, bench.another()):
        try:
            each.start(bench.asked_for)
        except Transient:
            continue
    bench.cloud.faults.clear()
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.DONE)
    assert bench.begun() == 1


def test_the_package_is_uploaded_once_for_its_contents(bench: Bench) -> None:
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.DONE)
    bench.change_data()
    bench.another().start(bench.asked_for)
    bench.until(Progress.DONE)
    assert bench.begun() == 2
    assert bench.cloud.count("PUT /codes/") == 1


def test_a_job_that_failed_is_nobodys_fault_and_is_begun_again_after_a_while(bench: Bench) -> None:
    bench.fails = True
    bench.evaluator.start(bench.asked_for)
    bench.until(Progress.FAILED)
    seen = bench.evaluator.observe(bench.asked_for)
    assert seen.fault is Fault.ELSEWHERE
    assert "ended without a result: Failed; its log: https://ml.example.com/runs/evaluation-" in seen.why
    bench.later = AGAIN - 60
    assert bench.evaluator.observe(bench.asked_for).since == seen.since, "it failed when it was first seen to have"
    bench.later = AGAIN + 60
    assert bench.progress is Progress.ABSENT
    bench.fails = False
    bench.another().start(bench.asked_for)
    bench.until(Progress.DONE)
    assert bench.begun() == 2


def test_another_version_of_the_data_is_other_data_and_a_fixed_one_stays(bench: Bench) -> None:
    fixed = replace(bench.asked_for, rules=replace(bench.rules, data=Holdout(f"azureml:{NAME}:1")))
    for asked in (bench.asked_for, fixed):
        bench.evaluator.start(asked)
    bench.wait_until(lambda: bench.evaluator.observe(fixed).progress is Progress.DONE)
    bench.until(Progress.DONE)
    bench.change_data()
    assert bench.progress is Progress.ABSENT
    assert bench.evaluator.observe(fixed).progress is Progress.DONE


def test_what_is_only_tried_lies_apart(bench: Bench) -> None:
    tried = RemoteEvaluator(AzuremlRuns(), None, {}, TRIALS)
    tried.start(bench.asked_for)
    bench.wait_until(lambda: tried.observe(bench.asked_for).progress is Progress.DONE)
    assert bench.progress is Progress.ABSENT
    assert {name.partition("/")[0] for name in bench.jobs.home()} == {"trials"}


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("compute", "gpu", "There is no compute gpu: correct evaluate.job.compute."),
        ("environment", "scoring:5", "There is no environment scoring:5: make it, or correct its name."),
    ],
)
def test_what_is_not_in_the_workspace_is_told(bench: Bench, setting: str, value: str, told: str) -> None:
    rules = replace(bench.rules, job={**bench.rules.job, setting: value})
    assert bench.evaluator.check(rules) == [told]


def test_data_that_are_not_there_are_told(bench: Bench) -> None:
    rules = replace(bench.rules, data=Holdout("azureml:others:7"))
    assert bench.evaluator.check(rules) == ["There are no data others:7 in the workspace."]
