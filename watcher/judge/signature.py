"""Whether whoever calls the champion can call this version in the same way, and gets the same kind of answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from watcher.judge.case import Case, champion_unread, no_champion, no_objection, not_asked_for
from watcher.text import plain
from watcher.values import Artifacts, Call, Column, EvidenceOf, Finding, Signature

WIDER = {"integer": frozenset({"long", "double"}), "long": frozenset({"double"}), "float": frozenset({"double"})}
"""Input types that hold every value of another. Over JSON, MLflow narrows without a word: 2**40 as integer is 0."""

WIDER_PARAM = {
    "integer": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
}


def signature_accepts(case: Case) -> Finding:
    """The signature accepts what the champion's accepts, and declares what the champion's returns.

    A first version, and one after a champion without a signature, may come without one: nobody relies on any yet.
    """
    rule = "signature_accepts"
    if not case.policy.signature:
        return not_asked_for(rule)
    if case.champion is None:
        missing = case.known.signature is None
        return replace(no_champion(rule), measured="no signature") if missing else no_champion(rule)
    if unread := champion_unread(case, rule):
        return unread
    theirs = case.champion_evidence or EvidenceOf(case.champion.identity)
    if theirs.signature is None:
        return _none_on_champion(theirs.artifacts)
    return _compared(case.known.signature, theirs.signature)


def _none_on_champion(artifacts: Artifacts) -> Finding:
    rule = "signature_accepts"
    if artifacts is Artifacts.PRESENT:
        return no_objection(rule, detail="The champion has no signature to be compared with.")
    lost = artifacts is Artifacts.ABSENT
    detail = "The champion's artifacts are gone." if lost else "The champion's artifacts were not read."
    return Finding(rule, Call.WAITS, "champion_incomparable" if lost else "champion_evidence_missing", detail=detail)


def _compared(mine: Signature | None, theirs: Signature) -> Finding:
    rule = "signature_accepts"
    if mine is None:
        return Finding(rule, Call.INVALID, "signature_missing", "no signature", "one that accepts the champion's input")
    if breaks := _first_few(_broken_inputs(mine, theirs)):
        return Finding(rule, Call.INVALID, "input_refused", bound="accepts the champion's input", detail=breaks)
    if breaks := _first_few(_broken_outputs(mine, theirs)):
        return Finding(rule, Call.INVALID, "output_changed", bound="answers as the champion does", detail=breaks)
    return no_objection(rule)


def _first_few(sentences: Iterator[str], most: int = 3) -> str:
    found = list(sentences)
    more = f" And {len(found) - most} more." if len(found) > most else ""
    return " ".join(found[:most]) + more


def _broken_inputs(mine: Signature, theirs: Signature) -> Iterator[str]:
    yield from _broken_fields(mine.inputs, theirs.inputs)
    params = {p.name: p for p in mine.params}
    for old in theirs.params:
        new = params.get(old.name)
        if new is None:
            yield f"Parameter {_called(old)} is gone: it would be ignored without a word."
        elif new.type != old.type and new.type not in WIDER_PARAM.get(old.type, ()):
            yield f"Parameter {_called(old)} was {plain(old.type)}, is {plain(new.type)}."


def _broken_fields(mine: tuple[Column, ...], theirs: tuple[Column, ...]) -> Iterator[str]:
    if _named(mine) != _named(theirs):
        yield "Fields are named now and were not." if _named(mine) else "Fields were named and are not now."
        return
    yield from _broken_named(mine, theirs) if _named(mine) else _broken_unnamed(mine, theirs)


def _broken_unnamed(mine: tuple[Column, ...], theirs: tuple[Column, ...]) -> Iterator[str]:
    # Without names nobody can tell which field was dropped or added, so their count has to stay.
    if len(mine) != len(theirs):
        yield f"There were {len(theirs)} unnamed fields, there are {len(mine)}."
    for place, (new, old) in enumerate(zip(mine, theirs, strict=False), start=1):
        if not _takes(new, old):
            yield f"Field {place} was {plain(old.type)}, is {plain(new.type)}."


def _broken_named(mine: tuple[Column, ...], theirs: tuple[Column, ...]) -> Iterator[str]:
    before = {c.name: c for c in theirs}
    for new in mine:
        had = before.get(new.name)
        if had is None:
            if new.required:
                yield f"Field {_called(new)} is required now and was not there."
        elif new.required and not had.required:
            yield f"Field {_called(new)} is required now and was optional."
        elif not _takes(new, had):
            yield f"Field {_called(new)} was {plain(had.type)}, is {plain(new.type)}."


def _broken_outputs(mine: Signature, theirs: Signature) -> Iterator[str]:
    if theirs.outputs is None:
        return
    if mine.outputs is None:
        yield "It does not declare what it returns, and the champion does."
        return
    if _named(mine.outputs) != _named(theirs.outputs):
        yield "Outputs are named now and were not." if _named(mine.outputs) else "Outputs were named and are not now."
        return
    if not _named(theirs.outputs):
        if [c.type for c in mine.outputs] != [c.type for c in theirs.outputs]:
            yield f"Outputs were {_types(theirs.outputs)}, are {_types(mine.outputs)}."
        return
    now = {c.name: c for c in mine.outputs}
    for old in theirs.outputs:
        new = now.get(old.name)
        if new is None:
            yield f"Output {_called(old)} is gone."
        elif new.type != old.type:
            yield f"Output {_called(old)} was {plain(old.type)}, is {plain(new.type)}."
        elif old.required and not new.required:
            yield f"Output {_called(old)} may be missing now."


def _takes(new: Column, old: Column) -> bool:
    return new.type == old.type or new.type in WIDER.get(old.type, ())


def _named(columns: tuple[Column, ...]) -> bool:
    return any(c.name is not None for c in columns)


def _called(column: Column) -> str:
    return f"`{plain(column.name, 100)}`"


def _types(columns: tuple[Column, ...]) -> str:
    return plain("(" + ", ".join(c.type for c in columns[:20]) + ")")
