"""The project's pages, taken apart: fenced blocks, code spans, links, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of one page."""

    page: str
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0] if self.text else ''}"


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file of the project, by its path below the root."""

    path: str
    text: str

    @property
    def blocks(self) -> list[Block]:
        return [Block(self.path, language, text) for language, text in _FENCE.findall(self.text)]

    @property
    def prose(self) -> str:
        """The text without its blocks."""
        return _FENCE.sub("", self.text)

    @property
    def spans(self) -> list[str]:
        return [*_SPAN.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        return [*_LINK.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """What headings may be linked to by, as GitHub makes them."""
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in _HEADING.findall(self.prose)}

    def rows(self, first: str) -> list[tuple[str, ...]]:
        """The cells of the table whose head begins with `first`."""
        lines = iter(self.text.splitlines())
        for line in lines:
            if line.startswith(f"| {first} |"):
                next(lines)
                return [*_rows(lines)]
        raise AssertionError(f"{self.path} has no table that begins with {first!r}")


def _rows(lines: Iterator[str]) -> Iterator[tuple[str, ...]]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield tuple(cell.strip() for cell in line.strip("|").split("|"))


@cache
def pages() -> dict[str, Page]:
    """README and its neighbours, and everything below docs/."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {name: Page(name, f.read_text("utf-8")) for f in sorted(files) for name in [f.relative_to(ROOT).as_posix()]}


def blocks(language: str) -> list[Block]:
    return [block for page in pages().values() for block in page.blocks if block.language == language]
