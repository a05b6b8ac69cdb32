"""What is installed where a job runs, and what a version asks for that is not."""

from __future__ import annotations

import functools
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


@functools.cache
def installed() -> Mapping[str, Any]:
    """`{"python": "3.11.7", "packages": {name: version}}` of this process."""
    return {"python": platform.python_version(), "packages": {found.name: found.version for found in distributions()}}


def unmet(requirements: Sequence[str], there: Mapping[str, Any]) -> str:
    """The first requirement that an environment does not meet, in words; empty where all are met."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    packages = {canonicalize_name(str(name)): str(version) for name, version in there["packages"].items()}
    for line in requirements:
        try:
            wanted = Requirement(line)
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            found = packages.get(canonicalize_name(wanted.name))
            if found is None:
                return f"it needs {line[:200]}, which is not installed where the job runs"
            if not wanted.specifier.contains(found, prereleases=True):
                return f"it needs {line[:200]}, and where the job runs there is {found[:100]}"
        except (InvalidRequirement, ValueError):
            return f"it asks for {line[:200]}, which is no requirement that can be checked"
    return ""


def requirements_of(model: Path) -> tuple[str, ...]:
    """The lines of a model's `requirements.txt`, none where it has none."""
    try:
        text = (model / "requirements.txt").read_text()
    except FileNotFoundError:
        return ()
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("-"))
