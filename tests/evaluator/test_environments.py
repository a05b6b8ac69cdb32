"""Models that need other libraries than the watcher's own."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from evaluation import environments
from evaluation.environments import interpreter
from evaluation.errors import EvaluationFailed
from evaluation.store import Store
from tests.evaluator.world import in_process, job, logistic, of, saved


def needing(name: str, *requirements: str, python: str | None = None) -> Path:
    """The description of a model that needs these; nothing else of it is there."""
    import yaml  # type: ignore[import-untyped]

    def save(path: str, _: object) -> None:
        Path(path).mkdir()
        flavor = {"loader_module": "mlflow.sklearn"} | ({"python_version": python} if python else {})
        about = {"flavors": {"python_function": flavor}, "mlflow_version": metadata.version("mlflow")}
        (Path(path) / "MLmodel").write_text(yaml.safe_dump(about))
        (Path(path) / "requirements.txt").write_text("\n".join(requirements))

    return saved(name, save)


def program(folder: Path, text: str) -> Path:
    """A program in the place of uv."""
    path = folder / "uv"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


REFUSED = {
    "no such Python": ("2.6.1", (), "exit 2", "it was made with Python 2.6), and there is no Python 2.6"),
    "another version": (
        None,
        ("scikit-learn==0.1",),
        'test "$1" = venv || { echo "no such version" >&2; exit 1; }',
        f"{metadata.version('scikit-learn')} is installed), and building it failed: no such version",
    ),
    "not installed": (None, ("nobody-has-this",), "exit 2", "it needs nobody-has-this)"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_an_environment_that_cannot_be_built_is_nobodys_fault_and_said(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, requirements, script, words = REFUSED[case]
    monkeypatch.setattr(environments, "uv", lambda: str(program(tmp_path, script)))
    model = needing(f"needing-{case}".replace(" ", "-"), *requirements, python=python)
    with pytest.raises(EvaluationFailed) as told:
        interpreter(model, Store(tmp_path), tmp_path / "log")
    assert words in str(told.value)
    assert not [path for path in (tmp_path / "environments").iterdir() if path.is_dir()], "nothing half built is left"


@pytest.mark.long
def test_a_champion_of_another_scikit_learn_is_scored_in_its_own_environment_beside_a_new_challenger(
    tmp_path: Path,
) -> None:
    old = logistic(0, requirements=("mlflow", "scikit-learn<1.9", "cloudpickle"))
    told = in_process(job(logistic(0, 1), old), tmp_path)
    assert of(told, "roc_auc")["low"] > 0.0
    (built,) = [path for path in (tmp_path / "environments").iterdir() if path.is_dir()]
    (installed,) = built.glob("lib/python3*/site-packages/scikit_learn-*.dist-info")
    assert installed.name < "scikit_learn-1.9"
