"""Whether the libraries a version was made with are there where it will be served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from watcher.judge.case import Case, no_objection
from watcher.text import plain
from watcher.values import Call, Finding, Target

MARKERS = {
    "extra": "",
    "implementation_name": "cpython",
    "implementation_version": "3.11.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""What environment markers are read with where nothing is known: they must not depend on the machine that judges."""


def environment_fits(case: Case) -> Finding:
    """Where a target names its Python or its packages, the version's requirements are met by them.

    MLflow itself only warns of a mismatch, loads the model, and may answer wrong numbers. A target that names nothing
    builds the version's own environment.
    """
    rule = "environment_fits"
    fixed = [(t, e) for t in case.targets if (e := _environment(t))]
    if not fixed:
        return no_objection(rule, detail="No target has a fixed environment.")
    for target, environment in fixed:
        needed, there = case.known.python, environment.get("python")
        if needed and there and _minor(needed) != _minor(str(there)):
            detail = f"Target `{plain(target.name, 100)}` has another Python than the version was made with."
            measured, bound = f"Python {plain(needed, 40)}", f"Python {plain(there, 40)}"
            return Finding(rule, Call.INVALID, "python_differs", measured, bound, detail)
        unmet = _unmet(case.known.requirements, environment.get("packages"), str(there or needed or ""))
        if unmet is not None:
            line, found = unmet
            detail = f"Target `{plain(target.name, 100)}` does not meet `{plain(line)}`."
            return Finding(rule, Call.INVALID, "requirement_not_met", found, plain(line), detail)
    unchecked = "" if case.known.requirements else "The version names no requirements."
    return no_objection(rule, detail=unchecked)


def _environment(target: Target) -> Mapping[str, Any] | None:
    found = target.settings.get("environment")
    return found if isinstance(found, Mapping) else None


def _minor(python: str) -> tuple[str, ...]:
    return tuple(python.strip().split(".")[:2])


def _unmet(lines: tuple[str, ...], packages: object, python: str) -> tuple[str, str] | None:
    """The first requirement that is not met, with what is there instead; none where no packages are named."""
    if not isinstance(packages, Mapping) or not packages:
        return None
    there = {canonicalize_name(str(name)): version for name, version in packages.items()}
    markers = MARKERS | ({"python_version": ".".join(_minor(python)), "python_full_version": python} if python else {})
    for line in lines:
        text = line.split(" #")[0].strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(text)
            applies = requirement.marker is None or requirement.marker.evaluate(markers)
        except (ValueError, RecursionError):
            return line, "cannot be read as a requirement"
        if not applies:
            continue
        name = canonicalize_name(requirement.name)
        if name not in there:
            return line, f"no {plain(name, 60)}"
        if not _meets(requirement, there[name]):
            return line, f"{plain(name, 60)} {plain(there[name], 40)}"
    return None


def _meets(requirement: Requirement, version: object) -> bool:
    if not requirement.specifier:
        return True
    try:
        return requirement.specifier.contains(Version(str(version)), prereleases=True)
    except ValueError:
        return False
