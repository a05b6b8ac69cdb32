"""A bed for the function app: a real `mlflow server`, a storage account of Azurite, and processes of the small host."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.azurite import Azurite
from tests.functions import recorded
from watcher.ledger import open_ledger
from watcher.ports import Ledger

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
QUEUE = "watcher-wakes"


@dataclass
class Bed:
    """Everything that outlives a process of the host."""

    folder: Path
    registry: str
    storage: Azurite
    environ: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from mlflow import MlflowClient

        self.folder.mkdir(exist_ok=True)
        self.file = self.folder / "effects.db"
        self.address = f"table+env://AzureWebJobsStorage/t{uuid.uuid4().hex}"
        self.client: MlflowClient = MlflowClient(tracking_uri=self.registry, registry_uri=self.registry)
        recorded.install(self.folder / "path")

    def settings(self, models: Sequence[Mapping[str, Any]]) -> None:
        """Write the file that a user writes."""
        content = {
            "version": 1,
            "owner": "functions",
            "registry": {"uri": self.registry},
            "ledger": self.address,
            "limits": {"rollouts_at_once": 100},
            "policies": {"auc": {"primary": {"metric": "auc"}, "signature": False}},
            "rollouts": {"fast": {"canary": [100], "bake": "0s", "keep_warm": "0s", "probe": {"file": "rows.json"}}},
            "models": list(models),
        }
        (self.folder / "rows.json").write_text('{"dataframe_split": {"columns": ["a"], "data": [[1]]}}')
        (self.folder / "watch.yaml").write_text(json.dumps(content))

    def target(self, name: str, seconds: float = 0.0) -> dict[str, Any]:
        return {"name": "job", "kind": recorded.KIND, "file": str(self.file), "place": name, "seconds": seconds}

    def register(self, model: str, auc: float) -> int:
        """A version with a metric, and with files that nobody will load."""
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):
            self.client.create_registered_model(model)
        run = self.client.create_run("0")
        self.client.log_metric(run.info.run_id, "auc", auc)
        text = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"
        self.client.log_text(run.info.run_id, text, "model/MLmodel")
        source = f"{run.info.artifact_uri}/model"
        made = self.client.create_model_version(model, source=source, run_id=run.info.run_id)
        return int(made.version)

    def champion(self, model: str) -> int | None:
        found = self.client.get_registered_model(model).aliases.get("champion")
        return int(found) if found is not None else None

    def ledger(self) -> Ledger:
        """The table of this test, as another process sees it."""
        return open_ledger(self.address, self.folder, {"AzureWebJobsStorage": self.storage.connection})

    def wakes(self) -> Any:
        """The queue's own client, which speaks as the host does."""
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy

        client = QueueClient.from_connection_string(
            self.storage.connection,
            QUEUE,
            message_encode_policy=TextBase64EncodePolicy(),
            message_decode_policy=TextBase64DecodePolicy(),
        )
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        return client

    @contextlib.contextmanager
    def process(self, *options: str) -> Iterator[Process]:
        """One process of the host, until the block ends."""
        environ = {
            **os.environ,
            "AzureWebJobsStorage": self.storage.connection,
            "WATCHER_CONFIG": str(self.folder / "watch.yaml"),
            "PYTHONPATH": os.pathsep.join([str(self.folder / "path"), str(ROOT)]),
            "FUNCTIONS_KEY": "a-key",
            **self.environ,
        }
        command = [sys.executable, "-m", "tests.functions.host", *options]
        with (self.folder / "host.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
            assert process.stdout is not None
            try:
                said = process.stdout.readline()
                assert said.startswith("ready"), (self.folder / "host.log").read_text()[-3000:]
                yield Process(process, int(said.split()[1]))
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
                assert process.stdin is not None
                process.stdin.close()


@dataclass
class Process:
    """A running process of the host."""

    popen: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def kill(self) -> None:
        """At once, as the host does to a late worker."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()


def until(true: Callable[[], bool], what: Callable[[], object]) -> None:
    """Look again and again until it is true, within bounds."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)
