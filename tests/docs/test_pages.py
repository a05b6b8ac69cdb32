"""Pages link to what there is, name what there is, and say what the code says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from evaluation.statistics import METRICS
from tests.docs.pages import PAGES, REFERENCE
from tests.docs.texts import ROOT, Page, pages
from watcher.config import schema
from watcher.decide import CHAIN
from watcher.decide.tell import QUIET
from watcher.history import EVENTS
from watcher.judge import RULES
from watcher.page import state
from watcher.reasons import REASONS
from watcher.registry import tags
from watcher.registry.dialects import UNITY_CATALOG
from watcher.values import FINAL, Call, Verb

FOLDERS = ("watcher", "deployers", "evaluation", "gateway", "demo", "benchmarks", "tests", "docs", "schema")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*")
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
every_page = pytest.mark.parametrize("page", pages().values(), ids=pages().keys())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_from_the_code_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name](), "python -m tests.docs.pages"


@every_page
def test_links_lead_to_pages_and_headings_that_exist(page: Page) -> None:
    lost = []
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = (ROOT / page.path).parent / path if path else ROOT / page.path
        if not there.exists() or (anchor and anchor not in pages()[_target(page.path, link)].anchors):
            lost.append(link)
    assert lost == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, new = set(), {"README.md"}
    while new:
        reached |= new
        new = {
            found
            for name in new
            for link in pages()[name].links
            if (found := _target(name, link)) in pages() and found not in reached
        }
    assert pages().keys() - reached == set()


def _target(page: str, link: str) -> str:
    path = link.partition("#")[0]
    there = ((ROOT / page).parent / path if path else ROOT / page).resolve()
    return there.relative_to(ROOT).as_posix() if there.is_relative_to(ROOT) else ""


@every_page
def test_files_and_folders_that_are_named_exist(page: Page) -> None:
    named = {found for span in page.spans for found in PATH.findall(span)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


@every_page
def test_names_in_code_spans_are_names_of_the_product(page: Page) -> None:
    """Settings, reasons, events, verdicts, tags, rules, and what the code itself calls things."""
    known = _vocabulary()
    named = {name for span in page.spans if NAME.fullmatch(span) for name in [span]}
    assert named - known == set()


@cache
def _vocabulary() -> frozenset[str]:
    found = {*REASONS, *EVENTS, *METRICS, *map(str, Call), *map(str, Verb), *_keys(schema()), *_choices(schema())}
    found.update(UNITY_CATALOG.key(key) for key in (*tags.KEYS, tags.again(12)))
    found.update(one.code for one in vars(state).values() if isinstance(one, state.State))
    found.update(re.findall(r"\w+", (ROOT / "watch.example.yaml").read_text(encoding="utf-8")))
    folders = ("watcher", "deployers", "evaluation", "gateway", "scoring")
    for pattern in (*(f"{folder}/**/*.py" for folder in folders), "function_app.py"):
        for path in ROOT.glob(pattern):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                        found.add(name)
                    case ast.AnnAssign(target=ast.Name(id=name)):
                        found.add(name)
                    case ast.Dict(keys=keys):  # what JSON answers call their parts
                        constants = [key.value for key in keys if isinstance(key, ast.Constant)]
                        found.update(name for name in constants if isinstance(name, str))
                    case _:
                        pass
    return frozenset(found)


def _keys(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node.get("properties", {})
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _keys(value)


def _choices(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node.get("enum", ())
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _choices(value)


@every_page
def test_ways_to_a_setting_are_ways_in_the_file(page: Page) -> None:
    """`limits.rollouts_at_once` is one; `a.b` that does not begin with a section is something else."""
    sections, keys = set(schema()["properties"]), set(_keys(schema()))
    ways = [span.split(".") for span in page.spans if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", span)]
    settings = [way for way in ways if way[0] in sections | {"approval"}]
    assert [way for way in settings if not set(way) <= keys] == []


def test_the_chain_of_decisions_is_shown_in_its_order() -> None:
    rows = pages()["ARCHITECTURE.md"].rows("rule")
    assert [row[0].strip("`") for row in rows] == [rule.__name__ for rule in CHAIN]
    shown = {row[0].strip("`"): row[2] for row in rows}
    assert {rule.__name__ for rule in CHAIN if rule.__module__.replace(".", "/") not in shown[rule.__name__]} == set()


def test_the_list_of_reasons_that_are_told_is_whole() -> None:
    """Whatever a decision may wait for, and does not keep to itself, says what a person can do."""
    told = {title for title in pages()["docs/how-to/told.md"].anchors if title in REASONS}
    assert told == _waits() - QUIET


def _waits() -> set[str]:
    """Reasons of `wait(...)`, of an analysis without an outcome, and of what is told beside the chain."""
    found = {"slots_full", "target_left", "deadline_too_short", "deadline_of_wake"}
    for path in (ROOT / "watcher/decide").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            waits = isinstance(node.func, ast.Attribute) and node.func.attr == "wait"
            if texts and (waits or ast.unparse(node).startswith("Analysed(Outcome.INCONCLUSIVE")):
                found.add(texts[0])
    return found


def test_every_verdict_and_every_mark_has_its_line() -> None:
    page = pages()["docs/reference/marks.md"]
    verdicts = {row[0].strip("`"): row[2] for row in page.rows("`watcher.verdict`")}
    assert verdicts.keys() == {str(call) for call in Call if call is not Call.WAITS}
    assert {name for name, stays in verdicts.items() if stays == "until `rejudge`"} == {str(call) for call in FINAL}
    marks = " ".join(row[0] for row in page.rows("mark"))
    for mark in (tags.CHAMPION, tags.CHALLENGER, tags.CROWN, tags.HOLD, tags.VERDICT, tags.REJUDGE):
        assert f"`{mark}`" in marks


def test_the_crown_tag_that_is_shown_is_one() -> None:
    page = pages()["docs/reference/marks.md"]
    shown = [block.text.strip() for block in page.blocks if block.language == "json"]
    assert [tags.crown_text(tags.crown_from(text)) for text in shown] == shown
    assert [row[0].strip("`") for row in page.rows("field")] == [*_fields(shown[0])]


def _fields(text: str) -> Iterator[str]:
    yield from re.findall(r'"(\w+)":', text)


def test_contributing_names_every_family_of_rules() -> None:
    text = pages()["CONTRIBUTING.md"].text
    assert {m for rule in RULES if f"`{(m := rule.check.__module__.rpartition('.')[2])}.py`" not in text} == set()


def test_decisions_have_numbers_of_their_own_and_the_same_parts() -> None:
    decisions = sorted(name for name in pages() if name.startswith("docs/adr/"))
    numbers = [name.removeprefix("docs/adr/")[:4] for name in decisions]
    assert len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"\d{4}", number) for number in numbers)
    for name, number in zip(decisions, numbers, strict=True):
        text = pages()[name].text
        assert text.startswith(f"# {number} ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
