"""Processes of this project that leave at once and go on by themselves, whatever becomes of who started them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from watcher.errors import Transient
from watcher.text import plain


def start(command: Sequence[str], package: str, tracking_uri: str | None, seconds: float, complaint: str) -> None:
    """Start a process that finds `package`; it must have left within `seconds`, or may still come.

    Raises Transient, beginning with `complaint`, where it cannot be started: that is this machine's fault.
    """
    found = find_spec(package)
    above = [str(Path(found.origin).parent.parent)] if found is not None and found.origin else []
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), *above]
    tracking = {"MLFLOW_TRACKING_URI": tracking_uri} if tracking_uri else {}
    try:
        subprocess.run(
            command,
            env={**os.environ, **tracking, "PYTHONPATH": os.pathsep.join(paths)},
            timeout=seconds,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        # On a machine that busy it may still come; what came of it is observed.
        return
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        raise Transient(plain(f"{complaint}: {last[0]}", 500)) from error
    except OSError as error:
        raise Transient(f"{command[0]} cannot be started: {error.strerror}.") from error
