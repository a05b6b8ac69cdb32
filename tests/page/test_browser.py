"""The page as a browser has it: hostile texts, strict policy, dark mode, phones, keyboard and screen reader."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no annotations

from tests.page.conftest import Eye
from tests.page.house import HOSTILE, NASTY

MISSING = "Failed to load resource: the server responded with a status of 404 (Not Found)"
looks = pytest.mark.parametrize("eye", [("light", 1100), ("dark", 360)], indirect=True, ids=["light", "dark"])


def test_no_page_runs_breaks_its_policy_or_asks_for_anything_else(eye: Eye) -> None:
    """Names, holds, errors of targets and what was typed are written by enemies; nothing of it becomes markup."""
    for path in eye.site.pages.values():
        eye.look(path)
    for path in (
        f"?find={NASTY}",
        "history?at=<script>alert(1)</script>&model=x",
        "model?name=<img src=x>",
        "?page=<b>",
    ):
        eye.look(path)
    assert [text for text in eye.complaints if text != MISSING and "400" not in text] == []
    assert eye.beyond == []


def test_the_watch_over_the_page_notices_what_it_should(eye: Eye) -> None:
    """A script that got in, an image of elsewhere and a style of its own: each is blocked, and noticed."""
    page = eye.look("")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=/x.png><p style=\"color:red\">')")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}))")
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://localhost:9/a.png'}))")
    page.wait_for_function("violations >= 3")
    said = " ".join(eye.complaints)
    assert all(f"violation: {part}" in said for part in ("script-src", "style-src", "img-src")), said
    assert eye.beyond


def objections(eye: Eye, what: str) -> str:
    """What axe says of a page with everything on it unfolded; empty where it finds nothing."""
    page = eye.look(eye.site.pages[what])
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    report = Axe().run(page)
    return report.generate_report() if report.violations_count else ""


TELLING = ["overview", "rich", "mid", "loser", "history of rich", "missing"]
"""One of each template, and the two busiest models; the long run looks at every page."""


@looks
def test_axe_finds_nothing(eye: Eye) -> None:
    found = {what: said for what in TELLING if (said := objections(eye, what))}
    assert found == {}


@pytest.mark.long
@pytest.mark.parametrize(
    "eye", [(scheme, width) for scheme in ("light", "dark") for width in (1100, 360)], indirect=True, ids=str
)
def test_axe_finds_nothing_on_any_page_in_any_look(eye: Eye) -> None:
    found = {what: said for what in eye.site.pages if (said := objections(eye, what))}
    assert found == {}


def test_axe_would_find_something(eye: Eye) -> None:
    page = eye.look("")
    page.evaluate("document.querySelector('main').append(new Image())")
    assert Axe().run(page).violations_count > 0


@pytest.mark.parametrize("eye", [("light", 320)], indirect=True, ids=str)
def test_no_page_is_wider_than_the_screen(eye: Eye) -> None:
    wide = {}
    for what, path in eye.site.pages.items():
        page = eye.look(path)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        width, screen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        if width > screen:
            wide[what] = (width, screen)
    assert wide == {}


FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  return {tag: one.tagName, text: one.innerText || one.name, outline: style.outlineStyle + " " + style.outlineWidth,
          seen: box.width > 0 && box.height > 0 && box.left >= 0 && box.right <= innerWidth + 1,
          place: [...document.querySelectorAll("*")].indexOf(one)};
}"""
REACHED = """[...document.querySelectorAll("a[href], summary, button, input:not([type=hidden])")]
  .filter(one => one.checkVisibility()).length"""


@pytest.mark.parametrize("what", ["overview", "mid", "rolled back", "history of rich"])
@pytest.mark.parametrize("eye", [("dark", 360)], indirect=True, ids=["phone"])
def test_everything_is_reached_with_the_keyboard_in_the_order_of_the_page(eye: Eye, what: str) -> None:
    page = eye.look(eye.site.pages[what])
    steps = []
    for _ in range(page.evaluate(REACHED)):
        page.keyboard.press("Tab")
        steps.append(page.evaluate(FOCUSED))
    assert steps[0]["text"] == "Skip to the content"
    assert [step for step in steps if step["outline"] != "solid 3px" or not step["seen"]] == []
    places = [step["place"] for step in steps]
    assert places == sorted(set(places))


def test_the_first_key_skips_to_the_content_and_a_summary_opens_with_enter(eye: Eye) -> None:
    page = eye.look(eye.site.pages["mid"])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details code").first.inner_text().startswith("from mlflow import MlflowClient; ")


def test_a_person_gets_from_the_overview_to_the_verdict_and_back(eye: Eye) -> None:
    page = eye.look("")
    page.get_by_role("link", name="prod.risk.churn").click()
    page.get_by_role("link", name="v6").first.click()
    assert page.get_by_role("heading", level=1).inner_text() == "prod.risk.churn v6"
    assert page.get_by_role("row", name="primary gains").first.is_visible()
    page.get_by_role("link", name="Models").click()
    page.get_by_label("Name contains").fill("CARDS")
    page.get_by_role("button", name="Find").click()
    assert page.locator("main h2").all_inner_texts() == ["fraud.cards"]


def test_a_moment_that_is_typed_is_answered_with_what_was_live(eye: Eye) -> None:
    page = eye.look(eye.site.pages["history of rich"])
    page.get_by_label("What was live at (UTC)").fill("2026-09-22T12:00")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Live at 2026-09-22 12:00:00 UTC").wait_for()
    assert page.get_by_role("heading", name="api: v3 100 %").is_visible()


def test_the_link_to_a_model_with_a_hostile_name_leads_to_it(eye: Eye) -> None:
    page = eye.look("")
    page.locator("main h2 a", has_text="alert(1)").click()
    heading = page.get_by_role("heading", level=1).inner_text()
    assert heading.startswith(HOSTILE.partition("\n")[0])
    command = page.locator(".orders code").first.inner_text()
    assert command.startswith("watcher release $'<script>alert(1)</script>/..")
    assert "\\U0000000a" in command


@pytest.mark.parametrize("eye", [("light", 360)], indirect=True, ids=["phone"])
def test_a_table_stays_a_table_for_a_screen_reader_where_it_is_shown_as_cards(eye: Eye) -> None:
    page = eye.look(eye.site.pages["loser"])
    table = page.get_by_role("table", name="What each rule said")
    assert table.get_by_role("columnheader").count() == 5
    assert table.get_by_role("row", name="primary gains").get_by_role("cell").count() == 4
    assert page.evaluate("getComputedStyle(document.querySelector('.findings tr')).display") == "block"


def test_each_outcome_has_a_shape_of_its_own_and_the_chart_has_a_twin_in_words(eye: Eye) -> None:
    page = eye.look(eye.site.pages["rich"])
    marks = page.locator("svg.drawing.wide g").evaluate_all(
        "all => all.map(one => one.innerHTML.replace(/m-[a-z]+/g, ''))"
    )
    words = page.locator("table.versions td:nth-child(2)").all_inner_texts()[::-1]
    assert len(marks) == len(words) == 8
    shapes = dict(zip(words, marks, strict=True))
    assert len(set(shapes.values())) == len(shapes) == 6
    chart = page.locator("svg.drawing.wide").first
    assert chart.get_attribute("role") == "img"
    assert page.get_by_role("img", name="auc of the newest 8 versions").first.is_visible()


@looks
def test_the_page_follows_the_scheme_of_the_system(eye: Eye) -> None:
    page = eye.look("")
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert ground == ("rgb(20, 22, 26)" if dark else "rgb(252, 252, 251)")


@looks
def test_the_word_of_a_releases_health_stays_whole_beside_a_long_reason(eye: Eye) -> None:
    page = eye.look(eye.site.pages["rich"])
    lines = page.evaluate(
        "[...document.querySelectorAll('td[data-label=health]')].map(cell => {"
        " cell.append(': ' + 'could not be built '.repeat(40));"
        " return cell.querySelector('.whole').getClientRects().length; })"
    )
    assert lines
    assert set(lines) == {1}


def test_the_name_of_a_rule_is_never_broken_within_a_word_by_a_long_bound(eye: Eye) -> None:
    page = eye.look(eye.site.pages["loser"])
    lines = page.evaluate(
        "[...document.querySelectorAll('.findings tbody tr')].flatMap(row => {"
        " row.querySelector('td[data-label=bound]').textContent = 'mon-thu 09:00 to 16:00 Europe/Amsterdam';"
        " row.querySelector('td[data-label=why]').textContent = 'It opens at another time. '.repeat(4);"
        " const words = row.querySelector('th'); const text = words.firstChild;"
        " return [...words.textContent.matchAll(/\\S+/g)].map(word => { const range = document.createRange();"
        " range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);"
        " return range.getClientRects().length; }); })"
    )
    assert lines
    assert set(lines) == {1}
