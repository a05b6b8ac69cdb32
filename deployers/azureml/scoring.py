"""Calls of an endpoint's scoring URI. Not by the SDK: its `invoke` remembers the deployment for every later call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from deployers import exchange
from deployers.azureml.trouble import shown
from watcher.errors import Terminal, Transient
from watcher.values import Example

DEPLOYMENT = "azureml-model-deployment"
"""Header that names the deployment, in the request and in the answer."""
CONNECT, WHOLE = 5.0, 60.0
"""Seconds until there is a connection, and until all of the answer is there."""
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


def score(uri: str, key: str, deployment: str, example: Example, *, in_clear: bool = False) -> Scored:
    """Ask one deployment, past the traffic rules; `in_clear`: over plain http too.

    Raises Transient where no answer comes back.
    """
    if not uri.startswith(("https://", "http://") if in_clear else "https://"):
        raise Terminal("the endpoint's scoring URI is not https: its key is not sent there")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": example.content_type, DEPLOYMENT: deployment}
    answer = _post(uri, example.body, headers)
    told = answer.headers.get(DEPLOYMENT)
    return Scored(answer.status, told, len(answer.body), _text(answer), answer.ms)


def may_be_in_clear(properties: Mapping[str, Any]) -> bool:
    """Whether an endpoint may be asked over plain http: on an attached cluster, which mostly has no certificate.

    Its own key may travel so, not the token of an identity, which opens more than this endpoint.
    """
    return bool(properties.get("compute")) and str(properties.get("authMode") or "").lower() != "aadtoken"


def start_job(uri: str, token: str, deployment: str, data: str) -> tuple[int, str, str]:
    """Start a job of a deployment on data in a store: (status, name of the job, beginning of the body).

    Raises Transient where no answer comes back; then a job may run that nobody looks at.
    """
    if not uri.startswith("https://"):
        raise Terminal("the endpoint's scoring URI is not https: no token is sent there")
    kind = "UriFolder" if data.endswith("/") else "UriFile"
    body = {"properties": {"InputData": {"data": {"JobInputType": kind, "Uri": data}}}}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", DEPLOYMENT: deployment}
    answer = _post(uri, json.dumps(body).encode(), headers)
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = {}
    name = str(found.get("name") or "") if isinstance(found, dict) else ""
    return answer.status, name, _text(answer)


def _post(uri: str, body: bytes, headers: Mapping[str, str]) -> exchange.Answer:
    import requests
    from urllib3.exceptions import HTTPError

    try:
        return exchange.post(uri, body, headers, connect=CONNECT, within=WHOLE, most=MOST)
    except TimeoutError as error:
        raise Transient(f"the endpoint gave {error}") from None
    except (requests.RequestException, HTTPError, OSError) as error:
        # The body is read from urllib3's own answer, which raises its own errors.
        raise Transient(f"the endpoint gave no answer: {type(error).__name__}") from None


def _text(answer: exchange.Answer) -> str:
    return shown(answer.body.decode("utf-8", "replace").strip())


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
