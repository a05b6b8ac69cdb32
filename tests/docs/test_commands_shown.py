"""Every command line in the pages is one that can be typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
import typer

from tests.docs.texts import ROOT, pages
from watcher.cli.exits import Exit
from watcher.cli.main import build

WATCHER = re.compile(r"(python -m )?watcher [a-z]")
SHELL = ("curl", "pre-commit", "python", "ssh", ".", "cp", "func", "npx", "azd")
MODULES = ("pip", "venv")
FILLED = {"VERSION": "3", "N": "3", "TIME": "2h", "SECONDS": "3", "FILE": "watch.yaml", "DIR": "state", "TEXT": "why"}


@cache
def commands() -> Any:
    return typer.main.get_command(build())


def lines() -> Iterator[tuple[str, str]]:
    """Page and command line: of shell blocks every line, of prose the spans that are one."""
    for page in pages().values():
        for block in page.blocks:
            if block.language in ("sh", ""):
                yield from ((page.path, line) for line in block.text.splitlines() if line.strip())
        for span in page.spans:
            if re.match(r"(python -m |watcher [a-z]|make( |$))", span):
                yield page.path, span


def typed(line: str) -> list[str]:
    """The words after `watcher`, with values for what stands for one, and without what may be left out."""
    rest = re.sub(r"\[[A-Z]+\](\.\.\.)?", "", line.split("watcher", 1)[1])
    return [FILLED.get(word, word) for word in shlex.split(rest)]


every_line = pytest.mark.parametrize(("page", "line"), sorted(set(lines())), ids=lambda value: value)


@every_line
def test_a_command_line_that_is_shown_can_be_typed(page: str, line: str) -> None:
    words = shlex.split(line)
    if WATCHER.match(line):
        parse(typed(line))
    elif words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= targets()
    elif "-m" in words:
        module = words[words.index("-m") + 1]
        assert module in MODULES or find_spec(module) is not None, module
        if module == "pytest":
            assert all((ROOT / word).exists() for word in words if "/" in word), line
    else:
        assert words[0] in SHELL, f"{page}: what is {words[0]}?"


@pytest.mark.slow
@pytest.mark.parametrize("marks", [(), ("-m", "")], ids=["every change", "at length"])
def test_tests_that_a_page_says_were_run_are_run_by_its_command(marks: tuple[str, ...]) -> None:
    """A file all of whose tests are marked as long runs nothing by a command that leaves them out."""
    asked = {line: shlex.split(line) for _, line in lines() if re.match(r"python -m pytest .*tests/", line)}
    wanted = {line: words for line, words in asked.items() if ("-m" in words[2:]) == bool(marks)}
    paths = sorted({word for words in wanted.values() for word in words if "/" in word})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *marks, *paths]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False).stdout.split()
    for line, words in wanted.items():
        chosen = words[words.index("-k") + 1] if "-k" in words else ""
        for path in (word for word in words if "/" in word):
            assert any(each.startswith(path) and chosen in each for each in found), f"{line} runs nothing of {path}"


def parse(words: list[str]) -> None:
    """Parse as the command line does, without running anything. Fails where it would."""
    command, name, context = commands(), "watcher", None
    while True:
        context = command.make_context(name, list(words), parent=context)
        if not hasattr(command, "resolve_command"):
            return
        # A group keeps the name of the command apart from what comes after it.
        kept = [*getattr(context, "_protected_args", ()), *context.args]
        name, command, words = command.resolve_command(context, kept)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("line", ["watcher sing", "watcher hold churn --because x", "watcher promote churn"])
def test_a_line_that_cannot_be_typed_is_noticed(line: str) -> None:
    with pytest.raises(typer.TyperException):
        parse(typed(line))


def test_the_readme_lists_every_command() -> None:
    assert [row[0].strip("`") for row in pages()["README.md"].rows("command")] == [*_in_groups()]


def _in_groups() -> Iterator[str]:
    """As the table has them: what help lists, the group of the gateway last."""
    names = [*commands().commands]
    yield from sorted(names, key=lambda name: name == "gateway")


def test_the_reference_lists_every_command_and_every_option() -> None:
    text = pages()["docs/reference/commands.md"].text
    for name, command in commands().commands.items():
        inner = getattr(command, "commands", {})
        for path, each in {f"{name} {sub}": c for sub, c in inner.items()}.items() or {name: command}.items():
            assert f"`watcher {path}" in text, path
            for option in (opt for p in each.params for opt in p.opts if opt.startswith("--")):
                assert option in text, f"{path} {option}"


def test_the_reference_lists_every_exit_code() -> None:
    rows = pages()["docs/reference/commands.md"].rows("code")
    assert [int(row[0]) for row in rows] == [int(code) for code in Exit]


def test_the_readme_begins_with_the_two_commands() -> None:
    first = next(block for block in pages()["README.md"].blocks if block.language == "sh")
    assert first.text.split("\n")[:2] == ["make demo", "make test"]
