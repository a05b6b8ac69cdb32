"""One Spark for all: it starts in seconds at best, and stays warm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoring.spark import session
from tests.scoring.world import Tables


@pytest.fixture(scope="session", autouse=True)
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    warehouse = tmp_path_factory.mktemp("warehouse")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(session.LOCAL, "spark.sql.warehouse.dir", str(warehouse))
        found = session.get()
    yield found
    found.stop()


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    made = Tables.made(tmp_path)
    made.point(2)
    return made
