from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from watcher import __version__
from watcher.cli.exits import Exit
from watcher.cli.main import main

ROOT = Path(__file__).parent.parent.parent
HEAVY = (
    "aiohttp", "alembic", "asyncio", "azure", "click", "databricks", "fastapi", "gateway", "mlflow", "numpy",
    "packaging", "pandas", "pydantic", "requests", "rich", "ruamel", "sklearn", "sqlalchemy", "sqlite3", "tenacity",
    "watcher.config", "watcher.decide", "watcher.judge", "watcher.ledger", "watcher.registry", "watcher.wiring",
)  # fmt: skip
COMMANDS = (
    "check", "run", "tick", "plan", "status", "history", "explain", "evaluate", "backtest", "promote", "rollback",
    "abort", "approve", "rejudge", "hold", "release", "adopt", "forget", "pause", "resume", "notify", "schema",
    "gateway",
)  # fmt: skip


def loaded_by(arguments: list[str]) -> set[str]:
    script = (
        "import sys\n"
        "from watcher.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "sys.stderr.write('\\n'.join(sys.modules))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "Usage: watcher" in done.stdout
    return set(done.stderr.splitlines())


def test_help_loads_nothing_that_only_a_command_needs() -> None:
    """The number of modules stands for the time: typer alone brings some 140."""
    loaded = loaded_by(["--help"])
    assert [name for name in HEAVY if name in loaded] == []
    assert len(loaded) < 330


def test_help_of_a_command_loads_no_more_than_its_options_need() -> None:
    """Typer checks values by way of pydantic."""
    loaded = loaded_by(["plan", "--help"])
    assert [name for name in HEAVY if name in loaded and name != "pydantic"] == []


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == Exit.OK
    told = capsys.readouterr().out
    assert [int(code) for code in re.findall(r"^  +(\d+) ", told, re.MULTILINE)] == [code.value for code in Exit]


def test_help_names_every_command_with_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    listed = dict(re.findall(r"^  ([a-z]+)  +([A-Z].*)$", capsys.readouterr().out, re.MULTILINE))
    assert tuple(listed) == COMMANDS
    assert [name for name, sentence in listed.items() if not sentence.endswith(".") or sentence.endswith("...")] == []


@pytest.mark.parametrize("command", [*COMMANDS, "gateway start", "gateway stop", "gateway status"])
def test_every_command_takes_the_common_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "-h"]) == Exit.OK
    told = capsys.readouterr().out
    assert "--config" in told
    assert "--json" in told


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.OK
    assert capsys.readouterr().out.startswith("Usage: watcher")


def test_the_version_of_the_watcher_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"watcher {__version__}\n"
