"""The parent of releases: imports and rehearses once, then forks on request.

`zygote.sock` takes lines of JSON: `{"hello": true}` or a worker's order; each is answered with one line.
OpenMP must never have been used in the thread that forks: a child's first use of it hangs. So everything that could
touch it happens in helper threads, here and in the children.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import random
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from gateway import priority, processes, worker
from gateway.files import is_full
from gateway.limits import Limits, load
from gateway.paths import Home, home

NONCE = "zygote"
ROWS = 4


def rehearse() -> None:
    """Import and use everything that loading and scoring a model touches."""
    import fastapi  # noqa: F401
    import mlflow.sklearn
    import mlflow.tracing
    import numpy as np
    import packaging.requirements  # noqa: F401
    import pandas as pd
    import sklearn.ensemble
    import sklearn.linear_model
    import sklearn.pipeline
    import sklearn.preprocessing
    import uvloop  # noqa: F401
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from gateway import artifacts, suitable
    from gateway.scoring import Scorer

    said = logging.getLogger("mlflow")
    level = said.level
    said.setLevel(logging.ERROR)  # it has advice on how the rehearsed model is saved
    mlflow.tracing.reset()  # so does a worker that is told its tracking server: some 30 ms of imports
    frame = pd.DataFrame(np.eye(ROWS), columns=[f"c{n}" for n in range(ROWS)])
    model = sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), sklearn.linear_model.Ridge()).fit(
        frame, np.arange(ROWS)
    )
    signature = ModelSignature(
        inputs=Schema([ColSpec("double", name) for name in frame.columns]), outputs=Schema([ColSpec("double")])
    )
    table = {"columns": list(frame.columns), "data": frame.to_numpy().tolist()}
    bodies = [
        (json.dumps({"dataframe_split": table}).encode(), "application/json"),
        (json.dumps({"dataframe_records": frame.to_dict("records")}).encode(), "application/json"),
        (frame.to_csv(index=False).encode(), "text/csv"),
        (b"{}", "application/json"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for form in ("cloudpickle", "skops"):
            saved = Path(folder) / f"{form}-saved"
            mlflow.sklearn.save_model(
                model,
                str(saved),
                signature=signature,
                input_example=frame,
                pip_requirements=["scikit-learn"],
                serialization_format=form,
            )
            copy = artifacts.fetch(str(saved), None, Path(folder) / form)
            suitable.place_of(copy, "auto")
            scorer = Scorer(copy)
            for body, kind in bodies:
                scorer.score(body, kind)
    said.setLevel(level)


class Zygote:
    """Forks a worker for each order. One thread, no event loop: both are what makes forking safe."""

    def __init__(self, place: Home, limits: Limits, listener: socket.socket) -> None:
        self.place = place
        self.limits = limits
        self.listener = listener
        self.peers: dict[socket.socket, bytes] = {}
        self.stop = False

    def run(self) -> None:
        """Until told to end, or until nobody wants this process any more."""
        free_since: float | None = None
        looked = time.monotonic()
        while not self.stop:
            try:
                readable, _, _ = select.select([self.listener, *self.peers], [], [], 1.0)
            except InterruptedError:
                continue
            for peer in readable:
                if peer is self.listener:
                    accepted, _ = self.listener.accept()
                    self.peers[accepted] = b""
                else:
                    self._read(peer)
            now = time.monotonic()
            if now - looked >= min(worker.LOOK_AROUND, self.limits.abandoned / 4):
                looked = now
                card = processes.read(processes.path_of(self.place.run, NONCE))
                if card is not None and card.pid != os.getpid():
                    return
                free = processes.is_free(str(self.place.lock))
                free_since = (free_since if free_since is not None else now) if free else None
                if free_since is not None and now - free_since >= self.limits.abandoned:
                    return

    def _read(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(65536)
        except OSError:
            data = b""
        if not data:
            del self.peers[peer]
            peer.close()
            return
        *lines, self.peers[peer] = (self.peers[peer] + data).split(b"\n")
        for line in lines:
            try:
                told = self._answer(json.loads(line))
            except OSError as error:
                told = {"error": error.strerror or type(error).__name__, "full": is_full(error)}
            with contextlib.suppress(OSError):
                peer.sendall(json.dumps(told).encode() + b"\n")

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "hello" in asked:
            return {"pid": os.getpid()}
        order = worker.Order(**asked)
        pid = os.fork()
        if pid == 0:
            self._be(order)
        card = processes.Card(pid, processes.started(pid) or "", order.nonce, order.endpoint, order.release, order.key)
        try:
            processes.write(Path(order.run), card)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # without a card it would be nobody's
            raise
        return {"pid": pid, "started": card.started}

    def _be(self, order: worker.Order) -> None:
        """In the child: forget what belongs to the parent, then serve."""
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.listener.close()
            for peer in self.peers:
                peer.close()
            log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            random.seed()
            sys.modules["numpy"].random.seed()
            worker.serve(order)
        except BaseException:  # noqa: BLE001 - nothing of a child may go on in the parent's code
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(0)


def main() -> None:
    """`python -m gateway.zygote HOME`; prints nothing, is ready when its socket answers."""
    place = home(sys.argv[1])
    helper = threading.Thread(target=rehearse)
    failed: list[BaseException] = []
    threading.excepthook = lambda args: failed.append(args.exc_value or SystemExit())
    helper.start()
    helper.join()
    threading.excepthook = threading.__excepthook__
    if failed:
        traceback.print_exception(failed[0])
        raise SystemExit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        place.zygote.unlink()
    listener.bind(str(place.zygote))
    listener.listen(64)
    priority.give_way()
    gc.collect()
    gc.freeze()  # pages with old objects stay shared with the children
    zygote = Zygote(place, load(place.limits), listener)

    def stop(*_: object) -> None:
        zygote.stop = True

    signal.signal(signal.SIGTERM, stop)
    zygote.run()


if __name__ == "__main__":
    main()
