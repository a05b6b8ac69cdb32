"""Known vulnerabilities of what the locks pin; that nobody answered is never taken for none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.audit import CLEAN, NOBODY, NOT_AUDITED, VULNERABLE, Audited, audited, code_of, locks, read

FINE: dict[str, Any] = {"name": "jinja2", "version": "3.1.6", "vulns": []}
BAD: dict[str, Any] = {"name": "jinja2", "version": "2.10", "vulns": [{"id": "CVE-2019-10906", "fix_versions": []}]}
SKIPPED: dict[str, Any] = {"name": "uv", "skip_reason": "Dependency not found and could not be audited: uv (0.13.9)"}


def told(*dependencies: dict[str, Any]) -> Audited:
    return read("requirements.txt", json.dumps({"dependencies": dependencies, "fixes": []}))


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        (told(FINE, FINE), CLEAN, "requirements.txt: 2 dependencies without a known vulnerability"),
        (told(FINE, BAD), VULNERABLE, "requirements.txt: vulnerable: jinja2==2.10: CVE-2019-10906"),
        (told(BAD, SKIPPED), VULNERABLE, "requirements.txt: vulnerable: jinja2==2.10: CVE-2019-10906"),
        (told(FINE, SKIPPED), NOT_AUDITED, "requirements.txt: not audited: 1 of 2: uv"),
        (told(SKIPPED, SKIPPED), NOT_AUDITED, f"requirements.txt: {NOBODY}"),
        (read("requirements.txt", ""), NOT_AUDITED, f"requirements.txt: {NOBODY}"),
        (read("requirements.txt", "[]"), NOT_AUDITED, f"requirements.txt: {NOBODY}"),
        (told(), NOT_AUDITED, f"requirements.txt: {NOBODY}"),
    ],
)
def test_what_was_not_audited_is_told_apart_from_what_has_no_vulnerability(
    found: Audited, code: int, said: str
) -> None:
    assert (found.code, str(found)) == (code, said)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ((told(FINE), told(FINE)), CLEAN),
        ((told(FINE), told(SKIPPED)), NOT_AUDITED),
        ((told(SKIPPED), told(BAD)), VULNERABLE),
    ],
)
def test_the_worst_lock_decides(found: tuple[Audited, ...], code: int) -> None:
    assert code_of(found) == code


def test_every_lock_is_asked_about() -> None:
    assert {lock.name for lock in locks()} >= {"requirements.txt", "requirements-demo.txt", "requirements-dev.txt"}


@pytest.mark.long
@pytest.mark.parametrize("lock", locks(), ids=lambda lock: lock.stem)
def test_no_locked_dependency_has_a_known_vulnerability(lock: Any) -> None:
    found = audited(lock)
    if found.code == NOT_AUDITED:
        pytest.skip(str(found))
    assert found.code == CLEAN, str(found)
