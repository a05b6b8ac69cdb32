"""Whatever a version says of itself, the loop goes on, and only a better version with sound numbers is crowned."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import strategies as hostile
from tests.loop.world import MODEL, World
from watcher.history import render
from watcher.values import Artifacts, Column, Example, Metric, Signature

REIGNING = 0.8
GAIN = 0.002
FLOOR = 0.5
SAME_FLOAT = Fraction(1, 10**12)

COLUMNS = st.lists(st.builds(Column, st.none() | hostile.texts(40), hostile.texts(40), st.booleans()), max_size=3)
SIGNATURES = st.builds(Signature, COLUMNS.map(tuple), st.none() | COLUMNS.map(tuple), COLUMNS.map(tuple))
TEXTS = st.lists(hostile.texts(200), max_size=3).map(tuple)
FACTS = st.fixed_dictionaries(
    {"example": st.just(Example(b"{}", rows=3)) | st.builds(Example, st.binary(max_size=60), hostile.texts(40))},
    optional={
        "requirements": TEXTS,
        "python": hostile.texts(60),
        "mlflow": hostile.texts(60),
        "flavors": TEXTS,
        "signature": SIGNATURES,
        "source": hostile.texts(300),
        "tags": st.dictionaries(hostile.texts(60), hostile.texts(300), max_size=3),
        "artifacts": st.just(Artifacts.PRESENT),
        "problem": st.none() | hostile.texts(300),
    },
)
MEASURED = st.builds(
    Metric,
    st.sampled_from((0.81, 0.8, 0.802, 0.95, 0.4)) | hostile.numbers(),
    hostile.texts(60),
    st.none() | hostile.texts(60),
    st.none() | hostile.texts(60),
    st.none() | st.none() | st.none() | hostile.texts(60),
)
METRICS = st.dictionaries(hostile.texts(60), MEASURED, max_size=3).flatmap(
    lambda others: st.none().map(lambda _: others) | MEASURED.map(lambda auc: others | {"auc": auc})
)


@functools.cache
def reigned() -> World:
    """A world in which version 1 is champion with an AUC of 0.8."""
    world = World()
    assert world.crowned(REIGNING) == 1
    return world


def is_better(metrics: dict[str, Metric], facts: dict[str, Any]) -> bool | None:
    """Whether a version must be crowned, by a rule of its own; None where it is a matter of the last digit."""
    auc = metrics.get("auc")
    if auc is None or auc.problem is not None or facts.get("problem") is not None:
        return False
    if not math.isfinite(auc.value) or abs(auc.value) >= 1.7e308 or auc.value < FLOOR:
        return False
    gain = Fraction(auc.value) - Fraction(REIGNING) - Fraction(GAIN)
    return None if abs(gain) < SAME_FLOAT else gain > 0


@given(METRICS, FACTS, hostile.texts())
def test_only_a_better_version_with_sound_numbers_is_crowned(
    metrics: dict[str, Metric], facts: dict[str, Any], hold: str
) -> None:
    world = reigned().fork()
    version = world.registry.create_version(MODEL, metrics, **facts)
    world.now += 1.0
    world.rest()
    better = is_better(metrics, facts)
    if better is not None:
        assert (world.champion() == version) is better, world.tail()
    assert world.serving() == {world.champion(): 100}
    world.registry.hold(MODEL, hold)
    world.rest()
    told = [render(line) for line in world.lines()]
    assert all(hostile.is_plain(text) for text in told), [text for text in told if not hostile.is_plain(text)]
    assert all(len(text) < hostile.SAFE_IN_A_LINE for text in told)


@given(hostile.texts(), hostile.texts(), hostile.texts(100))
def test_what_a_target_says_of_itself_is_told_and_moves_nothing(why: str, mute: str, tag: str) -> None:
    world = reigned().fork()
    world.deployer.broken[2] = why
    world.deployer.mute[3] = mute
    for number in (2, 3):
        assert world.registry.create_version(MODEL, {"auc": 0.9}, example=Example(b"{}"), tags={tag: why}) == number
        world.now += 1.0
        world.rest()
    assert world.champion() == 1
    assert world.serving() == {1: 100}
    assert all(hostile.is_plain(render(line)) for line in world.lines())


@given(st.dictionaries(st.sampled_from(("n", "crowned", "previous", "floor", "met", "displaced")), hostile.values()))
def test_a_crown_tag_that_somebody_wrote_is_believed_whole_or_not_at_all(body: dict[str, Any]) -> None:
    from watcher.registry.tags import NotACrown, crown_from, crown_text

    for text in (json.dumps(body), *hostile.DEEP_JSON):
        try:
            crown = crown_from(text)
        except NotACrown as error:
            hostile.must_be_plain(error)
            continue
        assert crown_from(crown_text(crown)) == replace(crown)
        assert min(crown.floor, crown.n) >= 0
