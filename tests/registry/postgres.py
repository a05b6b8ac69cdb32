"""A Postgres cluster of its own for tests, on a socket in a temporary folder; it ends with the block."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def binaries() -> Path:
    """The folder with `initdb` and `postgres`. Raises AssertionError where Postgres is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    if found:
        folders.append(Path(found).resolve().parent)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise AssertionError("Postgres is not installed: the package is called postgresql")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """URI of an empty database, for SQLAlchemy with psycopg2."""
    folder = Path(tempfile.mkdtemp(prefix="watcher-pg-"))
    owner = _owner(folder)
    command = [str(binaries() / "initdb"), "-D", str(folder / "data"), "-U", "mlflow", "-A", "trust", "--no-sync"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=owner)
    command = [str(binaries() / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses="]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "-c", "fsync=off"], stdout=log, stderr=log, user=owner)
    try:
        _answers(folder)
        yield f"postgresql+psycopg2://mlflow@/postgres?host={folder}"
    finally:
        # SIGINT asks Postgres not to wait for its clients.
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> int | None:
    """Postgres refuses to run as root: then the account that its package made owns the folder."""
    if os.geteuid() != 0:
        return None
    account = pwd.getpwnam("postgres")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return account.pw_uid


def _answers(folder: Path) -> None:
    ready = [str(binaries() / "pg_isready"), "-h", str(folder), "-U", "mlflow", "-t", "30"]
    for _ in range(300):
        if subprocess.run(ready, stdout=subprocess.DEVNULL, check=False).returncode == 0:
            return
    raise AssertionError((folder / "log").read_text()[-2000:])
