"""A model that misbehaves is a finding in one sentence, and ends nobody but itself."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from evaluation.bounded import Bounded, Ended, tree
from tests.evaluator.models import does
from tests.evaluator.world import in_process, job

PROBLEMS = {
    "complex": "Version 2: it could not score the holdout: TypeError: the model answered with complex128, which is not",
    "crashes": "Version 2: it ended by signal 11 (SIGSEGV).",
    "hangs": "Version 2: it was not done after 6 s.",
    "eats": "Version 2: it used more than 900 MB of memory.",
    "scalars": "Version 2: it could not score the holdout: TypeError: the model answered with dict, which is neither",
    "raises": "Version 2: it could not score the holdout: KeyError: 'bmi'.",
    "rubbish": "Version 2: it could not score the holdout: TypeError: the model answered with",
    "too_few": "Version 2: it could not score the holdout: ValueError: the model answered 3 rows where it was asked",
    "text": "Version 2: its answers do not suit log_loss: The prediction is text",
    "nan": "Version 2: its answer is missing or not finite in 3 of 4,000 rows.",
}


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(d, marks=[pytest.mark.long] * (d in ("complex", "rubbish", "scalars", "text")))
        for d in sorted(PROBLEMS)
    ],
)
def test_a_model_that_misbehaves_is_a_finding_about_that_model(
    deed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "a secret that no model sees")
    others = set(tree(os.getpid()))
    asked = job(does(deed), None, metrics=("log_loss",), timeout=6.0 if deed == "hangs" else 120.0, memory=900 * 2**20)
    told = in_process(asked, tmp_path)
    assert (told["state"], told["fault"]) == ("failed", "challenger"), told
    assert told["why"].startswith(PROBLEMS[deed]), told["why"]
    assert set(tree(os.getpid())) <= others


def test_what_a_model_prints_is_no_answer(tmp_path: Path) -> None:
    told = in_process(job(does("loud"), None, metrics=("log_loss",)), tmp_path)
    assert told["state"] == "done"
    assert told["scores"][0]["challenger"] < 0.7


LEAVES = """
import os, subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
open("pid", "w").write(str(other.pid))
time.sleep(600)
"""


def test_what_left_the_group_of_a_process_is_ended_with_it(tmp_path: Path) -> None:
    child = Bounded([sys.executable, "-c", LEAVES], {}, tmp_path / "log", memory=2**30, seconds=5.0, folder=tmp_path)
    with pytest.raises(Ended, match="it was not done after 5 s"):
        child.feed(lambda _: None)
    other = Path("/proc", (tmp_path / "pid").read_text(), "cmdline")
    ends = time.monotonic() + 10.0
    # Of one that is gone there is no such file, of one that nobody has waited for an empty one.
    while other.exists() and other.read_bytes():
        assert time.monotonic() < ends, "it lives on"
