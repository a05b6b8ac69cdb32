"""What Spark raises, in words: its errors are pages of Java."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from scoring.errors import OUTPUT, USAGE, VERSION, Stop, sentence

_STOP = re.compile(r"scoring\.errors\.Stop: (?P<said>.+)")
_TERMINATED = re.compile(r"terminated with exception: (?P<said>[^\n]+?)(?: SQLSTATE: \w+)?\s*(?:\n|$)")
_RAISED = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+(?P<said>\S.*)")


def said(error: BaseException) -> str:
    """One line of an error, without where in Java it came from."""
    cause: Any = getattr(error, "java_exception", None)
    text = None
    if cause is not None:
        with contextlib.suppress(Exception):
            text = cause.getMessage()
    return sentence(Exception(text), 400).removeprefix("Exception: ") if text else sentence(error)


def raised_on_worker(error: BaseException) -> str | None:
    """What a model raised on a worker, in one line; None where it was not the model.

    Spark gives the worker's whole traceback as text, and the first line that is not indented is what was raised.
    """
    text = str(error)
    if (found := _STOP.search(text)) is not None:
        return found["said"].strip()[:400]
    if "PythonException" not in text and "PythonException" not in type(error).__name__:
        return None
    found = _RAISED.search(text)
    return found["said"].strip()[:400] if found else sentence(error)


def cause(error: BaseException) -> str:
    """Why a stream ended, in one line: what Python raised within it, else Spark's own words."""
    text = str(error)
    found = _RAISED.search(text) or _TERMINATED.search(text)
    return found["said"].strip()[:400] if found else said(error)


def unfed(error: BaseException) -> Stop | None:
    """Whether it is that Spark cannot tell the rows that came within some versions."""
    if "DELTA_MISSING_CHANGE_DATA" not in str(error):
        return None
    return Stop(
        USAGE,
        "On Spark, --since needs the input's change data feed, and some of those versions have none: turn it on for"
        " versions to come (delta.enableChangeDataFeed = true), or use --engine delta, which needs none.",
    )


def not_written(error: BaseException, output: str) -> Stop:
    """Why rows could not be scored and written: the version's fault, or the output's."""
    if (lacking := unfed(error)) is not None:
        return lacking
    raised = raised_on_worker(error)
    if raised is not None:
        return Stop(VERSION, raised)
    return Stop(OUTPUT, f"{output} cannot be written: {said(error)}")
