"""Where traces, metrics and the log go: to Application Insights, where the environment names one; else nowhere."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping

from watcher.ports import Line
from watcher.sentences import render
from watcher.telemetry import NAME, fields

log = logging.getLogger("watcher")

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
"""Environment variable that names the Application Insights to export to."""
_QUIET = ("azure_sdk", "django", "fastapi", "flask", "psycopg2", "requests", "urllib", "urllib3")
"""What the exporter's package would watch by itself: addresses of requests are nobody's business."""
_OWN_USE = ("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED")
"""What the exporter tells its maker about itself, and asks of it."""


def tell(line: Line) -> None:
    """A history line in the log, once it is written."""
    if log.isEnabledFor(logging.INFO):
        log.info("%s", render(line), extra=fields(line))


def exported() -> bool:
    """Whether traces and metrics go somewhere, by this set-up or by somebody else's."""
    from opentelemetry import trace

    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def export(environ: Mapping[str, str]) -> bool:
    """Export traces, metrics and the watcher's log where the environment says so; whether this call set that up.

    Somebody's own set-up of OpenTelemetry, made before, is left as it is and used. Where its log goes, it says itself.
    """
    connection = environ.get(CONNECTION)
    if not connection or exported():
        return False
    if importlib.util.find_spec("azure") is None or importlib.util.find_spec("azure.monitor") is None:
        log.warning("%s is set, and nothing exports to it: install azure-monitor-opentelemetry", CONNECTION)
        return False
    from azure.monitor.opentelemetry import configure_azure_monitor

    for name in _OWN_USE:
        os.environ.setdefault(name, "True")
    try:
        configure_azure_monitor(
            connection_string=connection,
            logger_name=NAME,
            enable_live_metrics=False,
            enable_performance_counters=False,
            instrumentation_options={name: {"enabled": False} for name in _QUIET},
        )
    except ValueError:
        log.warning("%s is no connection string of Application Insights: nothing is exported", CONNECTION)
        return False
    log.setLevel(logging.INFO)
    return True
