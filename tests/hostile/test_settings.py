"""Whatever stands in the settings file or the environment, it is settings or mistakes in plain lines."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.conftest import GOOD
from tests.hostile import strategies as hostile
from watcher.config import load, watched
from watcher.config.errors import ConfigError
from watcher.settings import Settings

PARTS = sorted({part for line in GOOD.splitlines() for part in (line, line.partition(": ")[2]) if part.strip()})
SOUND: dict[str, Any] = {
    "version": 1,
    "owner": "me",
    "registry": {"uri": "http://127.0.0.1:5000"},
    "policies": {"binary": {"primary": {"metric": "auc"}}},
    "rollouts": {"careful": {"canary": [10, 100]}},
    "models": [
        {"name": "churn", "policy": "binary", "targets": [{"name": "api", "kind": "local-endpoint", "port": 5}]}
    ],
}


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="watcher-hostile-") as folder:
        yield Path(folder) / "watch.yaml"


def loaded(path: Path, text: str, environ: dict[str, str]) -> Settings | None:
    """The settings, None where there are mistakes; these are plain lines, and nothing else was touched."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return load(path, environ)
    except ConfigError as error:
        lines, count = str(error).splitlines(), len(error.mistakes)
        assert len(lines) == count
        assert all(hostile.is_plain(line) and len(line) < hostile.SAFE_IN_A_LINE for line in lines), lines
        return None
    finally:
        assert [found.name for found in path.parent.iterdir()] == [path.name]


@given(text=hostile.yaml_texts(), part=st.sampled_from(PARTS), value=hostile.texts(100))
def test_any_text_in_place_of_a_part_is_settings_or_mistakes(text: str, part: str, value: str, path: Path) -> None:
    loaded(path, GOOD.replace(part, text, 1), {})
    loaded(path, text, {"NAME": value})


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """Sound settings in which one value, somewhere, is another; or one key more."""
    document = json.loads(json.dumps(SOUND))
    inner: Any = document
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = draw(st.sampled_from(keys))
        if isinstance(inner[key], dict | list) and draw(st.booleans()):
            inner = inner[key]
            continue
        if isinstance(inner, dict) and draw(st.booleans()):
            key = draw(hostile.texts(60))
        inner[key] = draw(hostile.values())
        return json.dumps(document)


@given(text=spoiled())
def test_any_value_in_sound_settings_is_settings_or_mistakes(text: str, path: Path) -> None:
    loaded(path, text, {})


@given(name=hostile.texts(), owner=hostile.texts())
def test_what_the_environment_holds_is_text_and_nothing_else(name: str, owner: str, path: Path) -> None:
    text = GOOD.replace("owner: me", 'owner: "${OWNER}"').replace("metric: auc", 'metric: "${NAME}"')
    found = loaded(path, text, {"OWNER": owner, "NAME": name})
    if found is not None:
        assert (found.owner, found.policies["binary"].primary.metric) == (owner, name)


PATTERNS = (
    GOOD[: GOOD.index("  - name: churn")]
    + """\
  - match: "*"
    policy: binary
    rollout: careful
    targets: [{name: live, kind: stream, pointer: "g/{model_slug}"}]
"""
)
NAMED = PATTERNS.replace("{model_slug}", "{model}")


@pytest.fixture(scope="module")
def patterns(path: Path) -> list[Settings]:
    """Settings that match every model, with its slug and with its name in a target's folder."""
    found = [loaded(path, text, {}) for text in (PATTERNS, NAMED)]
    return [settings for settings in found if settings is not None]


@given(name=hostile.texts(250))
def test_a_models_name_never_leaves_the_folder_it_is_put_into(name: str, patterns: list[Settings]) -> None:
    assert len(patterns) == 2
    for settings in patterns:
        try:
            found = watched(settings, name)
        except ConfigError as error:
            hostile.must_be_plain(error)
            continue
        assert found is not None
        pointer = Path(str(found.targets[0].settings["pointer"]))
        assert pointer.parent == settings.folder / "g"
        assert pointer.name not in {"", ".", ".."}
        assert "\x00" not in pointer.name
