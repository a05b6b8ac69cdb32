"""The little plugin, installed; operations begun by one process for a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin import world


@pytest.fixture(scope="module")
def zygote() -> Iterator[world.Zygote]:
    with world.zygote() as made:
        yield made


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    world.installed(monkeypatch)
