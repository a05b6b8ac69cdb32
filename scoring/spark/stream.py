"""The perpetual stream on Spark: each micro-batch is scored with what the pointer names, and written exactly once.

Spark may run a micro-batch again after a crash. Its number, under a name that belongs to the checkpoint, goes into the
output's log with the rows (`txnVersion`, `txnAppId`): Delta ignores a second write of the same number.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scoring import pointer as pointers
from scoring.errors import INPUT, OUTPUT, USAGE, VERSION, Stop
from scoring.spark import session, tables
from scoring.spark.rows import LOCAL, MAP, Answering, prepare
from scoring.spark.trouble import cause, not_written
from scoring.streams import FIRST_LOAD, LOADING, MOST_NOTES, Streaming, already, kept, refuse_replaced
from scoring.streams import Options as Common
from scoring.swap import LONGEST_PAUSE, Swap

LOOK = 0.25
"""Seconds between two looks whether to stop, and at the pointer while there is nothing to score."""
MOST_FILES = 100
RECENT = 20
"""Commits among which our own of a moment ago must be."""
NOTE = "scoring"
"""Key of a note in a commit of ours: which stream wrote it."""
CHECKPOINT = "_scoring_checkpoint"


class Stopped(Exception):
    """The person wants no further micro-batch."""


@dataclass(frozen=True, slots=True)
class Options(Common):
    """What a person says of a stream."""

    files: int = MOST_FILES
    """Files of the input in a micro-batch at most: back-pressure."""
    checkpoint: str | None = None
    """Folder of Spark's checkpoint; by default one within the output. A new one begins the stream anew."""
    apply: str = MAP
    env_manager: str = LOCAL
    """Of `apply: udf`."""


class Stream(Streaming[Options]):
    """One stream; `run` goes on until it is stopped, or cannot go on."""

    def __init__(self, options: Options) -> None:
        super().__init__(options, "spark")
        self._idle = threading.Event()
        self._idle.set()
        self._following = threading.Lock()
        self._why: Stop | None = None
        self._output_id: str | None = None

    def _run(self) -> None:
        options = self._options
        pointers.refuse_nothing(options.pointer)
        self._spark = spark = session.get(options.most)
        input_id, properties = tables.about(tables.required(spark, options.input))
        output = tables.table(spark, options.output)
        self._output_id = tables.about(output)[0] if output is not None else None
        before = self._report.before()
        refuse_replaced(options.input, options.output, before, input_id, self._output_id, begin=options.begin)
        self._wrote, last = already(before, self._output_id, lambda above: _notes(output, above))
        if options.begin and (self._output_id is None or before.get("input_id") not in (None, input_id)):
            self._forget()
        ids = {"input_id": input_id, "output_id": self._output_id}
        self._report.note(**ids, wrote=self._wrote.told, last=last)
        self._report.start()
        self._swap = Swap(options.pointer, self._report, lambda release: prepare(spark, release, options.apply))
        try:
            self._stream(properties)
        finally:
            self._swap.close()

    def _stream(self, properties: Any) -> None:
        try:
            query = self._query(changes=properties.get("delta.enableChangeDataFeed") == "true")
            while not query.awaitTermination(LOOK):
                if self._stop.is_set():
                    # In the middle of a micro-batch Spark would end the workers under way; the next one does not begin.
                    self._idle.wait()
                    query.stop()
                elif not self._options.once:
                    self._look()
        except Stop:
            raise
        except Exception as error:
            if self._why is not None:
                raise self._why from error
            if not self._stop.is_set():
                # By default the checkpoint lies in the output, and goes with it.
                self._refuse_other_output()
                raise ended(self._options.input, error) from error

    def _query(self, *, changes: bool) -> Any:
        options = self._options
        reader = self._spark.readStream.format("delta").option("maxFilesPerTrigger", options.files)
        if options.start != "earliest":
            reader = reader.option("startingVersion", options.start)
        frame = tables.read(reader.option("readChangeFeed", str(changes).lower()), options.input)
        if changes:
            frame = frame.where(tables.WANTED_CHANGES).drop(*tables.CHANGES)
        keep = kept(options.input, frame.columns, options.columns)
        named: list[str] = []
        started = threading.Event()

        def batch(rows: Any, number: int) -> None:
            started.wait()
            self._idle.clear()
            try:
                self._batch(rows, number, named[0], keep)
            finally:
                self._idle.set()

        writer = frame.writeStream.foreachBatch(batch).option("checkpointLocation", self._checkpoint())
        every = f"{max(int(options.every * 1_000), 1)} milliseconds"
        query = writer.trigger(**({"availableNow": True} if options.once else {"processingTime": every})).start()
        # Kept in the checkpoint: the same after a restart, another one with a new checkpoint.
        named.append(str(query.id))
        started.set()
        return query

    def _checkpoint(self) -> str:
        options = self._options
        if options.checkpoint is None and tables.is_name(options.output):
            raise Stop(
                USAGE, f"{options.output} is a table of a catalog: say with --checkpoint where the stream's lies."
            )
        return options.checkpoint or f"{options.output.rstrip('/')}/{CHECKPOINT}"

    def _forget(self) -> None:
        """Remove what the checkpoint remembers of another input or output: rows would be left out. Raises Stop."""
        where = self._checkpoint()
        path = self._spark._jvm.org.apache.hadoop.fs.Path(where)  # noqa: SLF001 Spark's own way to any storage
        files = path.getFileSystem(self._spark._jsc.hadoopConfiguration())  # noqa: SLF001
        if not files.exists(path) or not files.listStatus(path):
            return
        if self._options.checkpoint is not None:
            raise Stop(
                USAGE,
                f"The checkpoint {where} is of another input or output: say with --checkpoint where a new one lies.",
            )
        files.delete(path, True)

    def _batch(self, rows: Any, number: int, app: str, keep: list[str]) -> None:
        pause = 0.0
        try:
            while True:
                answering = self._ready()
                began = time.monotonic()
                try:
                    answering.refuse_unfit(rows)
                    written = self._write(answering, rows, number, app, keep)
                    break
                except Stop as error:
                    if error.kind != VERSION or self._options.once:
                        raise
                    # The rows stay where they are; the next pointer may name a version that can.
                    self._report.fails(error, answering.release, self._token)
                pause = min(max(2 * pause, self._options.every), LONGEST_PAUSE)
                self._rest(pause)
        except Stop as error:
            self._why = error
            raise
        if written is not None:
            self._tell(answering, written, time.monotonic() - began)

    def _ready(self) -> Answering:
        """What to score with now. Waits where there is nothing."""
        options = self._options
        while True:
            if self._stop.is_set():
                raise Stopped
            found = self._follow(FIRST_LOAD if options.once else LOADING if self._swap.scorer else options.every)
            if found is not None:
                self._count_for(self._swap.token)
                return found
            if options.once:
                nothing = f"{options.pointer} names no version yet, so there is nothing to score with."
                raise self._swap.failing or Stop(USAGE, nothing)
            self._stop.wait(options.every)

    def _follow(self, ready: float) -> Answering | None:
        with self._following:
            return self._swap.follow(ready)

    def _look(self) -> None:
        """Follow the pointer. In the middle of a micro-batch, load only what the next one is to be scored with."""
        with self._following:
            if self._idle.is_set():
                self._swap.follow(LOADING)
            else:
                self._swap.ahead()

    def _rest(self, seconds: float) -> None:
        def moved() -> bool:
            self._follow(LOADING)
            return self._swap.token != self._token

        self._wait(seconds, moved)

    def _write(self, answering: Answering, rows: Any, number: int, app: str, keep: list[str]) -> dict[str, Any] | None:
        """Append the scored rows: what the commit says of itself, None where this micro-batch is there already."""
        options, release = self._options, answering.release
        self._refuse_other_output()
        scored = answering.scored(rows, keep, time.time_ns() // 1_000, options.env_manager)
        attempt = uuid.uuid4().hex
        note = {NOTE: app, "attempt": attempt, "release": release.name, "number": release.version}
        writer = scored.write.format("delta").mode("append").option("userMetadata", json.dumps(note))
        try:
            tables.save(writer.option("txnAppId", f"scoring-{app}").option("txnVersion", number), options.output)
            found = tables.table(self._spark, options.output)
            if self._output_id is None:
                self._output_id = tables.about(found)[0]
            # Where nothing was written there is no such commit; to ask what Spark counted would then wait for ever.
            return next((one for one in tables.notes(found, NOTE, RECENT) if one["attempt"] == attempt), None)
        except Exception as error:
            raise self._unwritten(answering, not_written(error, options.output)) from error

    def _unwritten(self, answering: Answering, stop: Stop) -> Stop:
        """Whose matter it is that rows do not fit the output depends on the column."""
        found = tables.table(self._spark, self._options.output) if stop.kind == OUTPUT else None
        if found is None:
            return stop
        there = {field.name: field.dataType for field in found.toDF().schema}
        for name, kind in answering.answered.items():
            if there.get(name) != kind:
                has = there[name].simpleString() if name in there else "none"
                told = f"column {name!r} of {self._options.output} is {has}, and the rows have {kind.simpleString()}"
                return Stop(VERSION, f"v{answering.release.version}: {told}.")
        return stop

    def _refuse_other_output(self) -> None:
        """Raises Stop where the output is gone: an append would make another one."""
        if self._output_id is None:
            return
        found = tables.table(self._spark, self._options.output)
        if found is None or tables.about(found)[0] != self._output_id:
            raise Stop(
                OUTPUT,
                f"The output table {self._options.output} was deleted or replaced while the stream wrote into it.",
            )

    def _tell(self, answering: Answering, commit: dict[str, Any], took: float) -> None:
        self._told(answering.release, commit["rows"], commit["version"], took, output_id=self._output_id)


def _notes(output: Any, above: int) -> Iterator[dict[str, Any]]:
    found = tables.notes(output, NOTE, MOST_NOTES, above) if output is not None else iter(())
    return (note for note in found if note["rows"])


def ended(where: str, error: BaseException) -> Stop:
    """Why Spark ended a stream of this table, in a sentence."""
    text = str(error)
    if (found := re.search(r"DELTA_SCHEMA_CHANGED\w*\]? .*?version (\d+)", text)) is not None:
        return Stop(
            INPUT,
            f"The columns of {where} change with version {found[1]}. Start again once the output and the versions to"
            " come fit; rows that are not scored yet are then.",
        )
    if "DELTA_SOURCE_TABLE_IGNORE_CHANGES" in text or "DELTA_SOURCE_IGNORE_DELETE" in text:
        return Stop(
            INPUT,
            f"Rows of {where} were changed or removed, and a stream follows rows that are added: turn its change data"
            " feed on (delta.enableChangeDataFeed), and begin after that version with a new output and --start.",
        )
    return Stop(INPUT, f"The stream of {where} ended: {cause(error)}")
