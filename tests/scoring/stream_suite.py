"""What a stream of every engine must do: inherit `StreamContract` and say which engine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scoring import report
from scoring.errors import OUTPUT, USAGE, VERSION, Stop
from scoring.streams import Streaming
from tests.scoring import world
from tests.scoring.world import ROWS, Tables, wait_until


class Bench:
    """Tables, and the streams of one engine over them. `patience`: seconds until what must come to be has."""

    def __init__(self, tables: Tables, engine: str, every: float, patience: float) -> None:
        self.tables, self.patience = tables, patience
        self._engine, self._every = import_module(f"scoring.{engine}.stream"), every

    def stream(self, **more: Any) -> Any:
        tables = self.tables
        options = self._engine.Options(tables.pointer, tables.input, tables.output, **{"every": self._every, **more})
        return self._engine.Stream(options)

    def once(self, **more: Any) -> None:
        """Everything that is there, by a stream that then ends."""
        self.stream(once=True, **more).run()

    @contextmanager
    def running(self, **more: Any) -> Iterator[list[Stop]]:
        """A stream in a thread; what it raised is in the list."""
        stream, raised = self.stream(**more), []

        def run() -> None:
            try:
                stream.run()
            except Stop as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield raised
        finally:
            stream.stop()
            thread.join(self.patience)
            assert not thread.is_alive()

    @property
    def told(self) -> dict[str, Any]:
        """What the stream says of itself, nothing before it first did."""
        return self.tables.status if (self.tables.folder / "churn.status.json").exists() else {}

    @property
    def error(self) -> dict[str, Any]:
        return self.told.get("error") or {}

    @property
    def rows(self) -> int:
        """How many are scored."""
        there = any((Path(self.tables.output) / "_delta_log").glob("*.json"))
        return len(self.tables.scored()) if there else 0

    @property
    def versions(self) -> dict[int, int]:
        """Version -> rows that it scored."""
        counts = self.tables.scored()["model_version"].value_counts()
        return {int(version): int(count) for version, count in counts.items()}

    @property
    def exactly_once(self) -> bool:
        return list(self.tables.scored()["id"]) == list(range(self.tables.rows))

    def until(self, condition: Any) -> None:
        wait_until(condition, self.patience)

    def until_all_is_scored(self) -> None:
        self.until(lambda: self.rows == self.tables.rows)


class StreamContract:
    """Override what a stream is started with."""

    ENGINE: ClassVar[str]
    EVERY: ClassVar[float] = 0.02
    PATIENCE: ClassVar[float] = 60.0

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        made = Bench(Tables.made(tmp_path), self.ENGINE, self.EVERY, self.PATIENCE)
        made.tables.point(1)
        return made

    def test_a_stream_goes_on_where_the_last_one_ended(self, bench: Bench) -> None:
        bench.once()
        bench.tables.grow(5)
        bench.tables.point(2)
        bench.once()
        bench.once()
        assert bench.exactly_once
        assert bench.versions == {1: ROWS, 2: 5}
        rows = bench.tables.scored()
        assert list(rows["prediction"]) == list((rows["a"] + rows["b"]) * rows["model_version"])

    def test_a_moved_pointer_swaps_between_two_micro_batches(self, bench: Bench) -> None:
        with bench.running():
            bench.until(lambda: bench.told.get("last"))
            bench.tables.point(3)
            bench.until(lambda: bench.told["running"]["version"] == 3)
            bench.tables.grow(7)
            bench.until_all_is_scored()
        assert bench.versions == {1: ROWS, 3: 7}
        assert bench.exactly_once
        assert bench.tables.status["wrote"]["churn-v3"]["rows"] == 7

    def test_two_moves_in_quick_succession_end_at_the_second(self, bench: Bench) -> None:
        with bench.running():
            bench.until(lambda: bench.told.get("last"))
            bench.tables.point(2)
            bench.tables.point(3, move="last")
            bench.until(lambda: bench.told["running"]["token"] == "last")
            bench.tables.grow(4)
            bench.until_all_is_scored()
        assert bench.versions == {1: ROWS, 3: 4}

    def test_moved_is_told_from_applied(self, bench: Bench) -> None:
        bench.tables.point(1, move="one")
        with bench.running():
            bench.until(lambda: bench.told.get("running"))
            assert bench.told["running"]["token"] == "one"
            bench.tables.point(2, move="two")
            bench.until(lambda: bench.told["running"]["token"] == "two")
            assert bench.told["state"] == report.RUNNING
        assert bench.told["state"] == report.STOPPED

    def test_a_pointer_that_cannot_be_read_changes_nothing_and_is_told(self, bench: Bench) -> None:
        with bench.running():
            bench.until(lambda: bench.told.get("last"))
            for content in ("{", "[]", '{"format": 1}', '{"format": 9, "model": "churn"}'):
                Path(bench.tables.pointer).write_text(content)
                bench.tables.grow(2)
                bench.until_all_is_scored()
                bench.until(lambda: bench.error.get("kind") == "pointer")
                assert bench.error["message"].startswith("v1 goes on: ")
            bench.tables.point(2)
            bench.until(lambda: bench.told["running"]["version"] == 2 and not bench.error)
        assert set(bench.versions) == {1}

    def test_a_version_that_does_not_load_leaves_the_one_before_running_and_is_told(self, bench: Bench) -> None:
        """Here for want of a library, which its trial would have found."""
        with bench.running():
            bench.until(lambda: bench.told.get("last"))
            bench.tables.point(2, world.needy_model(bench.tables.folder), move="bad")
            bench.until(lambda: bench.error)
            error = bench.error
            assert (error["kind"], error["release"], error["token"]) == (VERSION, "churn-v2", "bad")
            assert "No module named 'library_of_nobody'" in error["message"]
            bench.tables.grow(5)
            bench.until_all_is_scored()
            assert bench.error == error
        assert bench.versions == {1: ROWS + 5}

    def test_rows_that_a_version_cannot_score_wait_for_one_that_can(self, bench: Bench) -> None:
        bench.tables.point(2, world.python_model("picky", "raise KeyError('bmi')"), move="bad")
        with bench.running():
            bench.until(lambda: bench.error)
            error = bench.error
            assert (error["kind"], error["release"], error["token"]) == (VERSION, "churn-v2", "bad")
            assert "KeyError: 'bmi'" in error["message"]
            bench.tables.point(1)
            bench.until_all_is_scored()
        assert bench.versions == {1: ROWS}

    def test_an_output_that_was_deleted_ends_the_stream_and_is_not_begun_anew_unless_that_is_wanted(
        self, bench: Bench
    ) -> None:
        with bench.running() as raised:
            bench.until(lambda: bench.told.get("last"))
            shutil.rmtree(bench.tables.output)
            bench.tables.grow(3)
            bench.until(lambda: raised)
        assert bench.rows == 0
        with pytest.raises(Stop, match="deleted or replaced") as stopped:
            bench.once()
        assert {raised[0].kind, stopped.value.kind} == {OUTPUT}
        assert bench.error["kind"] == OUTPUT
        bench.once(begin=True)
        assert bench.exactly_once

    def test_rows_that_were_committed_before_a_crash_are_not_written_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def crash(*_: object, **__: object) -> None:
            raise OSError("killed after the commit")

        with monkeypatch.context() as patch:
            patch.setattr(Streaming, "_told", crash)
            with pytest.raises((Stop, OSError), match="killed after the commit"):
                bench.once()
        assert bench.rows == ROWS
        bench.tables.point(3)
        bench.once()
        assert bench.exactly_once
        assert bench.versions == {1: ROWS}
        assert bench.told["wrote"]["churn-v1"]["rows"] == ROWS

    def test_what_the_change_feed_says_was_inserted_or_updated_is_scored(self, bench: Bench) -> None:
        from deltalake import DeltaTable

        table = DeltaTable(bench.tables.input)
        table.alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
        bench.once()
        table.update({"a": "a + 100"}, predicate="id < 3")
        table.delete(predicate="id = 5")
        bench.tables.grow(2)
        bench.once()
        assert sorted(bench.tables.scored()["id"]) == sorted([*range(ROWS + 2), 0, 1, 2])
        assert sorted(bench.tables.scored()["a"])[-3:] == [100.0, 101.0, 102.0]

    def test_rows_that_were_rewritten_stop_the_stream_unless_the_change_feed_tells_them(self, bench: Bench) -> None:
        from deltalake import DeltaTable

        bench.once()
        DeltaTable(bench.tables.input).update({"a": "a + 100"}, predicate="id < 3")
        with pytest.raises(Stop, match="enableChangeDataFeed"):
            bench.once()

    def test_an_answer_of_another_type_than_the_outputs_is_the_versions_fault(self, bench: Bench) -> None:
        bench.once()
        bench.tables.grow(1)
        bench.tables.point(5, world.python_model("texts", "return ['x'] * len(model_input)", output="string"))
        with pytest.raises(Stop, match="'prediction'") as stopped:
            bench.once()
        assert stopped.value.kind == VERSION

    def test_without_a_version_there_is_nothing_to_score_with(self, bench: Bench) -> None:
        bench.tables.point(None)
        with pytest.raises(Stop, match="names no version") as stopped:
            bench.once()
        assert stopped.value.kind == USAGE
