"""Models that need Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def mllib(spark: Any, folder: Path) -> Path:
    """A linear regression of MLlib, in a folder of its own within `folder`: it answers a + b."""
    import mlflow.spark
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import LinearRegression

    rows = spark.createDataFrame([(float(n), n / 2, n * 1.5) for n in range(10)], ["a", "b", "label"])
    stages = [VectorAssembler(inputCols=["a", "b"], outputCol="features"), LinearRegression()]
    made = folder / "mllib"
    mlflow.spark.save_model(Pipeline(stages=stages).fit(rows), str(made), pip_requirements=["pyspark"])
    return made
