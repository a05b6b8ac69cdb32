"""Text, numbers and files as somebody would write them who means harm."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import strategies as st

PATHS = (
    "../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "~root",
    "a/../../b",
    "C:\\windows\\system32",
    "%2e%2e%2f",
    "-rf",
    "nul",
)
SHELL = (
    "$(touch owned)",
    "`touch owned`",
    "; touch owned #",
    "| touch owned",
    "&& touch owned",
    "--help",
    "${HOME}",
    "$'\\x00'",
)
SQL = (
    "' OR '1'='1",
    '" OR ""="',
    "'; DROP TABLE registered_models; --",
    "%",
    "_%_",
    "' UNION SELECT 1 --",
    "\\'",
    "`x`",
)
HTML = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></tr>",
    "&lt;",
    "[x](javascript:alert(1))",
    "](x)",
)
TERMINAL = (
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\link",
    "\x9b31m",
    "a\rb",
    "a\nERROR forged line",
    "a\r\n2026-01-01 INFO forged",
    "\x08\x08\x08",
    "\x7f",
    "[red]x[/red]",
)
FORMATS = (
    "%s%s%s%n",
    "%(name)s",
    "{0}",
    "{x.__class__.__mro__}",
    "{model}",
    "{model_slug}",
    "${NAME}",
    "{{7*7}}",
    "VERSION",
    "TARGET",
)
UNICODE = (
    "\u202egpj.exe",
    "\u2066isolate\u2069",
    "a\u200bb",
    "\ufeffx",
    "\u2028line\u2029",
    "\x85next",
    "e\u0301" * 20,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\uff0e\uff0e\uff0f",
    "\u0130\u0131\u017f",
    "\U000e0041\U000e007f",
    "\ufdd0",
)
LONG = ("a" * 256, "a" * 5_000, "\u202e" * 300, "<" * 1_000, "9" * 400)
BROKEN = ("\ud800", "a\udfffb", "\x00", "a\x00b", "\x00" * 10)
"""What no registry can store, and JSON can carry all the same."""

STORABLE = (*PATHS, *SHELL, *SQL, *HTML, *TERMINAL, *FORMATS, *UNICODE, *LONG)
SAMPLES = (*STORABLE, *BROKEN)


def texts(longest: int = 6_000) -> st.SearchStrategy[str]:
    """Any text whatever, most of it chosen with intent."""
    return _mixed(SAMPLES, st.characters(), longest)


def storable(longest: int = 6_000) -> st.SearchStrategy[str]:
    """Text that a database and HTTP let through."""
    return _mixed(STORABLE, st.characters(codec="utf-8", exclude_characters="\x00"), longest)


def _mixed(samples: tuple[str, ...], letters: st.SearchStrategy[str], longest: int) -> st.SearchStrategy[str]:
    words = st.sampled_from(samples) | st.text(letters, max_size=30)
    return st.lists(words, min_size=1, max_size=3).map(lambda parts: "".join(parts)[:longest])


def names() -> st.SearchStrategy[str]:
    """Names that MLflow takes for a registered model."""
    return (
        storable(250).map(lambda text: text.replace("/", "|").replace(":", ";")).filter(lambda text: text.strip() != "")
    )


FLOATS = (
    math.nan,
    math.inf,
    -math.inf,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    2.0**53,
    0.1 + 0.2,
)


def numbers() -> st.SearchStrategy[float]:
    return st.sampled_from(FLOATS) | st.floats()


def values() -> st.SearchStrategy[Any]:
    """JSON values with hostile text and numbers everywhere."""
    leaves = (
        st.none()
        | st.booleans()
        | numbers()
        | texts(300)
        | st.integers()
        | st.sampled_from((10**30, -(10**400), 2**63))
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(60), inner, max_size=4),
        max_leaves=12,
    )


DEEP_JSON = (
    "[" * 50_000,
    "[" * 20_000 + "]" * 20_000,
    '{"a":' * 20_000 + "1" + "}" * 20_000,
    "[" * 60 + "]" * 60,
    '{"a":1,"a":2}',
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 5_000,
    '"\\ud800"',
    '{"":0,"__proto__":{}}',
    "\ufeff{}",
    "[1,]",
    "null",
)

YAML = (
    "a: &a [*a]",
    "a: &a {b: *a}",
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(f"{c}: &{c} [{','.join([f'*{chr(ord(c) - 1)}'] * 9)}]" for c in "bcdefghi"),
    "<<: {a: 1}",
    "!!python/object/apply:os.system ['touch owned']",
    "!!python/object/new:subprocess.Popen [[touch, owned]]",
    "!!python/name:os.system",
    "!!binary aGk=",
    "!!timestamp 2001-01-01",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!int 'x'",
    "!!float 'x'",
    "%TAG ! tag:x,2000:\n---\n!x 1",
    "? [a, b]\n: c",
    "a: 1\na: 2",
    "--- 1\n--- 2",
    "a: " + "[" * 200,
    "- " * 200,
    "'" + "x" * 10_000,
    "a: |\n" + " x\n" * 1_000,
    "\x00",
    "a: \x1b[2J",
    "0x" + "f" * 5_000,
    "9" * 5_000,
    "1_0:59:59",
    ".nan",
    "-.inf",
    "1e999",
    "2001-99-99",
)


MOST_YAML = 20_000
"""Longer ones take seconds each; the tests of the settings load some of them once."""


def yaml_texts() -> st.SearchStrategy[str]:
    """Files that look like YAML, some of them bombs."""
    short = [text for text in (*YAML, *DEEP_JSON) if len(text) < MOST_YAML]
    return st.sampled_from(short) | values().map(json.dumps) | texts()


SAFE_IN_A_LINE = 4_100
"""Longer than any line that is shown, with its time and its model's name."""


def must_be_plain(error: object) -> None:
    """Fails where the words of an error hold what cannot be seen."""
    assert is_plain(str(error)), error


def is_plain(text: str) -> bool:
    """Whether a terminal, a log or a line of text holds nothing but what can be seen of it."""
    return text.isprintable()
