"""What the loop does, as traces and metrics of OpenTelemetry. Without an exporter all of it is nothing, at no cost.

Attributes hold codes and names, never an error's text: what a library says may hold what nobody should read. Metrics
have no model in them, so that there are as many of them with a thousand models as with one. OpenTelemetry is imported
at the first use, since whoever only imports this must stay cheap.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.errors import UnderWay
from watcher.ports import Line
from watcher.text import plain

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter
    from opentelemetry.trace import Span, Tracer

NAME = "watcher"


@dataclass(frozen=True)
class Instruments:
    """Everything that is measured. Durations in seconds."""

    tracer: Tracer
    meter: Meter
    ticks: Counter
    wakes: Counter
    wake: Histogram
    verdicts: Counter
    rollouts: Histogram
    calls: Counter
    errors: Counter


def instruments(tracer: Tracer, meter: Meter) -> Instruments:
    """By their names, with what they mean."""
    return Instruments(
        tracer,
        meter,
        meter.create_counter("watcher.ticks", "{tick}", "Polls, sweeps and resyncs, by kind and outcome."),
        meter.create_counter("watcher.wakes", "{wake}", "Wake-ups, by outcome and verb."),
        meter.create_histogram("watcher.wake.duration", "s", "How long a wake-up took."),
        meter.create_counter("watcher.verdicts", "{verdict}", "Verdicts that were new, by call."),
        meter.create_histogram("watcher.rollout.duration", "s", "From nomination to its end, by end."),
        meter.create_counter("watcher.registry.calls", "{call}", "Calls of the registry, by name and outcome."),
        meter.create_counter("watcher.deployer.errors", "{error}", "Failed verbs of deployers, by kind and error."),
    )


@functools.cache
def _ours() -> Instruments:
    from opentelemetry import metrics, trace

    return instruments(trace.get_tracer(NAME), metrics.get_meter(NAME))


@contextlib.contextmanager
def span(name: str, **attributes: str | int | bool) -> Iterator[Span]:
    """A span, the child of the one around it. One that ends in an error says which, and not in whose words.

    What is only under way is none.
    """
    from opentelemetry.trace import Status, StatusCode

    told = {f"watcher.{key}": plain(value) if isinstance(value, str) else value for key, value in attributes.items()}
    with _ours().tracer.start_as_current_span(
        name, attributes=told, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except UnderWay:
            raise
        except Exception as error:
            made.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def tick(kind: str, *, ok: bool) -> None:
    """A look at everything: `changes`, `marks`, `ledger` (what is due) or `resync`."""
    _ours().ticks.add(1, {"kind": kind, "outcome": "ok" if ok else "failed"})


def woke(outcome: str, verb: str, seconds: float) -> None:
    """One wake-up: `acted`, `waited` or `failed`."""
    about = {"outcome": outcome, "verb": verb}
    _ours().wakes.add(1, about)
    _ours().wake.record(seconds, about)


def written(lines: Iterable[Line], rollout_since: float) -> None:
    """Lines that are in the history now; `rollout_since`: when the rollout began, 0 without one."""
    for line in lines:
        if line.event == "verdict":
            _ours().verdicts.add(1, {"call": plain((line.data or {}).get("call"), 20)})
        elif line.event in ("crowned", "rolled_back") and rollout_since:
            _ours().rollouts.record(line.at - rollout_since, {"end": line.event})


def deployer_error(kind: str, verb: str, error: str) -> None:
    """A verb of a deployer that failed; `error` is the kind of failure, not its text."""
    _ours().errors.add(1, {"kind": kind, "verb": verb, "error": error})


def age(seconds: Callable[[], float | None]) -> None:
    """Have the heartbeat's age asked for whenever metrics are collected; None: there is nothing to say."""
    from opentelemetry.metrics import CallbackOptions, Observation

    def look(_: CallbackOptions) -> Iterable[Observation]:
        found = seconds()
        return [] if found is None else [Observation(found)]

    _ours().meter.create_observable_gauge("watcher.heartbeat.age", [look], "s", "Since the timer fired last.")


class Counted:
    """A registry whose calls are counted. Everything else of it is as it is."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name.startswith("_") or not callable(found):
            return found

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            outcome = "ok"
            try:
                return found(*args, **kwargs)
            except Exception as error:
                outcome = type(error).__name__
                raise
            finally:
                _ours().calls.add(1, {"call": name, "outcome": outcome})

        return call


@contextlib.contextmanager
def within(parent: str | None) -> Iterator[None]:
    """Everything inside belongs to the trace that `parent`, a W3C traceparent, names."""
    if not parent:
        yield
        return
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    token = context.attach(TraceContextTextMapPropagator().extract({"traceparent": parent}))
    try:
        yield
    finally:
        context.detach(token)


def fields(line: Line) -> dict[str, Any]:
    """What a log record about a line has beside its text, to be searched for."""
    told = {"model": plain(line.model), "event": line.event, "target": line.target, "version": line.version}
    return {f"watcher.{key}": value for key, value in (told | {"reason": line.reason}).items() if value}
