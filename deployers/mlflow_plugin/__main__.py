"""`python -m deployers.mlflow_plugin FOLDER`: one operation of an MLflow deployments plugin, in a process of its own.

It leaves the terminal and its parent at once, holds the folder's lock while it works, and leaves a result at the end.
Whoever finds the lock free and no result knows that it was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployers.mlflow_plugin.work import JOB, LOCK, LOG, MADE, RESULT, STARTED, replace
from watcher.text import plain, secret_values, without_secrets


class Met(Exception):
    """There is a deployment of the name that is not ours to change."""


def main(folder: Path) -> int:
    """Begin, unless it was begun before; returns to the parent as soon as the lock is held."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    if (folder / STARTED).exists():
        return 0
    (folder / STARTED).touch()
    if os.fork():
        return 0
    # The lock lives on in this process, whatever becomes of the one that started it.
    os.setsid()
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        replace(folder / RESULT, told(json.loads((folder / JOB).read_text("utf-8")), folder / MADE))
    finally:
        sys.stderr.flush()
        os._exit(0)


def told(job: Mapping[str, Any], made: Path) -> dict[str, Any]:
    """What came of it; whatever a plugin raises is its answer."""
    began = time.monotonic()
    try:
        found = carried_out(job, made)
    except Met as error:
        return {"ok": False, "ended": time.time(), "error": str(error), "met": True}
    except BaseException as error:  # noqa: BLE001 - of a plugin, which may even exit
        traceback.print_exc()
        said = without_secrets(f"{type(error).__name__}: {error}", secret_values(os.environ))
        return {"ok": False, "ended": time.time(), "error": plain(said, 600)}
    return {"ok": True, "ended": time.time(), "ms": (time.monotonic() - began) * 1000} | found


def carried_out(job: Mapping[str, Any], made: Path) -> dict[str, Any]:
    """Raises what the plugin raises. `made` is left where a deployment of ours may be there from now on."""
    from mlflow.deployments import get_deploy_client

    client: Any = get_deploy_client(job["plugin"])
    where = {"endpoint": job["endpoint"]} if job.get("endpoint") else {}
    match job["do"]:
        case "look":
            return {"names": sorted(_names(client, where))}
        case "put":
            _put(client, job["name"], job, where, made)
            if job.get("then_delete"):
                return {"left": _left(client, job["then_delete"], where)}
            return {}
        case "delete":
            if job["name"] in _names(client, where):
                client.delete_deployment(job["name"], **where)
            return {}
    answer = client.predict(deployment_name=job["name"], inputs=_inputs(job["inputs"]), **where)
    return {"size": len(str(answer))}


def _put(client: Any, name: str, job: Mapping[str, Any], where: Mapping[str, str], made: Path) -> None:
    """Create a deployment, or change one of ours. Raises Met where there is another's: no list is newer than this."""
    asked = {"model_uri": job["model_uri"], "flavor": job.get("flavor"), "config": job.get("config") or {}, **where}
    if name not in _names(client, where):
        made.touch()
        client.create_deployment(name, **asked)
    elif job["ours"]:
        client.update_deployment(name, **asked)
    else:
        raise Met(f"{name} is there, and this watcher did not make it: delete it")


def _left(client: Any, name: str, where: Mapping[str, str]) -> str:
    """Why a deployment that is not needed any more is still there, empty where it is gone."""
    try:
        if name in _names(client, where):
            client.delete_deployment(name, **where)
    except Exception as error:  # noqa: BLE001 - what serves is there; the rest is only told
        traceback.print_exc()
        return plain(f"{type(error).__name__}: {error}", 300)
    return ""


def _names(client: Any, where: Mapping[str, str]) -> set[str]:
    return {str(found.get("name")) for found in client.list_deployments(**where)}


def _inputs(text: str) -> Any:
    """A table as a data frame, which is what plugins take; anything else as it is."""
    body = json.loads(text)
    if not isinstance(body, dict) or "dataframe_split" not in body:
        return body
    from pandas import DataFrame

    split = body["dataframe_split"]
    return DataFrame(split["data"], columns=split.get("columns"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
