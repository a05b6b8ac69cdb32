"""A small file that is right, to be made wrong one line at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.config import load
from watcher.config.errors import ConfigError
from watcher.settings import Settings

GOOD = """\
version: 1
owner: me
registry: {uri: "http://127.0.0.1:5000"}
policies:
  binary:
    primary: {metric: auc}
rollouts:
  careful:
    canary: [10, 100]
models:
  - name: churn
    policy: binary
    rollout: careful
    targets:
      - {name: api, kind: local-endpoint, port: 5001}
"""


class Desk:
    """Loads a text as `watch.yaml` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "watch.yaml"

    def load(self, text: str | bytes, **environ: str) -> Settings:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(self.path, environ)

    def mistakes(self, text: str | bytes, **environ: str) -> list[str]:
        """The mistakes as `line: key: problem`."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, **environ)
        prefix = f"{self.path}"
        lines = str(caught.value).splitlines()
        assert all(line.startswith(prefix) for line in lines)
        assert len(lines) == len(caught.value.mistakes)
        return [line.removeprefix(prefix).lstrip(": ") for line in lines]

    def changed(self, old: str, new: str) -> str:
        assert old in GOOD
        return GOOD.replace(old, new, 1)

    def wrong(self, old: str, new: str, **environ: str) -> list[str]:
        """The mistakes of the good file with `old` replaced by `new`."""
        return self.mistakes(self.changed(old, new), **environ)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


Loader = Callable[[str], Settings]
