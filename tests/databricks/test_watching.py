"""The loop on a registry of Databricks: a first champion, a better version, a worse one, and a person's order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databricks.registry_world import DatabricksWorld, workspace
from tests.registry.reigning import reigns

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("uri", ["databricks-uc", "databricks"])
def test_the_better_version_is_crowned_the_worse_is_not_and_a_person_is_obeyed(uri: str, tmp_path: Path) -> None:
    with workspace(tmp_path) as running:
        world = DatabricksWorld(uri, running, tmp_path)

        def give_example(name: str, number: int) -> None:
            (world.plane.folder(name, number) / "serving_input_example.json").write_text('{"inputs": [1]}')

        reigns(world, give_example)
