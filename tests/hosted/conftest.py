from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosted.world import Hosted


@pytest.fixture
def hosted(tmp_path: Path) -> Hosted:
    return Hosted(tmp_path)
