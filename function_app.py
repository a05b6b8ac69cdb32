"""The watcher on Azure Functions. Each function hands its trigger's message to `watcher.hosted`, and sends off names.

Nothing heavy is imported here: one import that fails or is slow takes every function of the app away, the timer too.
"""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import List  # noqa: UP035 the host's worker knows `List[str]`, and unindexes the app for `list[str]`

import azure.functions as func

from watcher import exporting, telemetry
from watcher.errors import UserError
from watcher.hosted import wakes
from watcher.hosted.hooks import Hooks, body_of
from watcher.hosted.host import EVERY_MINUTE, SCHEDULE, Host
from watcher.hosted.webhooks.answers import Answer
from watcher.text import plain

QUEUE = "watcher-wakes"
STORAGE = "AzureWebJobsStorage"
HOURLY = "30 7 * * * *"

host = Host(Path(__file__).parent)
hooks = Hooks(host)
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

Names = func.Out[List[str]]  # noqa: UP006 as above


@app.timer_trigger("timer", os.environ.get(SCHEDULE, EVERY_MINUTE), run_on_startup=False)
@app.queue_output("names", QUEUE, STORAGE)
def poll(timer: func.TimerRequest, names: Names, context: func.Context) -> None:  # noqa: ARG001 a trigger needs it
    """Wake what changed and what is due; then the heartbeat."""
    with _traced(context):
        _send(wakes.poll(host), names)


@app.timer_trigger("timer", os.environ.get("WATCHER_RESYNC_SCHEDULE", HOURLY), run_on_startup=False)
@app.queue_output("names", QUEUE, STORAGE)
def resync(timer: func.TimerRequest, names: Names, context: func.Context) -> None:  # noqa: ARG001 as above
    """Wake every watched model."""
    with _traced(context):
        _send(wakes.resync(host), names)


@app.queue_trigger("message", QUEUE, STORAGE)
@app.queue_output("names", QUEUE, STORAGE)
def reconcile(message: func.QueueMessage, names: Names, context: func.Context) -> None:
    """One wake-up of one model; another one follows where a step was taken."""
    with _traced(context):
        _send(wakes.wake(host, message.get_body()), names)


# MLflow can sign, and cannot send a key of ours: the signature is the proof.
@app.route("mlflow_webhook", "request", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output("names", QUEUE, STORAGE)
def mlflow_webhook(request: func.HttpRequest, names: Names) -> func.HttpResponse:
    """Something happened in an MLflow registry."""
    return _answered(hooks.mlflow(request.headers, request.get_body()), names)


@app.route("databricks_webhook", "request", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output("names", QUEUE, STORAGE)
def databricks_webhook(request: func.HttpRequest, names: Names) -> func.HttpResponse:
    """Something happened in a Databricks workspace registry."""
    return _answered(hooks.databricks(request.headers, request.get_body()), names)


@app.route("event_grid", "request", methods=["POST", "OPTIONS"])
@app.queue_output("names", QUEUE, STORAGE)
def event_grid(request: func.HttpRequest, names: Names) -> func.HttpResponse:
    """Something happened in an Azure ML workspace."""
    return _answered(hooks.event_grid(request.method, request.headers, request.get_body()), names)


@app.route("page/{*path}", "request", methods=["GET", "HEAD"])
async def page(request: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """The status page, and its JSON beneath `page/api`."""
    try:
        shown = host.page("/api/page")
    except UserError as error:
        return func.HttpResponse(plain(error, 500), status_code=500, mimetype="text/plain")
    answer: func.HttpResponse = await func.AsgiMiddleware(shown).handle_async(request, context)
    return answer


@app.route("health", "request", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(request: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 as above
    """Whether the timer still fires."""
    return _response(hooks.health())


def _traced(context: func.Context) -> AbstractContextManager[None]:
    """The host's own trace of this invocation goes on in the watcher's."""
    return telemetry.within(context.trace_context.trace_parent if exporting.CONNECTION in os.environ else None)


def _answered(answer: Answer, names: Names) -> func.HttpResponse:
    _send(list(answer.models), names)
    return _response(answer)


def _send(found: List[str], names: Names) -> None:  # noqa: UP006 as above
    if found:
        names.set(found)


def _response(answer: Answer) -> func.HttpResponse:
    text, media_type = body_of(answer)
    return func.HttpResponse(text, status_code=answer.status, headers=answer.headers, mimetype=media_type)
