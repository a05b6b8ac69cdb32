"""Every piece of YAML in the pages is one that the watcher takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

import deployers
from tests.docs.texts import ROOT, Block, blocks
from watcher.config import load, watched
from watcher.values import Kind

WHOLE = """\
version: 1
owner: me
registry: {uri: "http://127.0.0.1:5000"}
policies:
  auc: {primary: {metric: auc}}
models:
  - {name: churn, mode: advise, policy: auc}
"""
ENVIRON = {
    "AML_WORKSPACE": "subscription/group/workspace",
    "MLFLOW_REGISTRY_URI": "http://127.0.0.1:5000",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
    "NOTIFY_URL": "json://127.0.0.1",
}


def shape(kind: str) -> Kind:
    """As installed, with the kind that the page on deployers adds."""
    return Kind.BATCH if kind == "pointer-file" else deployers.shape(kind)


def place(kind: str, settings: object) -> str:
    assert isinstance(settings, dict)
    return f"{kind}:{settings['path']}" if kind == "pointer-file" else deployers.place(kind, settings)


def test_there_are_settings_to_look_at() -> None:
    whole = [block for block in blocks("yaml") if block.text.startswith("version:")]
    assert {block.page for block in whole} >= {"README.md", "docs/tutorial/first-rollout.md"}


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.name)
def test_settings_that_are_shown_load(block: Block, tmp_path: Path) -> None:
    """A block that begins with `version:` is a whole file; any other is sections of one."""
    text = block.text
    if not text.startswith("version:"):
        yaml = YAML(typ="safe")
        merged = {**yaml.load(WHOLE), **yaml.load(text)}
        merged["policies"] = {**yaml.load(WHOLE)["policies"], **merged["policies"]}
        with (tmp_path / "watch.yaml").open("w") as file:
            YAML().dump(merged, file)
    else:
        (tmp_path / "watch.yaml").write_text(text)
    settings = load(tmp_path / "watch.yaml", ENVIRON, shapes=shape, place=place)
    for rule in settings.models:
        assert watched(settings, rule.name or "risk.churn", shapes=shape, place=place) is not None


def test_the_example_file_loads_with_the_kinds_that_are_installed() -> None:
    assert load(ROOT / "watch.example.yaml", ENVIRON, shapes=deployers.shape, place=deployers.place).models
