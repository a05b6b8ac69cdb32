"""What is told of the loop as traces, metrics and logs; and that none of it costs anything where nobody asks for it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from tests.hosted.world import START, Hosted
from tests.loop.world import MODEL, World
from watcher import exporting, telemetry
from watcher.errors import Terminal, Transient, UnderWay, UserError
from watcher.hosted import wakes
from watcher.hosted.host import Host
from watcher.ports import Line

ROOT = Path(__file__).parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Told:
    """What an exporter is given."""

    spans: InMemorySpanExporter
    reader: InMemoryMetricReader

    def trees(self) -> list[tuple[str, list[str]]]:
        """Each span without a parent, with the names of its children in their order."""
        found = self.spans.get_finished_spans()
        roots = sorted((s for s in found if s.parent is None), key=lambda s: s.start_time or 0)
        return [(root.name, [s.name for s in self._children(root)]) for root in roots]

    def _children(self, root: ReadableSpan) -> list[ReadableSpan]:
        found = [s for s in self.spans.get_finished_spans() if s.parent and s.parent.span_id == _id(root).span_id]
        return sorted(found, key=lambda s: s.start_time or 0)

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """Values of a metric by those of its attributes."""
        data = self.reader.get_metrics_data()
        found: dict[tuple[Any, ...], Any] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        value = getattr(point, "value", None)
                        found[tuple((point.attributes or {}).values())] = (
                            value if value is not None else (point.count, point.sum)  # type: ignore[union-attr]
                        )
        return found


def _id(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    made = telemetry.instruments(tracers.get_tracer("watcher"), meters.get_meter("watcher"))
    monkeypatch.setattr(telemetry, "_ours", lambda: made)
    yield Told(spans, reader)
    tracers.shutdown()
    meters.shutdown()


def test_a_wake_up_is_one_trace_with_what_it_did(told: Told) -> None:
    world = World()
    world.train(0.8)
    world.wake()
    assert told.trees() == [("wake", ["gather", "judge", "decide", "act"])]
    (root,) = [span for span in told.spans.get_finished_spans() if span.parent is None]
    assert dict(root.attributes or {}) == {
        "watcher.model": MODEL, "watcher.step": "nominate::1", "watcher.reason": "nominated",
    }  # fmt: skip
    (acted,) = [span for span in told.spans.get_finished_spans() if span.name == "act"]
    assert dict(acted.attributes or {}) == {"watcher.verb": "nominate", "watcher.target": ""}


def test_a_step_at_a_target_names_it(told: Told) -> None:
    world = World()
    world.train(0.8)
    world.rest()
    acted = [dict(s.attributes or {}) for s in told.spans.get_finished_spans() if s.name == "act"]
    assert {"watcher.verb": "launch", "watcher.target": "api"} in acted


def test_a_wake_up_that_finds_nothing_to_do_has_no_act(told: Told) -> None:
    world = World()
    world.wake()
    assert told.trees() == [("wake", ["gather", "judge", "decide"])]


def test_a_step_that_is_only_under_way_is_no_error(told: Told) -> None:
    world = World()
    world.train(0.8)
    world.deployer.faults.fail("launch", UnderWay("3 of 9 MB are there", 2.0))
    world.rest()
    assert world.lines("under_way")
    assert {span.status.description for span in told.spans.get_finished_spans()} == {None}


def test_one_that_fails_says_what_failed_and_not_in_whose_words(told: Told) -> None:
    world = World()
    world.train(0.8)
    world.registry.fail("read", Transient("postgresql://me:hunter2@db is away"))
    with pytest.raises(Transient):
        world.wake()
    assert [span.status.description for span in told.spans.get_finished_spans()] == ["Transient", "Transient"]
    assert "hunter2" not in "".join(span.to_json() for span in told.spans.get_finished_spans())
    assert told.points("watcher.wakes") == {("failed", ""): 1}


def test_verdicts_and_the_duration_of_rollouts_are_counted(told: Told) -> None:
    world = World()
    world.crowned(0.8)
    broken = world.train(0.9)
    world.deployer.mute[broken] = "it raises ValueError"
    world.rest()
    world.train(0.7)
    world.rest()
    assert told.points("watcher.verdicts") == {("wins",): 2, ("loses",): 1}
    rollouts = told.points("watcher.rollout.duration")
    assert {end: count for (end,), (count, _) in rollouts.items()} == {"crowned": 1, "rolled_back": 1}
    nominated, crowned = (world.lines(event)[0].at for event in ("rollout_started", "crowned"))
    assert rollouts["crowned",][1] == pytest.approx(crowned - nominated)


def test_wake_ups_are_counted_without_their_models(told: Told) -> None:
    world = World()
    world.crowned(0.8)
    wakes_ = told.points("watcher.wakes")
    assert wakes_["acted", "crown"] == 1
    assert sum(wakes_.values()) == sum(count for count, _ in told.points("watcher.wake.duration").values())
    assert MODEL not in str(wakes_)


def test_errors_of_deployers_are_counted_by_kind_and_verb(told: Told) -> None:
    world = World()
    world.train(0.8)
    world.deployer.faults.fail("launch", Terminal("no such place"))
    world.rest(until=world.now + 5.0)
    assert told.points("watcher.deployer.errors")["fake", "launch", "terminal"] == 1


def test_registry_calls_are_counted_and_otherwise_as_they_were(told: Told) -> None:
    world = World()
    world.train(0.8)
    counted = telemetry.Counted(world.registry)
    assert counted.read(MODEL) == world.registry.read(MODEL)
    assert counted.staleness == world.registry.staleness
    world.registry.fail("read", Transient("away"))
    with pytest.raises(Transient):
        counted.read(MODEL)
    assert told.points("watcher.registry.calls") == {("read", "ok"): 1, ("read", "Transient"): 1}


def test_ticks_are_counted_with_their_outcome(told: Told, tmp_path: Path) -> None:
    hosted = Hosted(tmp_path)
    hosted.train()
    wakes.poll(hosted.host)
    hosted.registry.fail("changed", Transient("away"))
    wakes.poll(hosted.host)
    wakes.resync(hosted.host)
    assert told.points("watcher.ticks") == {
        ("changes", "ok"): 1, ("changes", "failed"): 1, ("marks", "ok"): 2, ("ledger", "ok"): 2, ("resync", "ok"): 1,
    }  # fmt: skip


def test_the_heartbeats_age_rises_while_nothing_beats(told: Told, tmp_path: Path) -> None:
    hosted = Hosted(tmp_path)
    telemetry.age(hosted.host._age)  # noqa: SLF001 what the host hands over once it exports
    assert told.points("watcher.heartbeat.age") == {}
    hosted.now = START
    wakes.poll(hosted.host)
    hosted.now += 500.0
    assert told.points("watcher.heartbeat.age") == {(): 500.0}


def test_a_wake_up_belongs_to_the_trace_of_whoever_called(told: Told) -> None:
    world = World()
    with telemetry.within(PARENT):
        world.wake()
    assert {f"{_id(s).trace_id:032x}" for s in told.spans.get_finished_spans()} == {PARENT.split("-")[1]}


def test_a_wake_up_in_azure_functions_belongs_to_the_trace_of_its_invocation(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    import function_app
    from watcher.hosted import wakes

    monkeypatch.setenv(exporting.CONNECTION, "InstrumentationKey=0")
    monkeypatch.setattr(wakes, "poll", lambda _host: World().wake() and [])
    context = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=PARENT))
    poll = next(f for f in function_app.app.get_functions() if f.get_function_name() == "poll")
    poll.get_user_function()(timer=None, names=None, context=context)
    assert {f"{_id(s).trace_id:032x}" for s in told.spans.get_finished_spans()} == {PARENT.split("-")[1]}


@pytest.mark.parametrize("parent", [None, "", "00-junk"])
def test_without_a_caller_it_has_a_trace_of_its_own(told: Told, parent: str | None) -> None:
    with telemetry.within(parent):
        World().wake()
    assert told.trees()[0][0] == "wake"


def test_a_line_in_the_log_can_be_searched_by_its_parts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "watcher")
    line = Line(1.0, "churn\x1b[31m", "live", "api", 3, "canary_step", {"weights": {"3": 100}})
    exporting.tell(line)
    (record,) = caplog.records
    found = {key: value for key, value in vars(record).items() if key.startswith("watcher.")}
    assert found == {
        "watcher.model": "churn\ufffd[31m", "watcher.event": "live", "watcher.target": "api", "watcher.version": 3,
        "watcher.reason": "canary_step",
    }  # fmt: skip
    exporting.tell(replace(line, model=MODEL))


def test_without_an_exporter_a_span_costs_next_to_nothing() -> None:
    """Ten spans and ten counts a wake-up are less than a thousandth of one that takes 50 ms."""
    assert not exporting.export({})

    def cost() -> float:
        began = time.process_time()
        for _ in range(1_000):
            with telemetry.span("wake", model="churn"):
                telemetry.woke("waited", "wait", 0.0)
        return (time.process_time() - began) / 1_000

    assert min(cost() for _ in range(5)) < 100e-6


EXPORTING = """
import logging, os, sys
from watcher import exporting, telemetry
environ = {"APPLICATIONINSIGHTS_CONNECTION_STRING": sys.argv[1]}
print(exporting.export(environ), exporting.export(environ), exporting.exported())
from opentelemetry import trace
print(type(trace.get_tracer_provider()).__module__.split(".")[1])
os._exit(0)
"""


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ("InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint=http://127.0.0.1:9/", "sdk"),
        ("nonsense", "trace"),
    ],
)
def test_an_exporter_is_made_once_where_the_environment_names_one(connection: str, said: str) -> None:
    command = [sys.executable, "-c", EXPORTING, connection]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    exported = said == "sdk"
    assert ran.stdout.split() == [str(exported), "False", str(exported), said], ran.stderr
    assert ("no connection string of Application Insights" in ran.stderr) is not exported


def test_a_host_whose_settings_are_a_mistake_looks_once_where_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(exporting, "export", looked.append)
    host = Host(tmp_path, {})
    for _ in range(3):
        with pytest.raises(UserError):
            _ = host.app
    assert len(looked) == 1


OTHERS = """
import logging, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pathlib import Path
from watcher.hosted.host import Host
trace.set_tracer_provider(TracerProvider())
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
try:
    Host(Path("nowhere"), {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=0"}).app
except Exception:
    pass
logging.getLogger("watcher").info("a line for the host")
"""


def test_where_somebody_else_set_up_opentelemetry_the_log_goes_to_the_host_as_ever() -> None:
    ran = subprocess.run([sys.executable, "-c", OTHERS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "a line for the host" in ran.stdout
