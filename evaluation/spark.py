"""What the runner `spark` needs on this machine, and what its process is given."""

from __future__ import annotations

import os
import re
import shutil
import socket
from importlib import metadata
from pathlib import Path

PASSED_ON = (
    "JAVA_HOME", "SPARK_HOME", "SPARK_CONF_DIR", "SPARK_LOCAL_IP", "SPARK_LOCAL_HOSTNAME", "HADOOP_CONF_DIR",
    "PYSPARK_PYTHON",
)  # fmt: skip
"""Variables that say where Java and Spark are, and which Python workers of another machine have."""
STEP = "spark"
"""The step of scoring at which no model is at fault: Spark gave up, or no worker came."""
OLDEST_JAVA = 17
ANSWERS = 5.0
"""Seconds within which a master takes a connection."""
INSTEAD = "or write runner: local"


def is_far(master: str) -> bool:
    """Whether the workers are other machines': these have their own libraries."""
    return not master.startswith("local")


def pyspark() -> str | None:
    """The version that is installed, None where none is."""
    try:
        return metadata.version("pyspark")
    except metadata.PackageNotFoundError:
        return None


def missing(master: str) -> str:
    """Why nothing can be scored there, with the remedy; empty where something can."""
    if pyspark() is None:
        return f"The runner spark needs pyspark, which is not installed: install the extra spark, {INSTEAD}."
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home, "bin", "java")) if home else "java"
    java = shutil.which(program)
    wanted = f"The runner spark needs Java {OLDEST_JAVA} or later"
    if java is None:
        where = f"at JAVA_HOME, {home}" if home else "on the PATH"
        return f"{wanted}, and there is none {where}: install it, {INSTEAD}."
    if (version := _version(Path(java).resolve())) < OLDEST_JAVA:
        return f"{wanted}, and {java} is Java {version}: set JAVA_HOME to a later one, {INSTEAD}."
    return _unreachable(master) if is_far(master) else ""


def _version(java: Path) -> int:
    """Of the Java whose program this is, as it says beside it; new enough where it does not: Spark will tell."""
    try:
        about = (java.parents[1] / "release").read_text(errors="replace")
    except OSError:
        return OLDEST_JAVA
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', about, re.MULTILINE)
    return int(found[1]) if found else OLDEST_JAVA


def _unreachable(master: str) -> str:
    """Why no master answers; several may be named, of which one is enough."""
    problem = ""
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWERS).close()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            problem = f"No Spark answers at {master} ({why}): start it, or correct job.master."
        else:
            return ""
    return problem
