"""What Spark raises, in words: its errors are pages of Java."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from scoring.errors import OUTPUT, VERSION, Stop, sentence

_STOP = re.compile(r"scoring\.errors\.Stop: (?P<said>.+)")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?P<lines>(?:(?!\s*at \w).+\n?)+)")


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

    Spark gives the worker's whole traceback as text, and the last line of it is what was raised.
    """
    text = str(error)
    if (found := _STOP.search(text)) is not None:
        return found["said"].strip()[:400]
    if "PythonException" not in text and "PythonException" not in type(error).__name__:
        return None
    blocks = [match["lines"].strip().splitlines() for match in _TRACEBACK.finditer(text)]
    return blocks[0][-1].strip()[:400] if blocks else sentence(error)


def not_written(error: BaseException, output: str) -> Stop:
    """Why rows could not be scored and written: the version's fault, or the output's."""
    raised = raised_on_worker(error)
    if raised is not None:
        return Stop(VERSION, raised)
    return Stop(OUTPUT, f"{output} cannot be written: {said(error)}")
