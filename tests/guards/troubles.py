"""What people, accidents and the weather do to a world: each comes at some moment of a story, most go again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from tests.loop.world import MODEL, World, out_of_reach
from watcher import gather
from watcher.errors import Conflict, Terminal, Transient
from watcher.gather import MOST_READ
from watcher.naming import release_name
from watcher.pause import set_paused
from watcher.policy import Approval
from watcher.slots import free
from watcher.values import Call, Mode, Probe, Status, Target, Version

FILES = ("of", "example")
"""Port verbs that read the files of a version."""

Deed = Callable[[World], Any]


def nothing(_: World) -> None:
    """For what does not go away."""


@dataclass(frozen=True)
class Trouble:
    """How it comes, and how it goes."""

    strike: Deed
    lift: Deed = nothing
    harmless: bool = False
    """Whether it only costs time: the end is the same as without it."""
    early: bool = False
    """Whether it comes before the first wake-up, and waits for its own moment."""


def _newest(world: World) -> int:
    return world.registry.read(MODEL).newest


def _version(world: World, number: int | None) -> Version | None:
    found = world.registry.version(MODEL, number) if number is not None else None
    return found if isinstance(found, Version) else None


def _release(world: World, number: int | None) -> str | None:
    version = _version(world, number)
    return release_name(version.identity) if version else None


def _challenger(world: World) -> int | None:
    return world.registry.read(MODEL).challenger


def _lose(world: World, number: int | None, *, everywhere: bool = False) -> None:
    name = _release(world, number)
    for target in world.targets if everywhere else world.targets[:1]:
        if name in world.deployer.places[target.place].releases:
            world.deployer.lose(target, name)


def lost_champion(world: World) -> None:
    _lose(world, world.champion())


def lost_challenger(world: World) -> None:
    _lose(world, _challenger(world))


def emptied(world: World) -> None:
    world.deployer.meddle(world.targets[-1], {})


def split(world: World) -> None:
    """Somebody spreads the traffic over whatever is there."""
    names = sorted(world.deployer.places[world.targets[0].place].releases)[:2]
    if len(names) > 1:
        world.deployer.meddle(world.targets[0], {names[0]: 30, names[1]: 70})


def champion_broken(world: World) -> None:
    champion = world.champion()
    if champion is not None:
        world.deployer.broken[champion] = "no such artifacts"
        _lose(world, champion)


def mended(world: World) -> None:
    world.deployer.broken.clear()
    world.deployer.mute.clear()
    world.deployer.error_share.clear()
    world.deployer.p95_ms.clear()
    world.deployer.direct.clear()
    world.deployer.blind = False
    world.deployer.requests_per_second = 50.0


def _new(fault: str, value: Any) -> Trouble:
    """The newest version turns out bad in one way."""

    def strike(world: World) -> None:
        getattr(world.deployer, fault)[_newest(world)] = value

    return Trouble(strike)


def _harmless(trouble: Trouble) -> Trouble:
    return replace(trouble, harmless=True)


def _set(owner: str, name: str, value: Any, usual: Any) -> Trouble:
    return Trouble(
        lambda world: setattr(getattr(world, owner), name, value),
        lambda world: setattr(getattr(world, owner), name, usual),
    )


def _fails(verb: str, error: Exception, *, done: bool = False, times: int = 4) -> Trouble:
    def lift(world: World) -> None:
        world.deployer.faults.before.pop(verb, None)
        world.deployer.faults.after.pop(verb, None)

    return Trouble(lambda world: world.deployer.faults.fail(verb, error, done=done, times=times), lift)


def seen_again(world: World) -> None:
    vars(world.deployer).pop("observe", None)


def unseen(error: Exception) -> Trouble:
    """The last target cannot be observed."""

    def strike(world: World) -> None:
        out_of_reach(world, world.targets[-1].name, error)

    return Trouble(strike, seen_again)


unreachable = unseen(Transient("no route", retry_after=3.0)).strike


def crossed(world: World) -> None:
    """Another version answers what the challenger is asked."""
    ask = world.deployer._probe  # noqa: SLF001 beneath whoever listens to the port

    def other(release: Any, example: Any) -> Probe:
        return replace(ask(release, example), version=1)

    vars(world.deployer)["_probe"] = other


def silent(world: World) -> None:
    """A release does not say which version answered its probe."""
    ask = world.deployer._probe  # noqa: SLF001 beneath whoever listens to the port

    def silently(release: Any, example: Any) -> Probe:
        return replace(ask(release, example), version=None)

    vars(world.deployer)["_probe"] = silently


def untold_champion(world: World) -> None:
    champion = world.champion()
    if champion is not None:
        world.deployer.untold.add(champion)


def told_again(world: World) -> None:
    world.deployer.untold.clear()


def ordered_where_launches_fail(error: Exception, times: int) -> Deed:
    """A person orders a version whose first launches fail."""

    def strike(world: World) -> None:
        world.deployer.faults.fail("launch", error, times=times)
        world.registry.set_alias(MODEL, "champion", world.train(0.1))

    return strike


def approvals(world: World) -> None:
    """Two winners are approved, the model is held, and their approval expires."""
    world.policy = replace(world.policy, approval=Approval("approved_by", expires=100.0))
    first, second = world.train(0.95), world.train(0.96)
    held(world)
    for version in (first, second):
        world.registry.approve(MODEL, version, "approved_by", "ana")


def no_approval(world: World) -> None:
    """The hold goes after the approvals expired; some time later none is asked for any more."""
    waited(released)(world)
    for _ in range(5):
        world.wake()
        world.now += 1.0
    world.policy = replace(world.policy, approval=None)


def unslotted(world: World) -> None:
    """The slot is lost in mid-rollout, and there is none any more."""
    if _challenger(world) is not None:
        free(world.ledger, MODEL)
        world.limits = replace(world.limits, rollouts_at_once=0)


def advised_back(world: World) -> None:
    """An order, then only advice, then the order is taken back."""
    before = world.champion()
    order(lambda _: 1)(world)
    world.wake()
    world.mode = Mode.ADVISE
    order(lambda _: before)(world)


def deploying(world: World) -> None:
    world.mode = Mode.DEPLOY


def advising(world: World) -> None:
    world.mode = Mode.ADVISE


def few_gets(world: World) -> None:
    """Listings are empty, and one missing number is asked for at a time."""
    vars(gather)["MOST_READ"] = 1
    world.registry.listing = lambda _verb, _rows: []
    for auc in (0.3, 0.4, 0.2):
        world.train(auc)


def enough_gets(world: World) -> None:
    vars(gather)["MOST_READ"] = MOST_READ
    world.registry.listing = lambda _verb, rows: rows


def unreadable(world: World) -> None:
    """The storage refuses the files of every version."""

    def refusing(version: Version) -> NoReturn:
        raise Transient(f"storage: 403 for v{version.number}")

    vars(world.registry).update(dict.fromkeys(FILES, refusing))


def readable(world: World) -> None:
    for verb in FILES:
        vars(world.registry).pop(verb, None)


def stolen(world: World) -> None:
    # Looked at first: what was never observed is not there to be taken.
    world.deployer.look(world.targets[-1])
    world.deployer.places[world.targets[-1].place].owner = "somebody else"


def given_back(world: World) -> None:
    world.deployer.places[world.targets[-1].place].owner = world.targets[-1].owner


def foreign(world: World) -> None:
    """Somebody's own release takes a target over."""
    world.deployer.foreign(world.targets[0], "hand-made", 0)


def foreign_beside(world: World) -> None:
    world.deployer.foreign(world.targets[0], "hand-made", 0, live=False)


def lent(world: World) -> None:
    version = _version(world, 1)
    if version is not None:
        world.deployer.adopt(world.targets[0], version)


def order(number: Callable[[World], int | None]) -> Deed:
    """A person moves the champion mark."""

    def strike(world: World) -> None:
        version = _version(world, number(world))
        if version is not None:
            world.registry.set_alias(MODEL, "champion", version.number)

    return strike


def impossible(world: World) -> None:
    """A person orders a version that does not come up."""
    if world.champion() is None:
        return
    version = world.train(0.1)
    world.deployer.broken[version] = "no such artifacts"
    world.registry.set_alias(MODEL, "champion", version)


def given_again(wakes: int) -> Deed:
    """The same order once more, by way of another one that is seen for some wake-ups."""

    def lift(world: World) -> None:
        mended(world)
        ordered = world.champion()
        order(lambda _: 1)(world)
        for _ in range(wakes):
            world.wake()
        order(lambda _: ordered)(world)

    return lift


def agrees(world: World) -> None:
    order(_challenger)(world)


def taken_back(world: World) -> None:
    """A version that was never judged is ordered, then another one, and as soon as that is seen the first again."""
    first, second = world.train(0.1), world.train(0.1)
    for version in (first, second, first):
        world.registry.set_alias(MODEL, "champion", version)
        world.wake()


def order_on_order(world: World) -> None:
    """The first version is ordered, and another one as soon as some target serves it."""
    order(lambda _: 1)(world)
    _until(world, lambda: world.serving(world.targets[0].name) == {1: 100})
    world.registry.set_alias(MODEL, "champion", world.train(0.1))


def nominated(world: World) -> None:
    """A rollout begins, where one is to come."""
    _until(world, lambda: world.call(_challenger(world) or 0) is Call.WINS)


def cut_in(world: World) -> None:
    """Somebody empties a target just when its weights are being changed."""

    def moving() -> list[Target]:
        return [target for target in world.targets if world.deployer.look(target).moving]

    _until(world, lambda: bool(moving()))
    for target in moving():
        world.deployer.meddle(target, {})


def at_rest(world: World) -> None:
    """Some time passes, for most stories enough."""
    _until(world, lambda: False)


def idle(world: World) -> None:
    """Until nothing is left to do, for now."""
    _until(world, lambda: world.woken is not None and world.woken.step.reason == "nothing_to_do")


def _until(world: World, reached: Callable[[], bool]) -> None:
    loop = world.worker()
    for _ in range(20):
        if reached():
            return
        if not world.wake(loop).acted:
            world.now += 1.0


def all_again(world: World) -> None:
    """A person orders one of several worse versions, and then wants all others to be judged again."""
    for _ in range(3):
        worse(world)
    order(lambda world: _newest(world) - 1)(world)
    at_rest(world)
    for number in range(1, _newest(world) + 1):
        if _version(world, number) is not None:
            world.registry.rejudge(MODEL, number)


def abort(world: World) -> None:
    world.registry.delete_alias(MODEL, "challenger")


def nominated_by_hand(world: World) -> None:
    world.registry.set_alias(MODEL, "challenger", _newest(world))


def old_nominated_by_hand(world: World) -> None:
    if _version(world, 1) is not None:
        world.registry.set_alias(MODEL, "challenger", 1)


def unmarked_champion(world: World) -> None:
    world.registry.delete_alias(MODEL, "champion")


def marked_champion(world: World) -> None:
    lines = world.lines("crowned") + world.lines("order")
    if world.champion() is None and lines:
        order(lambda _: max(lines, key=lambda line: line.at).version)(world)


def deleted(number: Callable[[World], int | None]) -> Deed:
    def strike(world: World) -> None:
        version = _version(world, number(world))
        if version is not None:
            world.registry.delete_version(MODEL, version.number)

    return strike


def recreated(world: World) -> None:
    """The model is deleted and made again, with the same numbers for other versions."""
    world.registry.delete_model(MODEL)
    world.train(0.6)
    world.train(0.5)
    world.registry.set_alias(MODEL, "champion", 1)


def recreated_broken(world: World) -> None:
    """The same, and its first version does not come up."""
    recreated(world)
    world.deployer.broken[1] = "no such artifacts"


def forgotten(world: World) -> None:
    """The model is made again without a champion."""
    world.registry.delete_model(MODEL)
    world.train(0.6)


def renamed(world: World) -> None:
    world.registry.rename(MODEL, "other")


def renamed_back(world: World) -> None:
    if not world.registry.read(MODEL).exists:
        world.registry.rename("other", MODEL)


def crown_broken() -> Trouble:
    kept = []

    def strike(world: World) -> None:
        kept.append(world.registry.read(MODEL).crown)
        world.registry.break_crown(MODEL)

    return Trouble(strike, lambda world: world.registry.set_crown(MODEL, kept.pop()))


def rejudged(number: Callable[[World], int | None]) -> Deed:
    def strike(world: World) -> None:
        version = _version(world, number(world))
        if version is not None:
            world.registry.rejudge(MODEL, version.number)

    return strike


def recalled(call: Call | None) -> Deed:
    """A person writes over what the challenger was called, or takes it away."""

    def strike(world: World) -> None:
        challenger = _challenger(world)
        if challenger is not None and call is not None:
            world.registry.set_tag(MODEL, challenger, "watcher.verdict", str(call))
        elif challenger is not None:
            world.registry.delete_tag(MODEL, challenger, "watcher.verdict")

    return strike


def doubted(world: World) -> None:
    """The challenger's mark is there before its verdict, and its metric turns bad."""
    challenger = _challenger(world)
    if challenger is not None:
        world.registry.delete_tag(MODEL, challenger, "watcher.verdict")
        world.registry.log_metric(MODEL, challenger, "auc", 0.1)


def turned(world: World) -> None:
    """Metrics change after the fact."""
    for number, auc in ((1, 0.99), (_newest(world), 0.2)):
        if _version(world, number) is not None:
            world.registry.log_metric(MODEL, number, "auc", auc)


def held(world: World) -> None:
    world.registry.hold(MODEL, "ana")


def released(world: World) -> None:
    world.registry.hold(MODEL, None)


def waited(deed: Deed) -> Deed:
    """Two hours pass before it."""

    def strike(world: World) -> None:
        world.now += 2 * world.rollout.deadline
        deed(world)

    return strike


def held_for_long(world: World) -> None:
    """A hold that is seen, and lasts for longer than a rollout may."""
    held(world)
    world.wake()
    world.now += 2 * world.rollout.deadline


def several(*deeds: Deed) -> Deed:
    def strike(world: World) -> None:
        for deed in deeds:
            deed(world)

    return strike


def pause(*, on: bool) -> Deed:
    return lambda world: set_paused(world.ledger, "ana", on=on, now=world.now)


def damaged(world: World) -> None:
    """The ledger's record cannot be read any more."""
    stored = world.ledger.load(MODEL)
    if stored is not None:
        world.ledger.save(MODEL, {"format": 1, "phases": [3]}, stored.revision)


def overtaken(world: World) -> None:
    """Somebody else is faster, once."""
    world.ledger.fail("save", Conflict("written by somebody else"), key=MODEL)


def announced(world: World) -> None:
    """Another worker announces a step, and dies."""
    stored = world.ledger.kept(MODEL)
    if stored is not None:
        intent = {"worker": "another", "until": world.now + world.deployer.lease, "step": "launch:api:any"}
        world.ledger.save(MODEL, {**stored.body, "intent": intent}, stored.revision)


def stale(world: World) -> None:
    """Reads are some writes old, for no longer than the registry says they may be."""
    world.registry.staleness = 10_000.0
    world.registry.stale_writes = 4


def little_stale(world: World) -> None:
    world.registry.staleness, world.registry.stale_writes = 10_000.0, 2


def fresh(world: World) -> None:
    world.registry.stale_writes = 0
    world.registry.staleness = 5.0
    world.now += 10.0


def listing(shown: Callable[[list[Any]], list[Any]]) -> Trouble:
    return Trouble(
        lambda world: setattr(world.registry, "listing", lambda _verb, rows: shown(list(rows))),
        lambda world: setattr(world.registry, "listing", lambda _verb, rows: rows),
    )


def worse(world: World) -> None:
    world.train(0.3)


def better(world: World) -> None:
    world.train(0.97)


def many(world: World) -> None:
    for auc in (0.7, 0.96, None, 0.94):
        world.train(auc)
    world.train(0.99, status=Status.PENDING)


def finished(world: World) -> None:
    for number in range(1, _newest(world) + 1):
        version = _version(world, number)
        if version is not None and version.status is Status.PENDING:
            world.registry.set_status(MODEL, number, Status.READY)
        if version is not None and version.call is None:
            world.registry.log_metric(MODEL, number, "auc", 0.6)


def no_example(world: World) -> None:
    world.registry.set_evidence(MODEL, _newest(world), example=None)


def quick_orders(world: World) -> None:
    """Three versions that were never judged are ordered, each before the one before it was served for long."""
    loop = world.worker()
    for version in [world.train(0.1) for _ in range(3)]:
        world.registry.set_alias(MODEL, "champion", version)
        for _ in range(2):
            world.wake(loop)


def advised_again(world: World) -> None:
    """Only advice is given, and a version that lost is to be judged again."""
    advising(world)
    worse(world)
    for _ in range(3):
        world.wake()
    rejudged(_newest)(world)


def untold_newest(world: World) -> None:
    world.deployer.untold.add(_newest(world))


def cut_in_two(world: World) -> None:
    """Crownings move the mark and die before the tag."""
    world.registry.fail("crown", Transient("timed out"), "between", times=2)


def unmarked_way_back(world: World) -> None:
    """The newest fails its requests, and on its way back its verdict and the crown tag are lost."""
    world.deployer.error_share[_newest(world)] = 0.4
    for _ in range(200):
        if any(line.version == _challenger(world) for line in world.lines("rolled_back")):
            break
        woken = world.wake()
        world.now = world.now if woken.acted else max(world.now, woken.again or world.now)
    recalled(None)(world)
    world.registry.set_crown(MODEL, None)


def unwritten(world: World) -> None:
    """Twice the ledger cannot be reached just when something was done."""
    save, left = world.ledger.save, [None, None]

    def failing(key: str, body: Any, *more: Any) -> str:
        stored = world.ledger.kept(key)
        if left and key == MODEL and body["intent"] is None and stored is not None and stored.body["intent"]:
            left.pop()
            raise Transient("ledger: no answer")
        return save(key, body, *more)

    vars(world.ledger)["save"] = failing


def delayed(owner: str, verb: str, seconds: float) -> Trouble:
    """Every call of a verb takes so long."""

    def strike(world: World) -> None:
        of = getattr(world, owner)
        done = getattr(of, verb)

        def slowly(*about: Any, **named: Any) -> Any:
            answer = done(*about, **named)
            world.now += seconds
            return answer

        vars(of)[verb] = slowly

    return Trouble(strike, lambda world: vars(getattr(world, owner)).pop(verb, None))


def fewer(meanwhile: Deed = nothing) -> Trouble:
    """The settings no longer name the last target, where there are others."""
    kept = []

    def strike(world: World) -> None:
        kept.append(world.targets)
        world.targets = world.targets[:-1] or world.targets
        meanwhile(world)

    return Trouble(strike, several(lambda world: setattr(world, "targets", kept.pop()), finished))


def asked_instead(world: World) -> None:
    """Nobody asks, and a probe will do."""
    world.deployer.requests_per_second = 0.0
    world.rollout = replace(world.rollout, analysis=replace(world.rollout.analysis, no_traffic="probe"))


def called_unmet(world: World) -> None:
    """A person writes over what the champion was called."""
    champion = world.champion()
    if _version(world, champion) is not None and champion is not None:
        world.registry.set_tag(MODEL, champion, "watcher.verdict", str(Call.UNMET))


def refusing_writes(verb: str) -> Trouble:
    """The registry does not take what is written, for a while."""
    return Trouble(lambda world: world.registry.fail(verb, Transient("503"), times=4))


def two_ago(world: World) -> int | None:
    return max(_newest(world) - 2, 1)


TROUBLES: dict[str, Trouble] = {
    "the champion's release is lost": _harmless(Trouble(lost_champion)),
    "the challenger's release is lost": Trouble(lost_challenger),
    "a target is emptied": _harmless(Trouble(emptied)),
    "somebody sets weights": _harmless(Trouble(split)),
    "the champion does not start again": Trouble(champion_broken, mended),
    "the champion does not start again, and a better version comes": Trouble(several(champion_broken, better), mended),
    "the newest does not come up": _new("broken", "no such artifacts"),
    "the newest fails its probe": _new("mute", "it raises ValueError"),
    "the newest fails requests": _new("error_share", 0.4),
    "the newest is slow": _new("p95_ms", 40.0),
    "somebody asks the newest itself": _harmless(_new("direct", 100)),
    "nobody asks": _harmless(_set("deployer", "requests_per_second", 0.0, 50.0)),
    "few ask": _harmless(_set("deployer", "requests_per_second", 3.0, 50.0)),
    "traffic cannot be told": _harmless(_set("deployer", "blind", True, False)),
    "a launch is refused": _fails("launch", Terminal("no such instance type"), times=1),
    "launches fail": _harmless(_fails("launch", Transient("busy", retry_after=7.0))),
    "launches are not answered": _harmless(_fails("launch", Transient("timed out"), done=True)),
    "shifts conflict": _harmless(_fails("shift", Conflict("it changed"), times=8)),
    "shifts are not answered": _harmless(_fails("shift", Transient("timed out"), done=True)),
    "a probe is refused": _fails("probe", Terminal("415"), times=1),
    "probes fail": _harmless(_fails("probe", Transient("busy"))),
    "probes are answered by another": Trouble(crossed),
    "retiring is refused": _fails("retire", Terminal("403"), times=30),
    "a target is out of reach": _harmless(unseen(Transient("no route", retry_after=3.0))),
    "a target is out of reach, and a better version comes": Trouble(several(unreachable, better), seen_again),
    "a target is refused": _harmless(unseen(Terminal("401"))),
    "a target has another owner": Trouble(stolen, given_back),
    "a target has another owner for long": Trouble(
        several(idle, stolen, lambda world: setattr(world, "now", world.now + 2 * world.rollout.keep_warm)),
        given_back,
        early=True,
    ),
    "a target is out of reach twice": Trouble(
        several(at_rest, unreachable, at_rest, seen_again, at_rest, unreachable), seen_again
    ),
    "a foreign release takes over": Trouble(foreign, lent),
    "a foreign release is beside": Trouble(foreign_beside),
    "an order to the first": Trouble(order(lambda _: 1)),
    "an order to the newest": Trouble(order(_newest)),
    "an order to one before": Trouble(order(two_ago)),
    "an impossible order": Trouble(impossible),
    "an impossible order, given again": Trouble(impossible, given_again(3)),
    "an impossible order, given again at once": Trouble(impossible, given_again(1)),
    "an order on an order": Trouble(order_on_order),
    "orders follow quickly, and verdicts cannot be written": Trouble(
        several(refusing_writes("tag").strike, quick_orders)
    ),
    "an abort, and a target is out of reach": Trouble(several(nominated, abort, unreachable), seen_again, early=True),
    "a target is emptied while it is changed": _harmless(Trouble(cut_in, early=True)),
    "a target is emptied as a rollout begins": _harmless(Trouble(several(nominated, emptied), early=True)),
    "an impossible order, judged again": Trouble(impossible, several(mended, rejudged(World.champion))),
    "an impossible order while one is met": Trouble(
        several(order(lambda _: 1), impossible), several(mended, order(lambda _: 2))
    ),
    "a person agrees": Trouble(agrees),
    "a person agrees before there is a verdict": Trouble(several(recalled(None), agrees)),
    "an order is taken back at once": Trouble(taken_back),
    "an order, and all others are to be judged again": Trouble(all_again),
    "an abort": Trouble(abort),
    "a challenger by hand": Trouble(nominated_by_hand),
    "an old challenger by hand": Trouble(old_nominated_by_hand),
    "the champion is unmarked": Trouble(unmarked_champion, marked_champion),
    "the champion is deleted": Trouble(deleted(World.champion), order(_newest)),
    "the challenger is deleted": Trouble(deleted(_challenger)),
    "the first is deleted": Trouble(deleted(lambda _: 1)),
    "the model is made again": Trouble(recreated),
    "the model is made again, broken": Trouble(recreated_broken, mended),
    "the model is made again, unmarked": Trouble(forgotten, order(_newest)),
    "the model is renamed": _harmless(Trouble(renamed, renamed_back)),
    "the crown cannot be read": _harmless(crown_broken()),
    "the newest is to be judged again": Trouble(rejudged(_newest)),
    "the champion is to be judged again": Trouble(rejudged(World.champion)),
    "a fallen one is to be judged again": Trouble(rejudged(lambda _: 2), mended),
    "the verdict is taken away": Trouble(recalled(None)),
    "the verdict is written over": Trouble(recalled(Call.LOSES)),
    "the verdict is written over as rolled back": Trouble(recalled(Call.ROLLED_BACK)),
    "the verdict is doubted": Trouble(doubted),
    "metrics change": Trouble(turned),
    "a hold": _harmless(Trouble(held, released)),
    "a long hold": _harmless(Trouble(held, waited(released))),
    "a hold beyond the deadline": _harmless(Trouble(held_for_long, released)),
    "a hold, and a target is emptied": _harmless(
        Trouble(several(nominated, held, at_rest, emptied), released, early=True)
    ),
    "a way back, and its marks are lost": Trouble(unmarked_way_back, mended, early=True),
    "a hold, and it fails": Trouble(several(held, _new("error_share", 0.4).strike), released),
    "a pause": _harmless(Trouble(pause(on=True), pause(on=False))),
    "a pause, and a target is emptied": _harmless(
        Trouble(several(pause(on=True), at_rest, emptied), several(at_rest, pause(on=False)))
    ),
    "a long pause": _harmless(Trouble(pause(on=True), waited(pause(on=False)))),
    "only advice": Trouble(
        lambda world: setattr(world, "mode", Mode.ADVISE), lambda world: setattr(world, "mode", Mode.DEPLOY)
    ),
    "no slot is free": Trouble(
        lambda world: setattr(world, "limits", replace(world.limits, rollouts_at_once=0)),
        lambda world: setattr(world, "limits", replace(world.limits, rollouts_at_once=1)),
    ),
    "the ledger is wiped": _harmless(Trouble(lambda world: world.ledger.wipe())),
    "the ledger is damaged": _harmless(Trouble(damaged)),
    "another worker dies before its step": _harmless(Trouble(announced)),
    "another worker is faster": _harmless(Trouble(overtaken)),
    "reads are stale": _harmless(Trouble(stale, fresh)),
    "listings are empty": _harmless(listing(lambda _: [])),
    "listings are partial": _harmless(listing(lambda rows: rows[:1])),
    "files cannot be read": _harmless(Trouble(unreadable, readable)),
    "reads are a little stale": _harmless(Trouble(little_stale, fresh)),
    "reads are slow": delayed("deployer", "observe", 118.0),
    "intents are written slowly": _harmless(delayed("ledger", "save", 8.0)),
    "what was done cannot be written down": _harmless(
        Trouble(unwritten, lambda world: vars(world.ledger).pop("save", None))
    ),
    "verdicts cannot be written": _harmless(refusing_writes("tag")),
    "crowns cannot be written": _harmless(refusing_writes("write_crown")),
    "nobody asks, and a probe will do": Trouble(asked_instead, mended),
    "the champion is called unmet": Trouble(called_unmet),
    "only advice, and the challenger is to be judged again": Trouble(
        several(advising, rejudged(_challenger)), deploying
    ),
    "the settings name one target less": fewer(),
    "the settings name one target less, and a version waits": fewer(World.train),
    "a worse version": Trouble(worse),
    "a better version": Trouble(better),
    "many versions": Trouble(many, finished),
    "no example": Trouble(no_example),
    "probes are answered without a version": _harmless(Trouble(silent)),
    "the champion's traffic cannot be told": _harmless(Trouble(untold_champion, told_again)),
    "the newest's latency cannot be told": _harmless(_new("p95_ms", None)),
    "a refused order": Trouble(ordered_where_launches_fail(Terminal("no such instance type"), 50)),
    "an order, and launches fail": Trouble(ordered_where_launches_fail(Transient("busy"), 3)),
    "approvals expire": Trouble(approvals, no_approval),
    "slots are lost": Trouble(several(nominated, unslotted), early=True),
    "only advice, in an order taken back": Trouble(advised_back, deploying),
    "only advice, for good": Trouble(several(old_nominated_by_hand, advising)),
    "listings are empty, gets are few": Trouble(few_gets, enough_gets),
    "the deadline passes": Trouble(waited(nothing)),
    "orders follow quickly": Trouble(quick_orders),
    "crownings are cut in two": _harmless(Trouble(cut_in_two)),
    "the newest's traffic cannot be told": _harmless(Trouble(untold_newest, told_again)),
    "the model is renamed, only advice": _harmless(
        Trouble(several(advising, renamed), several(renamed_back, deploying))
    ),
    "the crown cannot be read, only advice": Trouble(
        several(advising, lambda world: world.registry.break_crown(MODEL)), deploying
    ),
    "only advice, and judged again": Trouble(advised_again, deploying),
    "the champion is unmarked and a target emptied": Trouble(several(unmarked_champion, emptied), marked_champion),
    "a target has another owner, and a better version comes": Trouble(several(stolen, better), given_back),
    "the model is renamed, and a target is out of reach": Trouble(
        several(renamed, unreachable),
        several(renamed_back, seen_again),
    ),
    "the newest fails its probe, and a target has another owner": Trouble(
        several(_new("mute", "it raises ValueError").strike, stolen), given_back
    ),
}
"""Each by a sentence."""
