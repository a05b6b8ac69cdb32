"""Debian's Chromium, which the pages are looked at with; brought in where it is missing and may be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
PACKAGE = "chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> Path:
    """The browser; installed if need be. Raises RuntimeError where it is missing and cannot be installed."""
    if not CHROMIUM.exists():
        _install()
    return CHROMIUM


def _install() -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise RuntimeError(f"The page is tested in {CHROMIUM}, which is missing: install Debian's package {PACKAGE}.")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", PACKAGE]):
        ran = subprocess.run([apt, "-qq", *words], env=environment, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(f"The package {PACKAGE} could not be installed: {ran.stderr.strip()[-500:]}")
