"""No tracked file holds what looks like a secret that works somewhere."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOOKS_SECRET = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Databricks token": r"\bdapi[0-9a-f]{32}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})",
    "a Slack token or hook": r"\bxox[abeprs]-[A-Za-z0-9-]{10,}|slack\.com/services/T\w{6,}/B\w{6,}/\w{20,}",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "a key of a storage account": r"\b[A-Za-z0-9+/]{86}==",
    "a signature of a shared access": r"\bsig=[A-Za-z0-9%+/]{40,}",
    "a token of a package index": r"\bpypi-[A-Za-z0-9_-]{40,}",
}
KNOWN = {
    # The key of every Azurite there is, printed in its manual.
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    # How such a token looks, with every character the same: the test of what refuses it.
    "dapi" + "0" * 32,
}


def _tracked() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)  # noqa: S607
    if listed.returncode:
        pytest.skip("not a clone: nothing is tracked here")
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            yield name, path.read_bytes().decode("utf-8", "replace")


def found(text: str) -> list[str]:
    """What looks secret in the text, each named."""
    return [
        f"{what}: {match[0][:12]}…"
        for what, pattern in LOOKS_SECRET.items()
        for match in re.finditer(pattern, text)
        if match[0] not in KNOWN
    ]


def test_no_tracked_file_holds_a_secret() -> None:
    files = dict(_tracked())
    assert len(files) > 100
    assert not {name: secrets for name, text in files.items() if (secrets := found(text))}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "AKIA" + "Q" * 16,
        "dapi" + "1a" * 16,
        "ghp_" + "a1" * 18,
        "xoxb-" + "1234567890-abc",
        "eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 20,
        "AccountKey=" + "Ab+/" * 21 + "Zz==",
        "?sv=1&sig=" + "a%2F" * 12,
        "pypi-" + "AgEIcHlwaS5vcmc" * 4,
    ],
)
def test_what_looks_secret_is_seen(text: str) -> None:
    assert found(text)
