"""The perpetual stream: rows of one Delta table, scored into another, exactly once, with whatever the pointer names."""

from __future__ import annotations

import time
from typing import Any

from scoring import pointer as pointers
from scoring.delta.sink import Sink
from scoring.delta.source import Chunk, Source, place
from scoring.errors import OUTPUT, USAGE, VERSION, Stop
from scoring.model import Scorer, load
from scoring.streams import FIRST_LOAD, LOADING, MOST_NOTES, Options, Streaming, already, kept, refuse_replaced
from scoring.swap import LONGEST_PAUSE, Swap

__all__ = ["Options", "Stream"]


class Stream(Streaming[Options]):
    """One stream; `run` goes on until it is stopped, or cannot go on."""

    def __init__(self, options: Options) -> None:
        super().__init__(options, "delta")
        self._chunk: Chunk | None = None
        self._pause = 0.0

    def _run(self) -> None:
        options = self._options
        pointers.refuse_nothing(options.pointer)
        self._source = source = Source(options.input)
        self._sink = sink = Sink(options.output, source.log.id)
        before = self._report.before()
        refuse_replaced(options.input, options.output, before, source.log.id, sink.id, begin=options.begin)
        self._wrote, last = already(before, sink.id, lambda above: sink.notes(above, MOST_NOTES))
        self._committed_at = sink.position()
        self._at = self._committed_at if self._committed_at is not None else source.start(options.start)
        source.require(self._at)
        self._keep = kept(options.input, source.schema.names, options.columns)
        position = place(self._at)
        ids = {"input_id": source.log.id, "output_id": sink.id}
        self._report.note(**ids, wrote=self._wrote.told, last=last, position=position)
        self._report.start()
        swap = Swap(options.pointer, self._report, load)
        try:
            self._score_on(swap)
        finally:
            swap.close()

    def _score_on(self, swap: Swap[Scorer]) -> None:
        options = self._options
        first = FIRST_LOAD if options.once else options.every
        while not self._stop.is_set():
            scorer = swap.follow(LOADING if swap.scorer else first)
            began = time.monotonic()
            if scorer is None:
                if options.once:
                    nothing = f"{options.pointer} names no version yet, so there is nothing to score with."
                    raise swap.failing or Stop(USAGE, nothing)
                self._stop.wait(options.every)
                continue
            self._count_for(swap.token)
            more = self._step(scorer, swap)
            if more is None and options.once:
                return
            if not more:
                self._stop.wait(max(options.every - (time.monotonic() - began), 0.0))

    def _step(self, scorer: Scorer, swap: Swap[Scorer]) -> bool | None:
        """One micro-batch; whether there is more already, None where there was nothing."""
        began = time.monotonic()
        try:
            self._chunk = chunk = self._chunk or self._source.next(self._at, self._options.most)
            if chunk is None:
                return None
            if chunk.table.num_rows:
                self._commit(scorer, chunk)
                self._tell(scorer, chunk, time.monotonic() - began)
        except Stop as error:
            if self._options.once or not (error.kind == VERSION or error.passing):
                raise
            # The rows stay where they are; the next pointer may name a version that can.
            self._report.fails(error, scorer.release, self._token)
            self._pause = min(max(2 * self._pause, self._options.every), LONGEST_PAUSE)
            self._rest(self._pause, swap)
            return True
        self._pause = 0.0
        self._at, self._chunk = chunk.after, None
        return chunk.full

    def _rest(self, seconds: float, swap: Swap[Scorer]) -> None:
        def moved() -> bool:
            swap.follow()
            return swap.token != self._token

        self._wait(seconds, moved)

    def _commit(self, scorer: Scorer, chunk: Chunk) -> None:
        scorer.refuse_unfit(chunk.table.schema)
        at_us = time.time_ns() // 1_000
        scored = scorer.stamped(chunk.table, at_us, self._keep)
        self._fits(scorer, scored.schema)
        release = scorer.release
        note = {
            "release": release.name,
            "model": release.model,
            "number": str(release.version),
            "rows": str(scored.num_rows),
            "after": str(chunk.after),
        }
        self._sink.append(scored, self._committed_at, chunk.after, note)
        self._committed_at = chunk.after

    def _fits(self, scorer: Scorer, schema: Any) -> None:
        """Raises Stop where the output table has other columns than these rows: whose matter it is depends on which."""
        sink, there = self._sink, self._sink.schema
        if there is None:
            return
        now = {field.name: field.type for field in schema}
        for field in there:
            kind = now.pop(field.name, None)
            if kind is None and field.nullable:
                continue
            if kind is None or kind != field.type:
                own = field.name in (scorer.answers or {})
                said = f"column {field.name!r} of {sink.uri} is {field.type}, and the rows have {kind or 'none'}"
                raise Stop(VERSION if own else OUTPUT, f"v{scorer.release.version}: {said}." if own else f"{said}.")
        if now:
            own = bool(now.keys() & (scorer.answers or {}).keys())
            raise Stop(VERSION if own else OUTPUT, f"{sink.uri} has no column {', '.join(map(repr, now))}.")

    def _tell(self, scorer: Scorer, chunk: Chunk, took: float) -> None:
        sink, rows = self._sink, chunk.table.num_rows
        self._told(scorer.release, rows, sink.version, took, position=place(chunk.after), output_id=sink.id)
