"""The published schema is the one the file is checked by, and says what every key means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from watcher.config import schema
from watcher.config.json_schema import text

ROOT = Path(__file__).parents[2]


def example() -> Any:
    return YAML(typ="safe").load(ROOT / "watch.example.yaml")


def properties(value: Any, way: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        if "properties" in value and "if" not in way:
            for name, of in value["properties"].items():
                yield f"{way}.{name}", of
        for key, inner in value.items():
            yield from properties(inner, f"{way}.{key}")


def test_the_published_schema_is_current() -> None:
    """`python -m watcher.config.json_schema > schema/watch.schema.json` makes it so."""
    assert (ROOT / "schema" / "watch.schema.json").read_text(encoding="utf-8") == text()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_example_fits_the_schema() -> None:
    jsonschema.Draft202012Validator(schema()).validate(example())


def test_every_key_is_described() -> None:
    """By itself, or by what it refers to where that says the same."""
    made = schema()
    found = list(properties(made))
    assert len(found) > 50
    for name, of in found:
        behind = made["$defs"].get(of.get("$ref", "").removeprefix("#/$defs/"), {})
        assert of.get("description") or behind.get("description"), name


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (["owner"], 5),
        (["poll", "changes"], "60"),
        (["poll", "chnages"], "60s"),
        (["policies", "binary", "primary", "min_gain"], "a lot"),
        (["policies", "binary", "primary", "better"], "up"),
        (["rollouts", "careful", "canary"], "10"),
        (["models", 0, "match"], "both*"),
        (["notify"], {"urls": ["json://written.out"]}),
        (["notify"], {"urls": ["${URL}"], "events": ["win"]}),
        (["models", 0, "targets"], []),
        (["models", 0, "targets", 0, "port"], None),
        (["models", 0, "targets", 0, "port"], "high"),
        (["models", 0, "targets", 0, "prot"], 1),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(way: list[str | int], value: Any) -> None:
    content = example()
    part = content
    for key in way[:-1]:
        part = part[key]
    if value is None:
        del part[way[-1]]
    else:
        part[way[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(content)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (["poll", "changes"], "${TICK:-60s}"),
        (["limits", "rollouts_at_once"], "${AT_ONCE}"),
        (["policies", "binary", "primary", "min_gain"], "1%"),
        (["models", 0, "targets", 0, "port"], "${PORT}"),
        (["notify"], {"urls": ["${URL}"], "events": ["won"]}),
    ],
)
def test_the_schema_takes_references(way: list[str | int], value: Any) -> None:
    content = example()
    part = content
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = value
    jsonschema.Draft202012Validator(schema()).validate(content)


def test_the_schema_is_plain_json() -> None:
    assert json.loads(text()) == schema()
