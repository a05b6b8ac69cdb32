"""The first look at a subscription: what this project relies on and could not try against Azure itself.

    python -m tools.azureml_first_look watch.yaml [--ask rows.json]

It reads the registry and every target on Azure ML that the settings name, and changes nothing. With `--ask` it sends
one request to each deployment, past the traffic. A line is `ok`, `no` with what was found instead, or `?` where there
is nothing yet that would show it; it ends with 1 where a line says `no`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployers.azureml import first_look
from deployers.azureml.azure import BATCH, ONLINE
from deployers.azureml.endpoints import AzureEndpoints
from deployers.azureml.first_look import Seen
from deployers.azureml.places import endpoint
from watcher import wiring
from watcher.errors import UserError, WatcherError
from watcher.registry import azure_ml
from watcher.values import Example
from watcher.views.models import named, watched_of

FAMILIES = {"azureml-online": ONLINE, "azureml-batch": BATCH}


def main(arguments: list[str]) -> int:
    """Look, and print what was seen; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path)
    parser.add_argument("--ask", type=Path, metavar="FILE", help="a request in MLflow's scoring format")
    given = parser.parse_args(arguments)
    try:
        app = wiring.load(given.settings)
        example = Example(given.ask.read_bytes()) if given.ask else None
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    seen = [*registry(app), *targets(app, example)]
    for each in seen:
        print(f"{'?' if each.ok is None else 'ok' if each.ok else 'no':3} {each.what}: {each.found}")
    return 1 if any(each.ok is False for each in seen) else 0


def targets(app: wiring.App, example: Example | None) -> Iterator[Seen]:
    """Every target on Azure ML of the models that the settings name."""
    for entry in watched_of(app, named(app)):
        for target in entry.answer.targets if entry.answer else ():
            deployer: Any = app.deployer(target.kind) if target.kind in FAMILIES else None
            if not isinstance(deployer, AzureEndpoints):
                continue
            azure = deployer._azure(target)  # noqa: SLF001 - what the deployer itself would ask
            name = endpoint(target.settings)
            yield from first_look.look(azure, FAMILIES[target.kind], name)
            if example is not None and target.kind == "azureml-online":
                yield from first_look.ask(azure, name, example)


def registry(app: wiring.App) -> Iterator[Seen]:
    """What the workspace's registry says, where the settings name one."""
    uri = app.settings.registry.uri
    if not uri.startswith(f"{azure_ml.SCHEME}:"):
        return
    try:
        names = app.registry.names()
        yield Seen("the registry lists its models in the order asked for", ok=True, found=f"{len(names)} models")
        yield from _models(uri, app.settings.registry.tracking_uri, names[:1])
    except WatcherError as error:
        yield Seen("the registry lists its models in the order asked for", ok=False, found=str(error))


def _models(uri: str, tracking_uri: str, names: Any) -> Iterator[Seen]:
    """What nothing depends on, and would spare calls or could be used one day."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=uri)
    for name in names:
        whole = client.get_registered_model(name)
        yield Seen(f"{name} has tags", ok=None if not whole.tags else True, found=", ".join(sorted(whole.tags or {})))
        yield Seen(f"{name} names its newest versions", ok=None, found="yes" if whole.latest_versions else "no")
        try:
            client.get_model_version_by_alias(name, "champion")
            told = "it has an alias champion"
        except MlflowException as error:
            told = f"{error.error_code}"
        yield Seen("the registry answers for aliases", ok=None, found=told)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
