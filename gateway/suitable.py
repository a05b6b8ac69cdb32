"""Where a release may run: forked from the zygote, in a process of its own, or in an environment of its own."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

FORK = "fork"
OWN = "own"
ENVIRONMENT = "environment"

SURVIVES_FORK = {
    "mlflow.sklearn": "linear models, trees, histogram boosting, k-means and neighbours: forked and scored by the "
    "hundred, also after the parent had used OpenMP, BLAS and Arrow",
}
"""Loader module -> what was tried. Anything else gets a process of its own."""


@dataclass(frozen=True)
class Place:
    """Where a release belongs. For an environment: what must be in it."""

    kind: str
    python: str = ""
    """Minor version, for example `3.11`."""
    requirements: tuple[str, ...] = ()
    why: str = ""
    """The first thing that the running environment lacks."""

    @property
    def digest(self) -> str:
        text = "\n".join((self.python, *sorted(self.requirements)))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def place_of(model: Path, env: str) -> Place:
    """Read the model's own files and say where it belongs. Raises ValueError where they do not describe a model."""
    described = _describe(model)
    made_with = re.match(r"(\d{1,2}\.\d{1,3})(\.|$)", str(described.get("python_version") or ""))
    python = made_with[1] if made_with else ""
    fork = FORK if described["loader_module"] in SURVIVES_FORK else OWN
    if env == "local":
        return Place(fork)
    requirements = _requirements(model)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    why = f"it was made with Python {python}" if python not in ("", running) else unmet(requirements)
    if not why:
        return Place(fork)
    if not any(re.match(r"mlflow(-skinny)?\b", line) for line in requirements) and described["mlflow_version"]:
        requirements += (f"mlflow=={described['mlflow_version']}",)
    return Place(ENVIRONMENT, python or running, requirements, why)


def unmet(requirements: tuple[str, ...]) -> str:
    """The first requirement that the running environment does not meet, in words; empty where all are met."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in requirements:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            return f"it asks for {line[:200]}"
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            return f"it needs {line[:200]}, which is not installed"
        if wanted.url or not wanted.specifier.contains(found, prereleases=True):
            return f"it needs {line[:200]}, installed is {found[:100]}"
    return ""


def _requirements(model: Path) -> tuple[str, ...]:
    try:
        text = (model / "requirements.txt").read_text()
    except FileNotFoundError:
        return ()
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line)


def _describe(model: Path) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load((model / "MLmodel").read_text())
    except FileNotFoundError:
        raise ValueError("the artifacts hold no file MLmodel") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError("the file MLmodel cannot be read") from error
    flavors = found.get("flavors") if isinstance(found, dict) else None
    flavor = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not isinstance(flavor, dict) or not isinstance(flavor.get("loader_module"), str):
        raise ValueError("the model has no flavour python_function")  # noqa: TRY004 - the value of a file
    return {**flavor, "mlflow_version": str(found.get("mlflow_version") or "")}
