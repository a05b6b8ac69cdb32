"""YAML text as plain values, each with its line and with what is written there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from watcher.config.errors import ConfigError, Mistake
from watcher.config.references import MissingVariable, fill, holds_secret, is_reference
from watcher.config.ways import Way, written
from watcher.text import plain

LONGEST = 1_000_000
"""Bytes of a file."""
MOST_VALUES = 50_000
"""Values of a file, those that an alias repeats counted each time."""
DEEPEST = 30
_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Document:
    """The file's content; mistakes are collected here by everyone who looks at it."""

    file: str
    value: Any = None
    lines: dict[Way, int] = field(default_factory=dict)
    texts: dict[Way, str] = field(default_factory=dict)
    """Scalars as they are written, so that a message never shows what the environment put in."""
    mistakes: list[Mistake] = field(default_factory=list)

    def mistake(self, way: Way, problem: str) -> None:
        """Note a mistake at the nearest place that has a line."""
        near = way
        while near not in self.lines and near:
            near = near[:-1]
        self.mistakes.append(Mistake(self.file, self.lines.get(near), plain(written(way), 120), problem))

    def shown(self, way: Way) -> str:
        """The value as it is written, in quotes; never a secret's."""
        text = self.texts.get(way)
        if text is None:
            return "this"
        return "this value" if holds_secret(str(way[-1]) if way else "", text) else repr(plain(text, 80))

    def get(self, *way: str | int) -> Any:
        """The value there, None where there is none."""
        value = self.value
        for part in way:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """Read the file. Raises ConfigError where nothing can be made of it; other mistakes are in the document."""
    document = Document(str(path))
    node = _compose(_text(path, document), document)
    if node is None:
        raise _error(document, None, "the file is empty; write at least version, owner, registry, policies and models")
    builder = _Builder(document, environ)
    document.value = builder.build(node, (), 0)
    if not isinstance(document.value, dict):
        raise _error(document, 1, "the file must hold keys and values, such as `version: 1`")
    return document


def _text(path: Path, document: Document) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise _error(document, None, "there is no such file; name another, or begin with watch.example.yaml") from None
    except OSError as error:
        raise _error(document, None, f"the file cannot be read ({error.strerror})") from error
    if len(raw) > LONGEST:
        raise _error(document, None, f"the file is larger than {LONGEST:,} bytes; it should hold settings only")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _error(document, line, "this line is not UTF-8; save the file in that encoding") from None


def _compose(text: str, document: Document) -> Node | None:
    try:
        return YAML(typ="safe", pure=True).compose(text)  # type: ignore[no-any-return]
    except MarkedYAMLError as error:
        mark = error.problem_mark
        if mark is None:
            raise _error(document, None, f"this is not YAML: {plain(error.problem)}") from None
        problem = _hint(text, mark.index) or f"this is not YAML: {plain(error.problem)}"
        raise _error(document, mark.line + 1, problem) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _error(document, line, "a control character stands here; remove it") from None
    except YAMLError as error:
        raise _error(document, None, f"this is not YAML: {plain(error)}") from None
    except RecursionError:
        raise _error(document, None, f"the file is nested deeper than {DEEPEST} levels") from None


def _hint(text: str, index: int) -> str | None:
    """What to do about the character at which YAML gave up, where that is known."""
    if text[index : index + 1] == "\t":
        return "a tab stands where YAML wants spaces; indent with spaces"
    if text[max(index - 1, 0) : index + 1] == "${":
        return 'inside { } and [ ] a reference needs quotes; write "${NAME}"'
    if text[index : index + 1] == "*":
        return "a text that begins with '*' needs quotes"
    return None


def _error(document: Document, line: int | None, problem: str) -> ConfigError:
    return ConfigError([Mistake(document.file, line, "", problem)])


class _Builder:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self.environ = environ
        self.resolver = YAML(typ="safe", pure=True).resolver
        self.left = MOST_VALUES

    def build(self, node: Node, way: Way, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.document.lines.setdefault(way, line)
        self.left -= 1
        if depth > DEEPEST:
            raise _error(self.document, line, f"the file is nested deeper than {DEEPEST} levels")
        if self.left < 0:
            raise _error(self.document, line, f"the file holds more than {MOST_VALUES:,} values, aliases written out")
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, way, depth)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.build(item, (*way, index), depth + 1) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and str(node.tag).startswith(_TAG):
            return self._scalar(node, way)
        self.document.mistake(way, f"the tag {plain(node.tag, 60)} means nothing here; remove it")
        return None

    def _mapping(self, node: MappingNode, way: Way, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == _TAG + "merge":
                self.document.mistake(way, "'<<' does not merge here; write the keys out, or alias the whole")
            elif not isinstance(key, ScalarNode) or key.tag != _TAG + "str":
                shown = repr(plain(key.value, 60)) if isinstance(key, ScalarNode) else "this"
                self.document.lines[(*way, "?")] = line
                self.document.mistake((*way, "?"), f"{shown} cannot be a key; keys are text, so put it in quotes")
            elif key.value in first:
                problem = f"the key is here twice, first in line {first[key.value]}; remove one"
                name = plain(written((*way, key.value)), 120)
                self.document.mistakes.append(Mistake(self.document.file, line, name, problem))
            else:
                first[key.value] = line
                self.document.lines[(*way, key.value)] = line
                found[key.value] = self.build(value, (*way, key.value), depth + 1)
        return found

    def _scalar(self, node: ScalarNode, way: Way) -> Any:
        text: str = node.value
        self.document.texts[way] = text
        name = next((part for part in reversed(way) if isinstance(part, str)), "")
        if holds_secret(name, text):
            self.document.mistake(way, "this spells a secret out; write a reference such as ${NAME} in its place")
        try:
            filled = fill(text, self.environ)
        except MissingVariable as error:
            self.document.mistake(way, str(error))
            return MISSING
        tag = str(node.tag)
        if node.style is None and is_reference(text):
            # Unquoted and alone: what the environment says is read as if it stood here.
            tag = str(self.resolver.resolve(ScalarNode, filled, (True, False))) if filled else _TAG + "str"
        value = _value(tag.removeprefix(_TAG), filled)
        return Filled(value) if isinstance(value, str) and is_reference(text) else value


class Filled(str):
    """All of it came from the environment, where everything is text: it may stand for a number or a switch."""

    __slots__ = ()


class _Missing(str):
    """In place of a value that could not be had: its mistake is noted, and no other is made of it."""

    __slots__ = ()


MISSING = _Missing()


def _value(tag: str, text: str) -> Any:
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    digits = text.replace("_", "").lower()
    try:
        if tag == "int":
            return int(digits, 0) if digits.lstrip("+-")[:2] in ("0x", "0o", "0b") else int(digits)
        if tag == "float":
            return float(re.sub(r"\.(?=inf|nan)", "", digits))
    except ValueError:
        return text
    return text
