"""Numbers are believed only where MLflow's two copies of them agree."""

from __future__ import annotations

import math

import pytest
from mlflow.entities import Dataset, DatasetInput

from tests.registry.mlflow_world import MlflowWorld
from watcher.values import Metric, Version


def metrics(world: MlflowWorld, number: int, name: str = "m") -> dict[str, Metric]:
    found = world.registry.version(name, number)
    assert isinstance(found, Version)
    return dict(world.registry.of(found).metrics)


def version_of_run(world: MlflowWorld, run_id: str) -> int:
    """A version that knows only its run, as versions from before logged models do."""
    if not world.registry.read("m").exists:
        world.create_model("m")
    return int(world.client.create_model_version("m", "/nowhere/model", run_id=run_id).version)


def run(world: MlflowWorld) -> str:
    return str(world.client.create_run(world.experiment).info.run_id)


def test_nan_on_a_logged_model_is_not_the_zero_it_reads_back_as(world: MlflowWorld) -> None:
    number = world.create_version("m", {"log_loss": math.nan})
    _, model_id = world.runs["m", number]
    raw = {m.key: m.value for m in world.client.get_logged_model(model_id).metrics or ()}
    assert raw == {"log_loss": 0.0}, "MLflow keeps NaN now: the cross-check can go"
    metric = metrics(world, number)["log_loss"]
    assert metric.problem is not None
    assert "NaN" in metric.problem


def test_infinity_is_not_the_largest_float_it_reads_back_as(world: MlflowWorld) -> None:
    number = world.create_version("m", {"auc": math.inf})
    metric = metrics(world, number)["auc"]
    assert math.isfinite(metric.value)
    assert metric.problem is not None


def test_nan_hidden_behind_a_zero_of_a_higher_step_is_found(world: MlflowWorld) -> None:
    number = world.create_version("m")
    run_id, model_id = world.runs["m", number]
    world.client.log_metric(run_id, "log_loss", 0.0, timestamp=1_000, step=9, model_id=model_id)
    world.client.log_metric(run_id, "log_loss", math.nan, timestamp=2_000, step=0, model_id=model_id)
    assert metrics(world, number)["log_loss"].problem is not None


def test_the_last_number_logged_counts_not_the_one_of_the_highest_step(world: MlflowWorld) -> None:
    number = world.create_version("m")
    run_id, model_id = world.runs["m", number]
    world.client.log_metric(run_id, "auc", 0.99, timestamp=1_000, step=100, model_id=model_id)
    world.client.log_metric(run_id, "auc", 0.71, timestamp=2_000, step=0, model_id=model_id)
    metric = metrics(world, number)["auc"]
    assert (metric.value, metric.problem, metric.origin) == (0.71, None, f"logged model {model_id}")


def test_a_run_whose_highest_step_hides_a_later_number_has_a_problem(world: MlflowWorld) -> None:
    run_id = run(world)
    world.client.log_metric(run_id, "auc", 0.99, timestamp=1_000, step=100)
    world.client.log_metric(run_id, "auc", 0.71, timestamp=2_000, step=0)
    metric = metrics(world, version_of_run(world, run_id))["auc"]
    assert metric.value == 0.99
    assert metric.problem is not None
    assert "0.71" in metric.problem


def test_a_run_with_rising_steps_is_believed(world: MlflowWorld) -> None:
    run_id = run(world)
    for step, value in enumerate((0.5, 0.6, 0.7)):
        world.client.log_metric(run_id, "auc", value, timestamp=1_000 + step, step=step)
    metric = metrics(world, version_of_run(world, run_id))["auc"]
    assert metric == Metric(0.7, f"run {run_id}")


def test_two_models_of_one_run_keep_their_own_numbers(world: MlflowWorld) -> None:
    first = world.create_version("m")
    run_id, model_a = world.runs["m", first]
    model_b = world.logged_model(run_id)
    second = int(world.client.create_model_version("m", f"models:/{model_b}", run_id=run_id).version)
    world.client.log_metric(run_id, "auc", 0.7, timestamp=1_000, model_id=model_a)
    world.client.log_metric(run_id, "auc", 0.9, timestamp=2_000, model_id=model_b)
    assert (metrics(world, first)["auc"].value, metrics(world, first)["auc"].problem) == (0.7, None)
    assert (metrics(world, second)["auc"].value, metrics(world, second)["auc"].problem) == (0.9, None)


def test_a_number_of_a_run_that_logged_several_models_belongs_to_none(world: MlflowWorld) -> None:
    from mlflow.entities import LoggedModelOutput

    number = world.create_version("m")
    run_id, model_a = world.runs["m", number]
    model_b = world.logged_model(run_id)
    world.client.log_outputs(run_id, [LoggedModelOutput(model_a, 0), LoggedModelOutput(model_b, 0)])
    world.client.log_metric(run_id, "auc", 0.9)
    assert metrics(world, number)["auc"].problem is not None


def test_numbers_only_on_the_run_are_taken_from_there_with_its_only_data_set(world: MlflowWorld) -> None:
    run_id = run(world)
    world.client.log_metric(run_id, "auc", 0.9)
    world.client.log_inputs(run_id, [DatasetInput(Dataset("holdout", "abc12345", "local", "{}"))])
    metric = metrics(world, version_of_run(world, run_id))["auc"]
    assert metric == Metric(0.9, f"run {run_id}", "holdout", "abc12345")


def test_a_run_with_two_data_sets_does_not_say_which_one_was_measured_on(world: MlflowWorld) -> None:
    run_id = run(world)
    world.client.log_metric(run_id, "auc", 0.9)
    sets = [DatasetInput(Dataset(name, f"{name}1234", "local", "{}")) for name in ("train", "holdout")]
    world.client.log_inputs(run_id, sets)
    metric = metrics(world, version_of_run(world, run_id))["auc"]
    assert (metric.dataset, metric.digest) == (None, None)


def test_the_same_metric_on_two_data_sets_is_the_last_one_with_its_own_digest(world: MlflowWorld) -> None:
    number = world.create_version("m")
    run_id, model_id = world.runs["m", number]
    for at, dataset, value in ((1_000, "train", 0.99), (2_000, "holdout", 0.8)):
        world.client.log_metric(
            run_id, "auc", value, timestamp=at, model_id=model_id, dataset_name=dataset, dataset_digest=f"{dataset}12"
        )
    metric = metrics(world, number)["auc"]
    assert (metric.value, metric.dataset, metric.digest, metric.problem) == (0.8, "holdout", "holdout12", None)


def test_a_deleted_run_still_confirms_and_still_measures(world: MlflowWorld) -> None:
    number = world.create_version("m", {"errors": 0.0})
    run_id, _ = world.runs["m", number]
    world.client.log_metric(run_id, "auc", 0.9)
    world.client.delete_run(run_id)
    found = metrics(world, number)
    assert found["errors"].problem is None
    assert found["auc"] == Metric(0.9, f"run {run_id} (deleted)")


def test_a_deleted_logged_model_leaves_its_numbers_to_the_run(world: MlflowWorld) -> None:
    number = world.create_version("m", {"auc": 0.9})
    run_id, model_id = world.runs["m", number]
    world.client.delete_logged_model(model_id)
    assert metrics(world, number)["auc"] == Metric(0.9, f"run {run_id}")


@pytest.mark.parametrize("run_id", ["0" * 32, None])
def test_a_version_without_a_run_here_has_no_metrics(world: MlflowWorld, run_id: str | None) -> None:
    world.create_model("m")
    number = int(world.client.create_model_version("m", "/nowhere/model", run_id=run_id).version)
    assert metrics(world, number) == {}
