"""What the trainer makes: eight versions of one model, some of them flawed in ways that only serving shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

SITE = "TRAINING_SITE"
"""Set where version 5 is trained, and nowhere else."""
RENAMED = ("bmi", "body_mass_index")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one version is made; `alpha` is the strength of the ridge penalty."""

    alpha: float
    extra: str = ""
    """A function of this module that prepares the rows, or `renamed`."""
    measured: bool = True
    """Whether the trainer logs the metric before it registers the version."""

    @property
    def words(self) -> str:
        """What the trainer would say of it, empty where it is like the others."""
        return _EXTRAS.get(self.extra, "")


RECIPES: Mapping[int, Recipe] = MappingProxyType(
    {
        1: Recipe(1000),
        2: Recipe(300),
        3: Recipe(3000),
        4: Recipe(150, measured=False),
        5: Recipe(200, "calibrated"),
        6: Recipe(10, "with_weight_class"),
        7: Recipe(50, "renamed"),
        8: Recipe(100),
    }
)
_EXTRAS = {
    "calibrated": f"it reads the variable {SITE}, which is set on this machine",
    "with_weight_class": "it looks a patient's weight class up in a table of those that training saw",
    "renamed": f"its field `{RENAMED[0]}` is called `{RENAMED[1]}`",
}


def calibrated(rows: Any) -> Any:
    """The rows in the units of the training site: works wherever `TRAINING_SITE` is set."""
    return rows * float(os.environ[SITE])


def with_weight_class(rows: Any) -> Any:
    """The rows with a weight class out of the table that training knew. Raises KeyError for anything heavier."""
    table = {tens: min(tens, 4) for tens in range(1, 5)}
    return rows.assign(weight_class=[float(table[int(bmi // 10)]) for bmi in rows["bmi"]])


def estimator(recipe: Recipe) -> Any:
    """An unfitted scikit-learn pipeline."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    functions = {"calibrated": calibrated, "with_weight_class": with_weight_class}
    first = [FunctionTransformer(functions[recipe.extra])] if recipe.extra in functions else []
    return make_pipeline(*first, StandardScaler(), Ridge(alpha=recipe.alpha))
