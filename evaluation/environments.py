"""The Python that a model is scored with: the running one where it has what the model needs, else one of its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

from evaluation.child import unfit
from evaluation.errors import EvaluationFailed, ModelFailed
from evaluation.store import Store, held, last_line

CHILD_NEEDS = ("pandas", "pyarrow")
"""What the process that scores imports beside MLflow and the model."""
LONGEST = 1_800.0
"""Seconds for building one environment."""


def interpreter(model: Path, store: Store, log: Path, also: tuple[str, ...] = ()) -> str:
    """The interpreter to score a model with; its environment is built where there is none yet.

    `also`: what else is required of it.

    Raises ModelFailed where the files do not describe a model, EvaluationFailed where an environment cannot be built:
    a registry of packages out of reach says nothing about the model.
    """
    python, requirements, mlflow = described(model)
    requirements = (*requirements, *also)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    why = unfit(python, requirements)
    if not why:
        return sys.executable
    if mlflow and not any(re.match(r"mlflow(-skinny)?\b", line) for line in requirements):
        requirements = (*requirements, f"mlflow=={mlflow}")
    wanted = (*requirements, *CHILD_NEEDS)
    digest = hashlib.sha256("\n".join((python or running, *sorted(wanted))).encode()).hexdigest()[:16]
    folder = store.home / "environments" / digest
    with held(folder.with_suffix(".lock"), wait=True):
        if not folder.exists():
            _build(folder, python or running, wanted, why, log)
    return str(folder / "bin" / "python")


def described(model: Path) -> tuple[str, tuple[str, ...], str]:
    """Minor version of Python, requirements, version of MLflow, as they lie beside the model."""
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load((model / "MLmodel").read_text())
        flavor = found["flavors"]["python_function"]
        made_with = re.match(r"\d{1,2}\.\d{1,3}(?=\.|$)", str(flavor.get("python_version") or ""))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ModelFailed("it has no flavour python_function, which is what can be scored") from error
    path = model / "requirements.txt"
    text = path.read_text(errors="replace") if path.exists() else ""
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines())
    needed = tuple(line for line in lines if line)
    return made_with[0] if made_with else "", needed, str(found.get("mlflow_version") or "")


def uv() -> str | None:
    """The program that builds: beside the running Python, or on the PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")


def _build(folder: Path, python: str, wanted: tuple[str, ...], why: str, log: Path) -> None:
    program = uv()
    because = f"A model needs an environment of its own ({why})"
    if program is None:
        raise EvaluationFailed(f"{because}, and uv, which builds it, is not installed.")
    spare = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    needed = spare.with_suffix(".txt")
    try:
        needed.write_text("\n".join(wanted) + "\n")
        if not _ran(log, program, "venv", "--no-config", "--relocatable", "-p", python, str(spare)):
            raise EvaluationFailed(f"{because}, and there is no Python {python} on this machine.")
        built = str(spare / "bin" / "python")
        if not _ran(log, program, "pip", "install", "--compile-bytecode", "-p", built, "-r", str(needed)):
            raise EvaluationFailed(f"{because}, and building it failed: {last_line(log)}")
        spare.rename(folder)
    finally:
        needed.unlink(missing_ok=True)
        shutil.rmtree(spare, ignore_errors=True)


def _ran(log: Path, *command: str) -> bool:
    environ = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    environ.pop("VIRTUAL_ENV", None)
    with log.open("ab") as out:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ, timeout=LONGEST, check=False
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0
