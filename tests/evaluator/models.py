"""Models that misbehave, and models of other flavours: what they do is all that is in them."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.evaluator.world import COLUMNS, saved, train


def _crashes(_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hangs(_: Any) -> Any:
    time.sleep(3_600)


def _eats(_: Any) -> Any:
    return [b"x" * 2**24 for _ in range(1_000)]


def _raises(_: Any) -> Any:
    raise KeyError(os.environ.get("AZURE_CLIENT_SECRET", "bmi"))


def _rubbish(_: Any) -> Any:
    return object()


def _scalars(_: Any) -> Any:
    return {"churned": object()}


def _complex(frame: Any) -> Any:
    return frame["x0"].to_numpy() * 1j


def _too_few(frame: Any) -> Any:
    return frame["x0"].head(3)


def _text(frame: Any) -> Any:
    return ["perhaps"] * len(frame)


def _nan(frame: Any) -> Any:
    return frame["x0"].where(frame.index > 2)


def _loud(frame: Any) -> Any:
    import statistics

    assert statistics.mean([1, 3]) == 2, "a module of this project came in the way"
    os.write(1, b"\xff" * 10_000)
    return 1.0 / (1.0 + 2.718281828 ** -frame["x0"])


DEEDS = {
    deed.__name__[1:]: deed
    for deed in (_complex, _crashes, _hangs, _eats, _raises, _rubbish, _scalars, _too_few, _text, _nan, _loud)
}


@functools.cache
def does(deed: str) -> Path:
    """A pyfunc model that does this and nothing else; its code is saved with it."""

    def save(path: str, _: Any) -> None:
        import sys

        import cloudpickle  # type: ignore[import-untyped]
        import mlflow.pyfunc

        class Does(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
            def __init__(self, deed: Any) -> None:
                self.deed = deed

            def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
                return self.deed(model_input)

        # The model's own process knows nothing of these tests.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        try:
            mlflow.pyfunc.save_model(
                path, python_model=Does(DEEDS[deed]), signature=None, pip_requirements=["mlflow", "pandas"]
            )
        finally:
            cloudpickle.unregister_pickle_by_value(sys.modules[__name__])

    return saved(f"does-{deed}", save)


@functools.cache
def logit() -> Path:
    """A logit of statsmodels, which answers with probabilities."""

    def save(path: str, signature: Any) -> None:
        import mlflow.statsmodels
        import statsmodels.api as sm

        model = sm.Logit(train()["churned"], train()[COLUMNS]).fit(disp=0)
        mlflow.statsmodels.save_model(model, path, signature=signature, pip_requirements=["mlflow", "statsmodels"])

    return saved("logit", save)
