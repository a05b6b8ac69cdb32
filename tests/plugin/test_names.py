"""A release's own deployment is named by whose it is, so that nobody else's has its name, and legally everywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deployers.mlflow_plugin.names import own
from tests.plugin.world import target_at


@pytest.mark.parametrize(
    "release", ["m-v1-abcdef", "prod-risk-churn-v12-3f9ac2", "a-very-long-slug-v2147483647-0a1b2c"]
)
def test_names_are_legal_and_the_same_every_time_and_differ_by_owner_and_place(tmp_path: Path, release: str) -> None:
    target = target_at(tmp_path)
    elsewhere = target_at(tmp_path, deployment="churn-north")
    names = [own(each, release) for each in (target, replace(target, owner="others"), elsewhere)]
    assert len(set(names)) == 3
    assert names[0] == own(target_at(tmp_path), release)
    version, identity = release.rsplit("-", 2)[1:]
    for name in names:
        assert re.fullmatch(rf"[a-z][a-z0-9-]*-{version}-{identity}-[0-9a-f]{{6}}", name), name
        assert 3 <= len(name) <= 32
