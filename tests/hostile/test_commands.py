"""Whatever registry, history and arguments hold, nothing that a terminal could take for a command leaves the CLI."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import SETTINGS, Desk, desk
from tests.hostile import strategies as hostile
from watcher.cli.main import main
from watcher.ports import Line
from watcher.values import Example

__all__ = ["desk"]

LOOKING = (("status",), ("history",), ("plan",), ("tick", "--most", "3"))
ABOUT = (
    "explain",
    "promote",
    "rollback",
    "approve",
    "rejudge",
    "hold",
    "release",
    "abort",
    "history",
    "plan",
    "status",
)


@pytest.fixture
def hostile_desk(desk: Desk) -> Desk:
    desk.path.write_text(SETTINGS.replace("match: fraud.*", 'match: "[!c]*"'))
    desk.registry.any_name = True
    return desk


def asked(desk: Desk, *arguments: str) -> None:
    """Run a command for a person and for a program; both answers are plain, and the second is JSON."""
    ran = desk(*arguments)
    for line in (ran.out + ran.err).split("\n"):
        assert hostile.is_plain(line), (arguments, line)
    assert "Traceback" not in ran.err
    ran = desk(*arguments, "--json")
    assert (ran.out + ran.err).replace("\n", "").isascii()
    for line in (*ran.out.splitlines(), *ran.err.splitlines()):
        assert hostile.is_plain(line)
        json.loads(line)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=settings().max_examples // 8)
@given(
    name=hostile.names().filter(lambda name: not name.startswith("c")),
    text=hostile.texts(),
    tag=hostile.texts(60),
    number=st.integers(-1, 3),
)
def test_nothing_of_the_registry_or_the_history_reaches_the_terminal_as_it_is(
    name: str, text: str, tag: str, number: int, hostile_desk: Desk
) -> None:
    desk = hostile_desk
    for known in desk.registry.names():
        desk.registry.delete_model(known)
    for auc in (0.8, 0.9):
        desk.registry.create_version(
            name, {"auc": auc, text: auc}, tags={tag: text}, source=text, example=Example(b"{}"), flavors=(text,)
        )
    desk.registry.set_tag(name, 1, "approved_by", text)
    desk.registry.hold(name, text)
    line = Line(desk.now, name, "told", text, 1, text, {"detail": text, "state": text})
    desk.ledger.save(f"#{number}-{desk.now}", {}, None, (line,))
    desk.now += 5.0
    for arguments in LOOKING:
        asked(desk, *arguments)
    asked(desk, "explain", "--", name, str(number))
    asked(desk, "history", "--", name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=settings().max_examples // 3)
@given(
    command=st.sampled_from(ABOUT),
    arguments=st.lists(hostile.texts(300), min_size=1, max_size=2),
    options=st.lists(st.sampled_from(("--at", "--since", "--reason", "--most", "--config", "--until")), max_size=1),
)
def test_no_argument_does_harm(command: str, arguments: list[str], options: list[str], hostile_desk: Desk) -> None:
    before = set(hostile_desk.path.parent.iterdir())
    asked(hostile_desk, command, *options, *arguments)
    asked(hostile_desk, command, "--", *arguments)
    assert set(hostile_desk.path.parent.iterdir()) == before


def test_a_mistake_in_an_option_of_the_watcher_itself_is_plain_too(capsys: pytest.CaptureFixture[str]) -> None:
    for text in hostile.SAMPLES:
        assert main([text]) in {0, 2}
        told = capsys.readouterr()
        assert all(hostile.is_plain(line) for line in (told.out + told.err).split("\n")), text
