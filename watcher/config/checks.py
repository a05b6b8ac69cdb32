"""What has to fit together across the file. Each check looks at plain values, so it runs whatever else is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from watcher.config import units
from watcher.config.document import MISSING, Document
from watcher.config.errors import did_you_mean
from watcher.config.kinds import REQUIRED, SHAPES, complete
from watcher.config.matching import filled
from watcher.config.model import LocalEndpoint
from watcher.config.shape import check
from watcher.config.ways import PlaceOf, Shapes, Way, shape_of, written
from watcher.errors import UserError

BUILT_IN_ROLLOUT = "default"


def check_all(document: Document, shapes: Shapes, place: PlaceOf, folder: Path) -> None:
    """Note every mistake that one key alone does not show."""
    policies_agree(document)
    rollouts_agree(document)
    models_are_named_once(document)
    names_exist(document)
    winners_have_somewhere_to_go(document)
    targets_are_complete(document, shapes)
    places_serve_one_model(document, place, folder)


def policies_agree(document: Document) -> None:
    """A floor is not above the ceiling of the same metric."""
    for way, policy in _entries(document, "policies"):
        floors, ceilings = policy.get("floors"), policy.get("ceilings")
        if not isinstance(floors, dict) or not isinstance(ceilings, dict):
            continue
        for metric in floors.keys() & ceilings.keys():
            floor, ceiling = floors[metric], ceilings[metric]
            if isinstance(floor, int | float) and isinstance(ceiling, int | float) and floor > ceiling:
                document.mistake((*way, "floors", metric), f"the floor {floor} is above the ceiling {ceiling}")


def rollouts_agree(document: Document) -> None:
    """One way to probe, and a deadline that all canary steps fit into."""
    for way, rollout in _entries(document, "rollouts"):
        probe = rollout.get("probe")
        if isinstance(probe, dict) and not probe.keys() - {"example", "file"} and len(probe) != 1:
            document.mistake((*way, "probe"), "write either example: model or file: NAME")
        try:
            bake = units.seconds(rollout.get("bake", "15m"))
            deadline = units.seconds(rollout.get("deadline", "2h"))
        except ValueError:
            continue
        steps = rollout.get("canary", [10, 50, 100])
        if isinstance(steps, list) and bake * len(steps) >= deadline:
            problem = f"{len(steps)} canary steps of {bake:g} s each do not fit into the deadline of {deadline:g} s"
            document.mistake((*way, "deadline" if "deadline" in rollout else "bake"), problem)


def models_are_named_once(document: Document) -> None:
    """Each entry has a name or a pattern, and none has another's."""
    seen: dict[tuple[str, str], Way] = {}
    for way, model in _models(document):
        given = [key for key in ("name", "match") if model.get(key) is not None]
        if len(given) != 1:
            document.mistake(way, "write name and match in two entries" if given else "write a name or a match")
        for key in given:
            value = model[key]
            if not isinstance(value, str) or value is MISSING:
                continue
            first = seen.setdefault((key, value), way)
            if first != way:
                document.mistake((*way, key), f"{document.shown((*way, key))} is already in {written(first)}; keep one")


def names_exist(document: Document) -> None:
    """The policy and the rollout of a model are defined."""
    for key, section, built_in in (("policy", "policies", ()), ("rollout", "rollouts", (BUILT_IN_ROLLOUT,))):
        defined = document.get(section)
        known = {*built_in, *(defined if isinstance(defined, dict) else ())}
        for way, model in _models(document):
            name = model.get(key)
            if isinstance(name, str) and name is not MISSING and name not in known:
                problem = f"{document.shown((*way, key))} is not a {key}{did_you_mean(name, known)}"
                document.mistake((*way, key), problem)


def winners_have_somewhere_to_go(document: Document) -> None:
    """Only a model that is merely advised on may be without targets."""
    for way, model in _models(document):
        if model.get("mode", "deploy") != "advise" and not model.get("targets"):
            document.mistake(way, "name at least one target, or write mode: advise")


def targets_are_complete(document: Document, shapes: Shapes) -> None:
    """Kinds are known, what a kind needs is there, and names are one target's own."""
    for way, model in _models(document):
        seen: dict[str, Way] = {}
        for inner, target in _targets(way, model):
            name, kind = target.get("name"), target.get("kind")
            if isinstance(name, str) and seen.setdefault(name, inner) != inner:
                shown = document.shown((*inner, "name"))
                document.mistake((*inner, "name"), f"{shown} is the name of another target of this model")
            if not isinstance(kind, str) or kind is MISSING:
                continue
            if shape_of(shapes, kind) is None:
                known = shapes if isinstance(shapes, Mapping) else [name for name in SHAPES if shape_of(shapes, name)]
                problem = f"{document.shown((*inner, 'kind'))} is not a kind of target{did_you_mean(kind, known)}"
                document.mistake((*inner, "kind"), problem)
            elif kind == "local-endpoint":
                check(document, target, LocalEndpoint, inner)
            else:
                for key in REQUIRED.get(kind, ()):
                    if target.get(key) in (None, ""):
                        document.mistake((*inner, key), f"the key is missing; a target of kind {kind} needs it")


def places_serve_one_model(document: Document, place: PlaceOf, folder: Path) -> None:
    """No place is served by two entries, nor by all models of a pattern."""
    seen: dict[str, Way] = {}
    for way, model in _models(document):
        for inner, target in _targets(way, model):
            if any(mistake.key.startswith(written(inner)) for mistake in document.mistakes):
                continue
            name = model.get("name")
            try:
                where = _place(target, str(name or model.get("match")), place, folder)
                fixed = not name and _place(target, "a", place, folder) == _place(target, "b", place, folder)
            except UserError as error:
                document.mistake(inner, str(error))
                continue
            if fixed:
                problem = "every model that matches would be served at this one place; put {model_slug} into it"
                document.mistake(inner, problem)
            first = seen.setdefault(where, inner)
            if first != inner:
                document.mistake(inner, f"this is the same place as {written(first)}; a place serves one model")


def _place(target: Mapping[str, Any], model: str, place: PlaceOf, folder: Path) -> str:
    own = {key: filled(value, model) for key, value in target.items() if key not in ("name", "kind")}
    kind = str(target["kind"])
    return place(kind, complete(kind, own, folder))


def _entries(document: Document, section: str) -> Iterator[tuple[Way, Mapping[str, Any]]]:
    entries = document.get(section)
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict):
            yield (section, name), entry


def _models(document: Document) -> Iterator[tuple[Way, Mapping[str, Any]]]:
    models = document.get("models")
    for index, model in enumerate(models if isinstance(models, list) else ()):
        if isinstance(model, dict):
            yield ("models", index), model


def _targets(way: Way, model: Mapping[str, Any]) -> Iterator[tuple[Way, Mapping[str, Any]]]:
    targets = model.get("targets")
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        if isinstance(target, dict):
            yield (*way, "targets", index), target
