"""One house, one server and one browser for all tests that look at the page; what the browser says is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from playwright.sync_api import sync_playwright

from tests.page.chromium import ARGUMENTS, chromium
from tests.page.house import House, fill
from watcher import heartbeat
from watcher.page.app import build
from watcher.page.serve import LOOPBACK, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WATCH = """
window.violations = 0;
addEventListener("securitypolicyviolation", event => {
  window.violations += 1;
  console.error("violation: " + event.violatedDirective + " " + event.blockedURI);
});
"""


@dataclass
class Site:
    """The served house: where it is, and the addresses of its pages by what they show."""

    url: str
    pages: dict[str, str]


@dataclass
class Eye:
    """A tab of the browser with everything that it did on its own."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)
    """Console errors, violations of the policy, uncaught errors and dialogs."""
    asked: list[str] = field(default_factory=list)
    """Addresses of all requests."""

    def look(self, path: str) -> Page:
        self.page.goto(self.site.url + path)
        return self.page

    @property
    def beyond(self) -> list[str]:
        """Requests that went elsewhere, or for something that the page does not have."""
        known = tuple(self.site.url + path for path in ("?", "model?", "version?", "history", "nope", "page.css"))
        return [url for url in self.asked if url != self.site.url and not url.startswith((*known, "data:,"))]


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    house = House()
    names = fill(house)
    heartbeat.beat(house.memory, house.now - 600.0, "0 * * * * *")
    pages = {"overview": "", "all": "history", "missing": "nope"}
    pages |= {what: "model?" + urlencode({"name": name}) for what, name in names.items()}
    for what, model, number in (
        ("loser", "rich", 2),
        ("rolled back", "rich", 6),
        ("champion", "rich", 7),
        ("nasty", "hostile", 2),
        ("waiting", "approval", 2),
    ):
        pages[what] = "version?" + urlencode({"model": names[model], "version": number})
    for what in ("rich", "hostile"):
        pages[f"history of {what}"] = "history?" + urlencode({"model": names[what], "at": "20h"})
    with serving(build(house, hosts=LOOPBACK), "127.0.0.1", 0) as url:
        yield Site(url, pages)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module, for Playwright's event loop counts as running as long as this does."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield launched
        launched.close()


def open_eye(browser: Browser, site: Site, scheme: str, width: int) -> Eye:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    context.add_init_script(WATCH)
    eye = Eye(context.new_page(), site)
    eye.page.on("console", lambda said: eye.complaints.append(said.text) if said.type == "error" else None)
    eye.page.on("pageerror", lambda error: eye.complaints.append(str(error)))
    eye.page.on("request", lambda request: eye.asked.append(request.url))

    def refuse(dialog: object) -> None:
        eye.complaints.append(f"dialog: {dialog}")
        dialog.dismiss()  # type: ignore[attr-defined]

    eye.page.on("dialog", refuse)
    return eye


@pytest.fixture
def eye(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Eye]:
    scheme, width = getattr(request, "param", ("light", 1100))
    opened = open_eye(browser, site, scheme, width)
    yield opened
    opened.page.context.close()


@pytest.fixture
def house() -> House:
    return House()
