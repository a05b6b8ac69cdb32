"""What is measured, and when winners may go, as they are written."""

from __future__ import annotations

import pytest

from tests.config.conftest import Desk
from watcher.config.windows import Window
from watcher.evaluations import Evaluate, Holdout, Slice
from watcher.policy import Better, Guard, Primary

WHOLE = """
    evaluate:
      data: {uri: "abfss://ml@account.dfs.core.windows.net/holdout/churn", format: delta, version: 12}
      target: churned
      metrics: [roc_auc, log_loss]
      slices: [{column: region, min_rows: 200}]
      group: customer_id
      runner: local
      max_rows: 500_000
      max_overlap: 0.01
      memory: 2g
      timeout: 30m
    primary: {metric: roc_auc, better: higher, min_gain: 0.002, confidence: 0.9}
    guards: [{metric: roc_auc, each: region, max_drop: 0.02}]
    change_window:
      {days: mon-thu, from: "09:00", to: "16:00", zone: Europe/Amsterdam,
       freezes: [{first: 2026-12-21, last: 2027-01-03}]}
"""
OLD = "\n    primary: {metric: auc}\n"


def written(text: str) -> str:
    """A policy with `evaluate` and one more line or changed one."""
    return f"""
    evaluate: {{data: {{uri: rows.parquet}}, target: y, metrics: [roc_auc, log_loss]}}
    {text}
"""


def test_everything_about_an_evaluation_is_carried_across(desk: Desk) -> None:
    policy = desk.load(desk.changed(OLD, WHOLE)).policies["binary"]
    assert policy.evaluate == Evaluate(
        Holdout("abfss://ml@account.dfs.core.windows.net/holdout/churn", "delta", 12),
        "churned",
        ("roc_auc", "log_loss"),
        (Slice("region", 200),),
        "customer_id",
        "local",
        500_000,
        0.01,
        2 * 2**30,
        1_800.0,
    )
    assert policy.primary == Primary("roc_auc", Better.HIGHER, 0.002, confidence=0.9)
    assert policy.guards == (Guard("roc_auc", 0.02, each="region"),)
    freezes = (("2026-12-21", "2027-01-03"),)
    assert policy.change_window == Window("mon-thu", "09:00", "16:00", "Europe/Amsterdam", freezes)


def test_a_policy_without_an_evaluation_is_as_it_was(desk: Desk) -> None:
    policy = desk.load(desk.changed("owner: me", "owner: me")).policies["binary"]
    assert (policy.evaluate, policy.change_window, policy.primary) == (None, None, Primary("auc"))


MISTAKES = {
    "primary: {metric: auc, confidence: 0.95}": (
        "primary.confidence: needs a metric that is measured; put 'auc' into evaluate.metrics"
    ),
    "primary: {metric: auc, non_inferior: 0.01}": (
        "primary.non_inferior: needs a metric that is measured; put 'auc' into evaluate.metrics"
    ),
    "primary: {metric: log_loss}": "primary.better: log_loss is better lower; write better: lower",
    "primary: {metric: roc_auc, confidence: 95}": "primary.confidence: '95' is too large; less than 1",
    "primary: {metric: roc_auc, confidence: 0.3}": "primary.confidence: '0.3' is too small; more than 0.5",
    "primary: {metric: roc_auc, non_inferior: 0.01, min_gain: 0.1}": (
        "primary.non_inferior: write either min_gain or non_inferior"
    ),
    "primary: {metric: roc_auc}\n    guards: [{metric: roc_auc, each: region, max_drop: 0.1}]": (
        "guards[0].each: 'region' is no column of evaluate.slices; add it there"
    ),
    "primary: {metric: roc_auc}\n    change_window: {days: monday}": (
        "change_window.days: 'monday' is no days of the week; write such as mon-thu, or mon,wed,fri"
    ),
    "primary: {metric: roc_auc}\n    change_window: {from: 9am}": (
        'change_window.from: \'9am\' is no time of the day; write such as "09:00", in quotes, up to "24:00"'
    ),
    "primary: {metric: roc_auc}\n    change_window: {zone: Amsterdam}": (
        "change_window.zone: 'Amsterdam' is no time zone that is known; write such as UTC or Europe/Amsterdam"
    ),
    "primary: {metric: roc_auc}\n    change_window: {freezes: [{first: tomorrow, last: 2026-01-01}]}": (
        "change_window.freezes[0].first: 'tomorrow' is no date; write such as 2026-12-21"
    ),
}


@pytest.mark.parametrize("text", sorted(MISTAKES))
def test_a_mistake_is_told_with_its_remedy(desk: Desk, text: str) -> None:
    (mistake,) = desk.wrong(OLD, written(text))
    assert mistake.partition("policies.binary.")[2] == MISTAKES[text]


def test_a_metric_that_is_not_known_is_a_mistake(desk: Desk) -> None:
    (mistake,) = desk.wrong(OLD, written("primary: {metric: roc_auc}").replace("log_loss", "roc_acu"))
    assert "evaluate.metrics" in mistake
    assert "No metric is called 'roc_acu': did you mean roc_auc?" in mistake


def on(runner: str, more: str, uri: str = "/Volumes/a/b/c/rows.parquet") -> str:
    """A policy whose evaluation runs elsewhere."""
    text = written("primary: {metric: roc_auc}").replace("rows.parquet", uri)
    return text.replace("target: y", f"target: y, runner: {runner}, {more}")


DATABRICKS = "home: /Volumes/ml/risk/watcher/evaluations/, job: {job_id: 123, profile: prod}"
AZUREML = "job: {workspace: a/b/c, compute: cpu, environment: scoring:4}"
RUNNERS = {
    ("databricks", DATABRICKS.replace("job_id: 123, ", "")): (
        "job.job_id: the key is missing; the runner databricks needs it"
    ),
    (
        "databricks",
        DATABRICKS.replace("123", "'123'"),
    ): "job.job_id: '123' stands in quotes, which make it text; remove them",
    ("databricks", DATABRICKS.replace("profile: prod", "compute: cpu")): (
        "job.compute: the runner databricks takes no such key; leave it out"
    ),
    ("databricks", DATABRICKS.replace("/Volumes/ml", "/dbfs")): (
        "home: '/dbfs/risk/watcher/evaluations/' is none; the runner databricks needs a folder of a volume:"
        " /Volumes/CATALOG/SCHEMA/VOLUME/FOLDER"
    ),
    ("databricks", "job: {job_id: 123}"): (
        "home: the runner databricks needs a folder of a volume: /Volumes/CATALOG/SCHEMA/VOLUME/FOLDER"
    ),
    ("local", "job: {job_id: 123}"): "job: the runner local runs no job of yours; leave it out",
    ("local", "home: /Volumes/a/b/c/d"): ("home: the runner local keeps its results beside the settings; leave it out"),
    (
        "azureml",
        AZUREML.replace("a/b/c", "b/c"),
    ): "job.workspace: 'b/c' is none; write SUBSCRIPTION/RESOURCE-GROUP/NAME",
    ("azureml", AZUREML.replace("scoring:4", "scoring")): "job.environment: 'scoring' is none; write NAME:VERSION",
    ("azureml", AZUREML.replace("compute: cpu, ", "")): "job.compute: the key is missing; the runner azureml needs it",
    ("azureml", AZUREML + ", home: /mnt/watcher"): (
        "home: '/mnt/watcher' is none; write a path in the workspace's own store such as watcher"
    ),
    ("spark", "job: {master: yarn}"): "job.master: 'yarn' is none; write local[*], local[N] or spark://HOST:PORT",
    ("spark", "job: {master: 'local[0]'}"): (
        "job.master: 'local[0]' is none; write local[*], local[N] or spark://HOST:PORT"
    ),
    ("spark", "job: {compute: cpu}"): "job.compute: the runner spark takes no such key; leave it out",
    ("spark", "home: /mnt/watcher"): "home: the runner spark keeps its results beside the settings; leave it out",
}


@pytest.mark.parametrize("master", ["local[*]", "local[12]", "local", "spark://one:7077,two:7077"])
def test_a_spark_of_ones_own_evaluates_on_rows_of_this_machine(desk: Desk, master: str) -> None:
    text = on("spark", f"job: {{master: '{master}'}}", "rows.parquet")
    evaluate = desk.load(desk.changed(OLD, text)).policies["binary"].evaluate
    assert evaluate is not None
    assert (evaluate.runner, evaluate.job, evaluate.data.uri) == ("spark", {"master": master}, "rows.parquet")


def test_a_job_of_databricks_evaluates(desk: Desk) -> None:
    evaluate = desk.load(desk.changed(OLD, on("databricks", DATABRICKS))).policies["binary"].evaluate
    assert evaluate is not None
    assert (evaluate.runner, evaluate.home) == ("databricks", "/Volumes/ml/risk/watcher/evaluations")
    assert evaluate.job == {"job_id": 123, "profile": "prod"}


@pytest.mark.parametrize(("runner", "more"), sorted(RUNNERS))
def test_what_a_runner_needs_and_does_not_take_is_told(desk: Desk, runner: str, more: str) -> None:
    (mistake,) = desk.wrong(OLD, on(runner, more))
    assert mistake.partition("policies.binary.evaluate.")[2] == RUNNERS[runner, more]


def test_a_holdout_of_this_machine_is_out_of_reach_of_a_job(desk: Desk) -> None:
    (mistake,) = desk.wrong(OLD, on("databricks", DATABRICKS, "rows.parquet"))
    assert mistake.endswith(
        "evaluate.data.uri: 'rows.parquet' is a place on this machine; the runner databricks needs one that its jobs"
        " reach"
    )


@pytest.mark.parametrize("uri", ["azureml:churn:3", "azureml:churn@latest"])
def test_a_command_job_of_azure_ml_evaluates_on_a_data_asset(desk: Desk, uri: str) -> None:
    evaluate = desk.load(desk.changed(OLD, on("azureml", AZUREML, f"'{uri}'"))).policies["binary"].evaluate
    assert evaluate is not None
    assert (evaluate.runner, evaluate.home, evaluate.data.uri) == ("azureml", "", uri)
    assert evaluate.job == {"workspace": "a/b/c", "compute": "cpu", "environment": "scoring:4"}


@pytest.mark.parametrize("uri", ["azureml:churn", "azureml://datastores/x/paths/y", "azureml:churn:3:4"])
def test_what_is_no_data_asset_is_a_mistake(desk: Desk, uri: str) -> None:
    (mistake,) = desk.wrong(OLD, on("azureml", AZUREML, f"'{uri}'"))
    assert mistake.endswith(
        f"evaluate.data.uri: '{uri}' names no data asset; write azureml:NAME:VERSION or NAME@latest"
    )
