"""How rows get their answers: natively for MLlib, on the workers' own copy of the model for every other flavour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

from scoring.errors import USAGE, VERSION, Stop, sentence
from scoring.model import AT, NAME, NUMBER, STAMP, Scorer, load
from scoring.pointer import Release
from scoring.spark.shipping import Fetched, received, ship
from scoring.types import PREDICTION

MAP, UDF = "map", "udf"
LOCAL = "local"
"""MLflow's word for the libraries that the workers have."""
NTZ = True
"""A moment without a zone stays one: that is Spark's default from 4.2 on only."""
SAMPLE = 10
"""Rows that are scored on the driver to learn the type of an answer that no signature tells."""
_HELD: dict[Release, Scorer] = {}
"""On a worker: the version it scores with."""


@dataclass
class Answering:
    """One version, ready to score frames of Spark."""

    release: Release
    scorer: Scorer | None
    """None for MLlib, which scores by itself."""
    fetched: Fetched
    """Held for as long as workers may load from it."""
    shipped: Release
    """As the workers load it."""
    native: Any = None
    apply: str = MAP
    answered: dict[str, Any] = field(default_factory=dict)
    """Column of the answer -> Spark's type of it; known once rows were scored."""

    def refuse_unfit(self, frame: Any) -> None:
        """Raises Stop where these rows cannot be scored."""
        if self.scorer is not None:
            self.scorer.refuse_unfit(to_arrow(frame))

    def scored(self, frame: Any, keep: list[str], at_us: int, env_manager: str = LOCAL) -> Any:
        """The frame's columns (`keep`: only these), the answers, and which version gave them when (µs, UTC).

        `env_manager`, of `apply: udf`: MLflow's word for where the model's libraries come from.
        """
        scored = self._scored(frame, keep, at_us, env_manager)
        added = len(scored.columns) - len(keep) - len(STAMP)
        self.answered = {one.name: one.dataType for one in scored.schema[len(keep) : len(keep) + added]}
        return scored

    def _scored(self, frame: Any, keep: list[str], at_us: int, env_manager: str) -> Any:
        if self.scorer is None:
            return self._by_spark(frame, keep, at_us)
        scorer = self.scorer
        if scorer.answers is None:
            scorer.score(frame.limit(SAMPLE).toArrow())
        if self.apply == UDF:
            return self._by_udf(frame, keep, at_us, env_manager)
        from pyspark.sql.pandas.types import from_arrow_schema

        # What neither the model nor the output needs does not travel to the workers, and what every row has in common
        # does not travel back.
        frame = frame.select(*(name for name in frame.columns if name in keep or name in scorer.columns))
        out = from_arrow_schema(scorer.answered_schema(to_arrow(frame), keep), NTZ)
        return self._stamped(frame.mapInArrow(_on_worker(self.shipped, scorer.answers, keep), out), at_us)

    def _by_spark(self, frame: Any, keep: list[str], at_us: int) -> Any:
        try:
            return self._stamped(self.native.transform(frame).select(*keep, PREDICTION), at_us)
        except Exception as error:
            raise Stop(VERSION, f"v{self.release.version} does not fit the input: {sentence(error)}") from error

    def _by_udf(self, frame: Any, keep: list[str], at_us: int, env_manager: str) -> Any:
        """By MLflow's own function, which can give the model an environment of its own on the workers."""
        from mlflow.pyfunc import spark_udf
        from pyspark.sql import functions as f
        from pyspark.sql.pandas.types import from_arrow_type

        scorer = self.scorer
        if scorer is None or scorer.answers is None or list(scorer.answers) != [PREDICTION]:
            raise Stop(USAGE, f"v{self.release.version} answers several columns: score it with --apply map.")
        kind = from_arrow_type(scorer.answers[PREDICTION], NTZ)
        function = spark_udf(frame.sparkSession, self.release.uri, result_type=kind, env_manager=env_manager)
        columns = [name for name in scorer.columns if name in frame.columns]
        return self._stamped(frame.select(*keep, function(f.struct(*columns)).alias(PREDICTION)), at_us)

    def _stamped(self, frame: Any, at_us: int) -> Any:
        from pyspark.sql import functions as f

        return frame.select(
            "*",
            f.lit(self.release.model).alias(NAME),
            f.lit(self.release.version).cast("long").alias(NUMBER),
            f.timestamp_micros(f.lit(at_us)).alias(AT),
        )


def prepare(spark: Any, release: Release, apply: str = MAP) -> Answering:
    """Load a version. Raises Stop with what its code or its storage raised."""
    fetched = Fetched(release)
    try:
        from mlflow.models import get_model_info

        flavors = get_model_info(str(fetched.folder)).flavors
    except Exception as error:
        raise Stop(VERSION, f"v{release.version} cannot be loaded: {sentence(error)}") from error
    if "spark" not in flavors:
        scorer = load(replace(release, uri=str(fetched.folder)))
        return Answering(release, scorer, fetched, ship(spark, release, fetched.folder), apply=apply)
    try:
        import mlflow.spark

        return Answering(release, None, fetched, release, mlflow.spark.load_model(release.uri))
    except Exception as error:
        raise Stop(VERSION, f"v{release.version} cannot be loaded: {sentence(error)}") from error


def to_arrow(frame: Any) -> Any:
    """The Arrow schema of a frame."""
    from pyspark.sql.pandas.types import to_arrow_schema

    # Spark 4.2 wants to be told the zone; before, every moment was in UTC.
    asks = "timezone" in signature(to_arrow_schema).parameters
    return to_arrow_schema(frame.schema, **({"timezone": "UTC"} if asks else {}))


def _on_worker(
    release: Release, answers: dict[str, Any] | None, keep: list[str]
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        scorer = held(release)
        scorer.answers = answers
        for batch in batches:
            kept = {name: batch.column(name) for name in keep}
            yield from pa.table(kept | scorer.score(batch)).to_batches()

    return scored


def held(release: Release) -> Scorer:
    """The worker's copy of a version; loaded once, and the only one that is kept."""
    if release not in _HELD:
        _HELD.clear()
        _HELD[release] = load(replace(release, uri=received(release.uri)))
    return _HELD[release]
