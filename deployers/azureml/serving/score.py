"""Scoring script of our deployments. Runs inside the container, in the model's own environment; imports nothing of us.

It answers as `mlflow models serve` does, by MLflow's own functions, so a client sees the same protocol whatever serves
the model.
"""

import os
from pathlib import Path
from typing import Any

from azureml_inference_server_http.api.aml_request import rawhttp  # the container's, for its decorator
from azureml_inference_server_http.api.aml_response import AMLResponse

_loaded: dict[str, Any] = {}


def init() -> None:
    """Called once, before the first request."""
    from mlflow import pyfunc

    root = Path(os.environ["AZUREML_MODEL_DIR"])
    folders = [found.parent for found in root.rglob("MLmodel")]
    if not folders:
        raise FileNotFoundError(f"there is no MLmodel below {root}")
    # The one nearest the top: a model may carry others inside itself.
    model = pyfunc.load_model(str(min(folders, key=lambda folder: (len(folder.parts), folder))))
    _loaded["model"] = model
    _loaded["schema"] = model.metadata.get_input_schema()


@rawhttp  # type: ignore[untyped-decorator]
def run(request: Any) -> Any:
    """Answer one request: body, status and content type are MLflow's own."""
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    content_type = request.headers.get("Content-Type") or "application/json"
    try:
        answer = scoring_server.invocations(request.get_data(), content_type, _loaded["model"], _loaded["schema"])
    except MlflowException as error:
        text = error.serialize_as_json()
        return AMLResponse(text, error.get_http_status_code(), {"Content-Type": "application/json"})
    return AMLResponse(answer.response, answer.status, {"Content-Type": answer.mimetype})
