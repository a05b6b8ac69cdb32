"""What Spark raises becomes one sentence, without the pages of Java around it."""

from __future__ import annotations

import pytest

from scoring.errors import INPUT, OUTPUT, USAGE, VERSION
from scoring.spark.stream import ended
from scoring.spark.trouble import not_written, raised_on_worker

JAVA = "\tat org.apache.spark.scheduler.Task.run(Task.scala:147)\n"
WORKER = (
    "An error occurred while calling o629.save.\n: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed.\n"
    f"{JAVA}Caused by: org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
    '  File "worker.py", line 1, in process\n    yield 1\n{raised}\n\n' + JAVA
)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("scoring.errors.Stop: v4 cannot score: KeyError: 'bmi'", "v4 cannot score: KeyError: 'bmi'"),
        ("ModuleNotFoundError: No module named 'lightgbm'", "ModuleNotFoundError: No module named 'lightgbm'"),
    ],
)
def test_what_a_model_raised_on_a_worker_is_the_versions_fault(raised: str, said: str) -> None:
    error = RuntimeError(WORKER.replace("{raised}", raised))
    assert raised_on_worker(error) == said
    stop = not_written(error, "scores")
    assert (stop.kind, str(stop)) == (VERSION, said)


def test_rows_that_no_feed_tells_are_nobodys_fault_and_there_is_a_remedy() -> None:
    stop = not_written(RuntimeError(f"[DELTA_MISSING_CHANGE_DATA] Error getting change data for range\n{JAVA}"), "runs")
    assert stop.kind == USAGE
    assert "--engine delta" in str(stop)


def test_whatever_else_is_raised_is_the_outputs() -> None:
    error = RuntimeError(f"[DELTA_PATH] No space left on device\n{JAVA}")
    assert raised_on_worker(error) is None
    stop = not_written(error, "scores")
    assert stop.kind == OUTPUT
    assert str(stop).startswith("scores cannot be written: RuntimeError: [DELTA_PATH] No space left")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[DELTA_SCHEMA_CHANGED_WITH_VERSION] Detected schema change in version 7:", "change with version 7"),
        ("[DELTA_SOURCE_TABLE_IGNORE_CHANGES] Detected a data update", "delta.enableChangeDataFeed"),
        ("[DELTA_SOURCE_IGNORE_DELETE] Detected deleted data", "delta.enableChangeDataFeed"),
        ("Connection refused", "RuntimeError: Connection refused"),
        ("[STREAM_FAILED] Query [id = 1] terminated with exception: no space SQLSTATE: XXKST\n===", "ended: no space"),
        (WORKER.replace("{raised}\n", "OSError: no disk\n=== Streaming Query ==="), "ended: OSError: no disk"),
    ],
)
def test_why_a_stream_ended_is_a_sentence_with_a_remedy(text: str, words: str) -> None:
    stop = ended("features", RuntimeError(f"{text}\n{JAVA}"))
    assert (stop.kind, words in str(stop)) == (INPUT, True)
