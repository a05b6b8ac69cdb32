"""Calls of an endpoint's scoring URI. Not by the SDK: its `invoke` remembers the deployment for every later call."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from deployers.azureml.trouble import shown
from watcher.errors import Terminal, Transient
from watcher.values import Example

DEPLOYMENT = "azureml-model-deployment"
"""Header that names the deployment, in the request and in the answer."""
CONNECT, READ = 5.0, 60.0
"""Seconds."""
MOST = 1_000_000
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What came back."""

    status: int
    deployment: str | None
    """Which deployment says that it answered."""
    size: int
    text: str
    """The beginning of the body, fit to be shown."""
    ms: float

    @property
    def ok(self) -> bool:
        return self.status == HTTPStatus.OK


def score(uri: str, key: str, deployment: str, example: Example) -> Scored:
    """Ask one deployment, past the traffic rules. Raises Transient where no answer comes back."""
    import requests
    from urllib3.exceptions import HTTPError

    if not uri.startswith("https://"):
        raise Terminal("the endpoint's scoring URI is not https: its key is not sent there")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": example.content_type, DEPLOYMENT: deployment}
    begun = time.monotonic()
    try:
        with requests.post(
            uri, data=example.body, headers=headers, timeout=(CONNECT, READ), allow_redirects=False, stream=True
        ) as answer:
            body = answer.raw.read(MOST, decode_content=True)
            ms = (time.monotonic() - begun) * 1000
            told = answer.headers.get(DEPLOYMENT)
            return Scored(answer.status_code, told, len(body), shown(body.decode("utf-8", "replace").strip()), ms)
    except (requests.RequestException, HTTPError, OSError) as error:
        # The body is read from urllib3's own answer, which raises its own errors.
        raise Transient(f"the endpoint gave no answer: {type(error).__name__}") from None


def start_job(uri: str, token: str, deployment: str, data: str) -> tuple[int, str, str]:
    """Start a job of a deployment on data in a store: (status, name of the job, beginning of the body).

    Raises Transient where no answer comes back; then a job may run that nobody looks at.
    """
    import requests

    if not uri.startswith("https://"):
        raise Terminal("the endpoint's scoring URI is not https: no token is sent there")
    kind = "UriFolder" if data.endswith("/") else "UriFile"
    body = {"properties": {"InputData": {"data": {"JobInputType": kind, "Uri": data}}}}
    headers = {"Authorization": f"Bearer {token}", DEPLOYMENT: deployment}
    try:
        answer = requests.post(uri, json=body, headers=headers, timeout=(CONNECT, READ), allow_redirects=False)
    except requests.RequestException as error:
        raise Transient(f"the endpoint gave no answer: {type(error).__name__}") from None
    try:
        found = answer.json()
    except ValueError:
        found = {}
    name = str(found.get("name") or "") if isinstance(found, dict) else ""
    return answer.status_code, name, shown(answer.text)


def as_input_data(example: Example) -> Example:
    """The example as serving without a scoring script wants it: under `input_data`. CSV has no such form.

    Raises Terminal where the example is not in MLflow's scoring protocol.
    """
    try:
        body: Any = json.loads(example.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Terminal("serving without a scoring script takes JSON only: give the probe a JSON file")
    if "input_data" in body:
        return example
    for key in ("dataframe_split", "inputs", "instances"):
        if key in body:
            data = body[key]
            if key == "dataframe_split" and isinstance(data, dict):
                data = {name: data[name] for name in ("columns", "index", "data") if name in data}
            params = {"params": body["params"]} if "params" in body else {}
            return Example(json.dumps({"input_data": data, **params}).encode(), "application/json", example.rows)
    raise Terminal("serving without a scoring script needs `dataframe_split`, `inputs` or `instances` in the example")
