"""The whole product on fakes under one clock: processes with their pollers, one registry, one ledger, the targets."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.loop.world import KINDS, START, Died
from tests.simulation.ports import SimulatedDeployer, SimulatedEvaluator, SimulatedLedger, SimulatedRegistry, Watching
from tests.simulation.schedule import ACT, Event
from tests.simulation.setups import Setup
from watcher.errors import Conflict, Terminal, Transient, WatcherError
from watcher.gather import Sources
from watcher.poll import Poller
from watcher.ports import Line
from watcher.reconcile import Loop, Woken
from watcher.settings import Limits, Poll, Watched
from watcher.values import Example, Marks, Observed

LATENCY = 0.001
"""Seconds that a port call takes."""
POLL = Poll(changes=60.0, marks=60.0, evidence=120.0, resync=3_600.0)
DEEPEST = 3
"""Processes that may be stopped in one another's calls."""
ACTS = frozenset({"crown", "challenge", "write_crown", "tag", "launch", "probe", "mirror", "shift", "retire", "start"})
ERRORS: dict[str, Callable[[], BaseException]] = {
    "die": lambda: Died("killed"),
    "transient": lambda: Transient("no answer"),
    "busy": lambda: Transient("wait", 7.0),
    "conflict": lambda: Conflict("it changed"),
    "terminal": lambda: Terminal("never"),
}


@dataclass
class Armed:
    """What is to happen at a port call to come, to whichever process makes it."""

    verb: str
    nth: int
    when: str
    what: str
    during: tuple[Event, ...] = ()


@dataclass
class Process:
    """One running watcher: a loop, a poller, and the appointments that die with it."""

    loop: Loop
    poller: Poller
    wakes: dict[str, float] = field(default_factory=dict)
    polls: dict[str, float] = field(default_factory=dict)
    failures: int = 0
    life: int = 0
    """How often it was started again."""


@dataclass
class Frame:
    """One wake-up under way, with what it was shown."""

    process: Process
    watched: Watched
    began: float
    paused: bool
    life: int = 0
    targets: dict[str, Observed] = field(default_factory=dict)
    intended: float = 0.0
    """When its intent was written."""
    verb: str = ""
    """Of the step whose intent was written, empty while it reads."""


@dataclass
class Universe:
    """Everything there is. `tell` gets each thing that happens as one line."""

    setup: Setup
    watching: Watching
    tell: Callable[[str], None] | None = None
    now: float = START
    coverage: Counter[tuple[str, ...]] = field(default_factory=Counter)
    armed: list[Armed] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    lag: float = 0.0
    """Seconds by which every appointment is kept too late: nothing may depend on its being kept."""
    blind_to: dict[str, int] = field(default_factory=dict)
    """Kind of poll -> how many of the next answers get lost on their way to the loop."""

    def __post_init__(self) -> None:
        self._serial = itertools.count(1)
        self.registry = SimulatedRegistry(self.clock, self.hook, self.watching, self.setup.staleness)
        self.ledger = SimulatedLedger(lambda: f"{next(self._serial):08x}", self.hook, self.watching)
        self.deployer = SimulatedDeployer(self.clock, self.hook, self.watching, atomic=self.setup.atomic)
        self.evaluator = SimulatedEvaluator(self.clock, self.hook)
        self.watched: dict[str, Watched] = {model.name: model for model in self.setup.models}
        self.names = tuple(self.watched)
        self.processes = [self.process(skew) for skew in self.setup.skews]
        self.wake_ups = 0
        self.rolling: set[str] = set()
        """Models that the loop nominated since the ledger was last wiped."""
        self.slack = 2 * max(self.setup.skews) + 0.1
        """Seconds by which two processes may differ about how long something lasts."""
        self.untagged: set[tuple[str, int]] = set()
        """Model and version whose verdict a person took away: what is settled is not read again."""
        self._person = False

    def clock(self) -> float:
        return self.now

    def process(self, skew: float) -> Process:
        """A new process, which knows nothing but its ports."""
        registry, moved = self.registry, dict.fromkeys(KINDS, self.deployer)
        sources = Sources(registry, registry, moved, lambda _: Example(b"{}", rows=1), 1, self.evaluator)
        limits = Limits(self.setup.rollouts_at_once)

        def clock() -> float:
            return self.now + skew

        loop = Loop(sources, self.ledger, limits, clock, f"w{next(self._serial)}", POLL.evidence)
        poller = Poller(self.registry, self.ledger, self.watched.__contains__, self.names)
        return Process(loop, poller)

    def die(self, process: Process) -> None:
        """The process is killed, and another started in its place."""
        fresh = self.process(process.loop.clock() - self.now)
        process.life += 1
        process.loop, process.poller, process.failures = fresh.loop, fresh.poller, 0
        process.wakes.clear()
        process.polls.clear()

    def say(self, text: str) -> None:
        if self.tell is not None:
            self.tell(f"{self.now - START:10.2f} {'  ' * len(self.frames)}{text}")

    # What the ports call

    def hook(self, verb: str, when: str) -> None:
        """A port call of the process that is at work: time passes, and what was armed for it happens."""
        if self._person or not self.frames:
            return
        self.now += LATENCY
        for armed in self.armed:
            if armed.when == when and (armed.verb == verb or (armed.verb == ACT and verb in ACTS)):
                armed.nth -= 1
                if armed.nth <= 0:
                    self.armed.remove(armed)
                    self._happens(armed, self.frames[-1].process, verb)
                    return

    def _happens(self, armed: Armed, process: Process, verb: str) -> None:
        frame = self.frames[-1]
        step = frame.verb or "reading"
        self.coverage["struck", step, verb, armed.when, armed.what] += 1
        if armed.during:
            self.say(f"{process.loop.worker} is stopped {armed.when} {verb}; meanwhile:")
            for event in armed.during:
                self.coverage["during", step, event.name] += 1
                self.happen(event)
            if frame.life != process.life:
                raise Died("killed with its process")
            self.say(f"{process.loop.worker} goes on")
            return
        self.say(f"{process.loop.worker} {armed.what} {armed.when} {verb}")
        error = ERRORS[armed.what]()
        raise error

    # What a schedule does

    def happen(self, event: Event) -> None:
        """One event, whatever the world is like."""
        from tests.simulation.deeds import DEEDS

        acting, self.registry.acting = self.registry.acting, None
        try:
            match event.name, event.args:
                case "work", (int(index), int(wakes), patience):
                    self.work(self.processes[index], wakes, float(patience))
                case "pass", (seconds,):
                    self.say(f"{seconds} s pass")
                    self.now += float(seconds)
                case "strike", (str(verb), int(nth), str(when), str(what)):
                    self.armed.append(Armed(verb, nth, when, what))
                case "stop", (str(verb), int(nth), str(when)):
                    self.armed.append(Armed(verb, nth, when, "stop", event.during))
                case name, (int(index), share):
                    with self.person():
                        done = DEEDS[name](self, self.names[index % len(self.names)], float(share))
                    self.coverage["deed", name, "" if done else "nothing to do"] += 1
                    if done:
                        self.say(f"* {name}: {done}")
                case _:
                    raise ValueError(str(event))
        finally:
            self.registry.acting = acting

    @contextlib.contextmanager
    def person(self) -> Iterator[None]:
        """What is done inside is done by none of the processes."""
        before, self._person = self._person, True
        try:
            yield
        finally:
            self._person = before

    def wipe(self) -> None:
        """The ledger's records are lost."""
        self.ledger.wipe()
        self.rolling.clear()
        self.watching.wiped()

    def work(self, process: Process, wakes: int, patience: float) -> None:
        """One process polls and wakes what is due, so many times; at most `patience` seconds pass in between."""
        if len(self.frames) >= DEEPEST:
            return
        until, left = self.now + patience, wakes
        for _ in range(4 * wakes + 8):
            self.poll(process)
            due = min(process.wakes, key=lambda name: (process.wakes[name], name), default=None)
            if due is not None and process.wakes[due] <= self.now and not self.busy(process, due):
                del process.wakes[due]
                self.wake(process, due)
                left -= 1
                if not left:
                    return
                continue
            following = self.following(process)
            if following > until:
                self.now = max(self.now, until)
                return
            self.now = max(self.now, following)

    def busy(self, process: Process, name: str) -> bool:
        """Whether the process is waking this model already."""
        return any(frame.process is process and frame.watched.name == name for frame in self.frames)

    def following(self, process: Process) -> float:
        """When the process has something to do next."""
        due = self.ledger.soonest()
        free = [at for name, at in process.wakes.items() if not self.busy(process, name)]
        times = [*free, *(at for kind, at in process.polls.items() if kind != "due")]
        if due is not None:
            times.append(max(due + self.lag, process.polls.get("due", 0.0)))
        return max(min(times), self.now + 0.01)

    def poll(self, process: Process) -> None:
        """Ask what to wake, as `LocalLoop` does; answers may get lost."""
        asks: tuple[tuple[str, float, Callable[[], set[str]]], ...] = (
            ("changes", POLL.changes, process.poller.changes),
            ("marks", POLL.marks, process.poller.marks),
            ("resync", POLL.resync, process.poller.resync),
            ("due", max(1.0, self.lag), lambda: process.poller.due(process.loop.clock())),
        )
        for kind, every, ask in asks:
            if process.polls.get(kind, 0.0) > self.now:
                continue
            process.polls[kind] = self.now + every
            try:
                with self.person():
                    found = ask()
            except WatcherError:
                process.polls[kind] = self.now + min(every, 5.0)
                continue
            if found and self.blind_to.get(kind, 0) > 0:
                self.blind_to[kind] -= 1
                self.coverage["poll", kind, "lost"] += 1
                continue
            if found:
                self.coverage["poll", kind, "woke"] += 1
            for name in found:
                process.wakes[name] = min(self.now, process.wakes.get(name, self.now))

    def wake(self, process: Process, name: str) -> Woken | None:
        """One wake-up of one model by one process; None where it failed or died."""
        self.wake_ups += 1
        watched, loop = self.watched[name], process.loop
        frame = Frame(process, watched, self.now, self.stopped(), process.life)
        self.frames.append(frame)
        try:
            woken = loop.wake(watched)
        except Died:
            if frame.life == process.life:
                self.die(process)
            return None
        except WatcherError as error:
            process.failures += 1
            pause = max(
                min(0.5 * 2.0 ** min(process.failures - 1, 10), 60.0), getattr(error, "retry_after", 0.0) or 0.0
            )
            process.wakes[name] = self.now + pause
            self.coverage["reason", "error"] += 1
            return None
        finally:
            self.frames.pop()
            self.now += 0.01
        process.failures = 0
        if woken.again is not None:
            skew = loop.clock() - self.now
            lag = 0.0 if woken.acted else self.lag
            again = woken.again - skew + lag
            process.wakes[name] = min(again, process.wakes.get(name, again))
        self.coverage["reason", woken.step.reason] += 1
        if woken.acted:
            self.coverage["verb", str(woken.step.verb)] += 1
        if self.tell is not None:
            taken = "" if woken.acted or woken.step.verb == "wait" else " (not told in the ledger)"
            step = woken.step
            self.say(f"{loop.worker} {name}: {step.slot} {step.reason} {step.detail}{taken}".rstrip())
        return woken

    # Looking, past all faults

    def fork(self, watching: Watching) -> Universe:
        """A copy that goes its own way, with new processes."""
        twin = Universe(self.setup, watching, now=self.now)
        twin._serial = itertools.count(1_000_000)
        watching.watch(twin)
        twin.registry.restore(self.registry.snapshot())
        twin.ledger.restore(self.ledger.snapshot())
        twin.deployer.restore(self.deployer.snapshot())
        for fate in ("broken", "mute", "error_share", "p95_ms"):
            getattr(twin.deployer, fate).update(getattr(self.deployer, fate))
        twin.rolling = {name for name in self.rolling if self.marks(name).challenger is not None}
        return twin

    def stopped(self) -> bool:
        """Whether a person has paused everything."""
        found = self.ledger.peek("#pause")
        return found is not None and found["paused"] is True

    def marks(self, name: str) -> Marks:
        model = self.registry.world.models.get(name)
        return model.marks if model else Marks(name, exists=False)

    def lines(self, name: str, event: str | None = None) -> Sequence[Line]:
        return [x for x in self.ledger.lines if x.model == name and event in (None, x.event)]
