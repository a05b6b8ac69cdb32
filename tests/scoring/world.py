"""Tables, models and pointers for jobs, all of them real."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scoring import __main__ as scoring
from scoring.delta.stream import Options, Stream

ROWS = 20
FEATURES = ("a", "b")


@functools.cache
def _models() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="scoring-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def linear(factor: float = 1.0, columns: tuple[str, ...] = FEATURES) -> Path:
    """A model that answers `factor` times the sum of its columns, made once."""
    return _linear(factor, columns)


@functools.cache
def _linear(factor: float, columns: tuple[str, ...]) -> Path:
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    rows = pd.DataFrame({name: [float(n), n + 1.0, n * 3.0] for n, name in enumerate(columns, 1)})
    fitted = LinearRegression().fit(rows, rows.sum(axis=1))
    fitted.coef_, fitted.intercept_ = fitted.coef_ * 0 + factor, 0.0
    folder = _models() / f"linear-{factor:g}-{'-'.join(columns)}"
    mlflow.sklearn.save_model(
        fitted,
        folder,
        signature=infer_signature(rows, fitted.predict(rows)),
        input_example=rows.head(2),
        pip_requirements=["scikit-learn"],
    )
    return folder


@functools.cache
def python_model(name: str, body: str, output: str = "double", top: str = "") -> Path:
    """A model whose `predict(self, context, model_input)` is `body`; `top` is carried out whenever it is loaded."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    source = _models() / f"{name}.py"
    indented = "\n".join(f"        {line}" for line in body.splitlines())
    source.write_text(
        f"import mlflow\n{top}\n\nclass Model(mlflow.pyfunc.PythonModel):\n"
        f"    def predict(self, context, model_input):\n{indented}\n\n\nmlflow.models.set_model(Model())\n"
    )
    inputs = Schema([ColSpec("double", column) for column in FEATURES])
    signature = ModelSignature(inputs, Schema([ColSpec(output)]))
    mlflow.pyfunc.save_model(
        _models() / name, python_model=str(source), signature=signature, pip_requirements=["mlflow-skinny"]
    )
    return _models() / name


def needy_model(folder: Path) -> Path:
    """A model that asks for a library which is not here, in a folder of its own within `folder`."""
    made = shutil.copytree(python_model("needy", "return model_input['a']", top="import json"), folder / "needy")
    for source in made.rglob("*.py"):
        source.write_text(source.read_text().replace("import json", "import library_of_nobody"))
    return Path(made)


def run_here(command: Sequence[str]) -> None:
    """A trial in this process, instead of in one of its own."""
    assert scoring.main([word for word in command[3:] if word != "--background"]) == 0


@dataclass
class Tables:
    """An input that grows, an output, and a pointer."""

    folder: Path
    rows: int = 0

    @classmethod
    def made(cls, folder: Path, rows: int = ROWS) -> Tables:
        tables = cls(folder)
        tables.grow(rows)
        return tables

    @property
    def pointer(self) -> str:
        return str(self.folder / "churn.json")

    @property
    def input(self) -> str:
        return str(self.folder / "features")

    @property
    def output(self) -> str:
        return str(self.folder / "scores")

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "churn.status.json").read_text())
        return found

    def grow(self, rows: int, **more: Any) -> None:
        """Some more rows; their `id` counts on."""
        import pyarrow as pa
        from deltalake import write_deltalake

        first, self.rows = self.rows, self.rows + rows
        ids = range(first, self.rows)
        columns = {"id": pa.array(ids, pa.int64()), "a": [float(n) for n in ids], "b": [n / 2 for n in ids]}
        write_deltalake(self.input, pa.table({**columns, **more}), mode="append")

    def came(self, version: int) -> str:
        """When a version of the input came, as a person writes it."""
        from deltalake import DeltaTable

        (at,) = [one["timestamp"] for one in DeltaTable(self.input).history() if one["version"] == version]
        return datetime.fromtimestamp(at / 1_000, UTC).isoformat()

    def point(self, version: int | None, model: Path | None = None, move: str | None = None) -> None:
        """Write the pointer as whoever deploys does; `move` is its token."""
        where = model or linear(float(version or 1))
        told = {f"churn-v{version}": {"version": version, "key": f"{version}-abc", "uri": str(where)}}
        live = f"churn-v{version}" if version else None
        document = {
            "format": 1,
            "owner": "tests",
            "model": "churn",
            "token": move or f"t{time.monotonic_ns()}",
            "live": live,
            "releases": told if version else {},
        }
        spare = self.folder / ".spare"
        spare.write_text(json.dumps(document))
        spare.replace(self.pointer)

    def options(self, **more: Any) -> Options:
        return Options(self.pointer, self.input, self.output, **{"every": 0.02, **more})

    def score(self, **more: Any) -> None:
        """Everything that is there, by a stream that then ends."""
        Stream(self.options(once=True, **more)).run()

    def scored(self) -> Any:
        """The output as a pandas table, by id."""
        from deltalake import DeltaTable

        return DeltaTable(self.output).to_pandas().sort_values("id", kind="stable").reset_index(drop=True)

    def run(self, name: str) -> Any:
        """The rows of one batch run as a pandas table, by id."""
        from pyarrow import dataset

        folder = self.folder / "runs" / f"run={name}"
        found = dataset.dataset(folder, partitioning="hive", exclude_invalid_files=True).to_table().to_pandas()
        return found.sort_values("id").reset_index(drop=True)


def wait_until(condition: Callable[[], object], patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.01)
