from __future__ import annotations

import json
import unicodedata

import pytest

from tests.cli.conftest import Desk, Ran
from watcher.cli import session
from watcher.errors import Conflict, Terminal, Transient

EVIL = "fraud.\x1b[31m\u202eevil\r\n\x07\u200b"


def test_a_model_that_is_not_there_is_answered_with_the_one_that_was_meant(desk: Desk) -> None:
    desk.train()
    ran = desk("plan", "chrun")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "The registry has no model 'chrun'; did you mean 'churn'?\n"


@pytest.mark.parametrize("command", ["plan", "status", "tick"])
def test_a_model_that_nothing_watches_is_told_which_rule_is_missing(desk: Desk, command: str) -> None:
    desk.registry.create_version("credit")
    ran = desk(command, "credit")
    assert ran.code == 2
    assert "Model credit is not watched: no entry under `models:`" in ran.err
    assert "`name: credit`" in ran.err


def test_a_model_that_a_pattern_would_match_still_has_to_exist(desk: Desk) -> None:
    desk.train(model="fraud.cards")
    ran = desk("plan", "fraud.crads")
    assert ran.code == 2
    assert "did you mean 'fraud.cards'?" in ran.err


@pytest.mark.parametrize("command", ["promote", "rollback", "hold", "explain"])
def test_an_order_for_a_named_model_that_is_not_registered_yet_is_a_mistake(desk: Desk, command: str) -> None:
    ran = desk(command, "churn", *(["1"] if command in ("promote", "explain") else []))
    assert ran.code == 2
    assert "The registry has no model 'churn'" in ran.err


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (Transient("the registry does not answer"), 3, "out_of_reach"),
        (Terminal("access refused"), 3, "out_of_reach"),
        (Conflict("somebody was faster"), 1, "conflict"),
    ],
)
def test_each_kind_of_fault_has_its_exit_code(desk: Desk, error: Exception, code: int, kind: str) -> None:
    desk.train()
    desk.registry.fail("names", error, times=2)
    ran = desk("status")
    assert (ran.code, ran.out, ran.err) == (code, "", f"{error}\n")
    ran = desk("--json", "status")
    assert (ran.code, ran.out) == (code, "")
    assert ran.error == {"kind": kind, "message": str(error), "exit": code}


@pytest.mark.parametrize(
    "arguments",
    [["plann"], ["plan", "--colour"], ["promote", "churn"], ["promote", "churn", "three"], ["history", "--most", "0"]],
)
def test_a_mistake_in_the_command_is_one_sentence_and_code_2(desk: Desk, arguments: list[str]) -> None:
    ran = desk(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    assert desk(*arguments, "--json").error["kind"] == "usage"


@pytest.mark.parametrize("text", ["yesterday", "25:99", "", "-2h", "99999999999w"])
def test_a_moment_that_is_none_is_a_mistake(desk: Desk, text: str) -> None:
    assert desk("history", "churn", f"--at={text}").code == 2


def test_a_moment_that_has_not_come_is_a_mistake(desk: Desk) -> None:
    assert "has not come yet" in desk("history", "churn", "--at", "2999-01-01").err


def test_every_mistake_in_the_settings_is_one_line(desk: Desk) -> None:
    desk.path.write_text(desk.path.read_text().replace("policy: binary", "policy: binry").replace("me\n", "\n"))
    ran = desk("status")
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) >= 2
    assert all(line.startswith(str(desk.path)) for line in ran.err.splitlines())


def test_settings_that_are_not_there_are_named(desk: Desk) -> None:
    desk.path.unlink()
    ran = desk("plan")
    assert ran.code == 2
    assert "there is no such file" in ran.err


def test_a_bug_is_not_hidden(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session, "make_app", broken)
    with pytest.raises(ZeroDivisionError):
        desk("status")


def test_ctrl_c_is_code_130_without_a_traceback(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "make_app", interrupted)
    ran = desk("status")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "")


def test_who_is_asked_for_where_the_account_has_no_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert desk("pause", "--json").json["who"].startswith("user ")


COMMANDS = [
    ["plan"], ["status"], ["tick"], ["history"], ["history", EVIL], ["history", EVIL, "--at", "now"],
    ["explain", EVIL, "1"], ["promote", EVIL, "1"], ["promote", EVIL, "2"], ["rollback", EVIL], ["abort", EVIL],
    ["approve", EVIL, "1"], ["rejudge", EVIL, "1"], ["hold", EVIL, "--reason", EVIL], ["release", EVIL],
    ["adopt", f"{EVIL}/live", "--version", "1"], ["adopt", EVIL, "--version", "1"], ["check"],
    ["plan", "\x1b[2J"], [EVIL], ["history", "--since", EVIL], ["promote", "churn", EVIL],
]  # fmt: skip


def harmless(ran: Ran) -> bool:
    text = (ran.out + ran.err).replace("\n", "")
    return not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") for character in text)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments).encode("unicode_escape"))
def test_nothing_hostile_reaches_the_terminal(desk: Desk, arguments: list[str]) -> None:
    """Names, tags, holds, metrics' data sets, a target's words: each of them written by somebody else."""
    desk.registry.create_version(EVIL, {"auc": 0.9}, tags={"approved_by": EVIL})
    desk.registry.create_version(EVIL, {"auc": float("nan")})
    desk.registry.set_tag(EVIL, 1, "watcher.verdict", EVIL)
    desk.registry.set_evidence(EVIL, 1, problem=EVIL, flavors=(EVIL,))
    desk.registry.hold(EVIL, EVIL)
    desk.deployer.broken[1] = EVIL
    desk("tick")
    desk("promote", EVIL, "1")
    desk("tick", "--until-rest", "--most", "20")
    for options in ([], ["--json"]):
        ran = desk(*arguments, *options)
        assert harmless(ran), ran
        if options and ran.out:
            json.loads(ran.out)
