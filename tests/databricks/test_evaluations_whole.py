"""From `watch.yaml` to a verdict by a job of Databricks: real MLflow, real models, the loop as it runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import real_models
from tests.databricks.control_plane import TOKEN, Workspace, serving
from tests.databricks.evaluation_world import HOME, JOB, ROWS, DatabricksWorld
from tests.evaluator.test_whole import Place
from tests.evaluator.world import PATIENCE, logistic
from watcher import wiring
from watcher.cli.main import main
from watcher.values import Call

EVALUATE = f"""\
      runner: databricks
      home: {HOME}
      job: {{{{job_id: {JOB}, host: "{{host}}"}}}}
"""


class House(Place):
    """A registry with settings beside it, and a workspace whose job evaluates."""

    def __init__(self, folder: Path, workspace: Workspace) -> None:
        super().__init__(folder)
        self.world = DatabricksWorld(workspace, folder / "volumes")
        text = self.path.read_text()
        start = text.index('      data: {uri: "')
        rest = text[text.index("\n", start) + 1 :]
        lines = f"      data: {{uri: {ROWS}}}\n" + EVALUATE.format(host=workspace.url)
        self.path.write_text(text[:start] + lines + rest)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
    with serving(Workspace()) as workspace:
        yield House(tmp_path, workspace)


@pytest.mark.long
def test_a_worse_version_loses_by_what_the_job_measured(house: House) -> None:
    house.client.set_registered_model_alias("churn", "champion", str(house.register(logistic(0, 1))))
    assert house.until_called(house.register(logistic(0))) is Call.LOSES
    assert house.world.begun() == 1


def test_a_wake_up_never_waits_for_the_job(house: House) -> None:
    free = threading.Event()

    def waits(_home: Path, _key: str) -> None:
        free.wait(PATIENCE)

    house.world.work = waits
    house.client.set_registered_model_alias("churn", "champion", str(house.register(real_models.MADE[1]())))
    house.register(real_models.MADE[2]())
    app = wiring.load(house.path, {})
    watched = app.watched("churn")
    assert watched is not None
    began = time.monotonic()
    try:
        while house.world.begun() == 0:
            assert time.monotonic() < began + PATIENCE
            app.loop.wake(watched)
        began = time.monotonic()
        app.loop.wake(watched)
        assert time.monotonic() - began < PATIENCE / 2
        assert house.call(app, 2) is None
    finally:
        free.set()


def test_check_says_what_of_the_job_is_out_of_reach(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    def checked() -> dict[str, tuple[bool, str]]:
        capsys.readouterr()
        main(["--config", str(house.path), "--json", "check"])
        lines = json.loads(capsys.readouterr().out)["checks"]
        return {line["what"]: (line["ok"], line["detail"]) for line in lines}

    assert checked()["policies.measured.evaluate"] == (True, "runner databricks")
    house.world.rows.unlink()
    ok, detail = checked()["policies.measured.evaluate"]
    assert not ok
    assert ROWS in detail
    del house.world.workspace.jobs.settings[JOB]
    ok, detail = checked()["policies.measured.evaluate"]
    assert (ok, detail) == (False, f"There is no job {JOB}, or it may not be seen: check evaluate.job.job_id.")
