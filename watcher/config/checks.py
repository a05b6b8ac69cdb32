"""What has to fit together across the file. Each check looks at plain values, so it runs whatever else is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from watcher.config import units
from watcher.config.document import MISSING, Document
from watcher.config.errors import did_you_mean
from watcher.config.kinds import COMPARING, MIRRORING, REQUIRED, SHAPES, complete
from watcher.config.matching import filled
from watcher.config.model import EvaluationJob
from watcher.config.references import ALONE
from watcher.config.shape import check
from watcher.config.targets import TARGETS
from watcher.config.ways import PlaceOf, Shapes, Way, shape_of, written
from watcher.errors import UserError
from watcher.text import plain
from watcher.values import Kind

BUILT_IN_ROLLOUT = "default"
_JOB_KEYS = frozenset(EvaluationJob.model_fields)


def check_all(document: Document, shapes: Shapes, place: PlaceOf, folder: Path) -> None:
    """Note every mistake that one key alone does not show."""
    policies_agree(document)
    what_is_measured_is_named(document)
    runners_are_complete(document)
    rollouts_agree(document)
    models_are_named_once(document)
    names_exist(document)
    winners_have_somewhere_to_go(document)
    endpoints_can_mirror(document)
    targets_are_complete(document, shapes)
    places_serve_one_model(document, place, folder)
    addresses_are_kept_out(document)


def addresses_are_kept_out(document: Document) -> None:
    """Addresses of notifications hold secrets in forms that nobody can list, so none may stand in the file."""
    urls = document.get("notify", "urls")
    for index in range(len(urls) if isinstance(urls, list) else 0):
        way = ("notify", "urls", index)
        if not re.fullmatch(ALONE, document.texts.get(way, "")):
            document.mistake(way, "such an address is a secret; write a reference such as ${NOTIFY_URL} in its place")


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


def what_is_measured_is_named(document: Document) -> None:
    """What only an evaluation can say is asked of metrics and slices that are evaluated."""
    for way, policy in _entries(document, "policies"):
        given = policy.get("evaluate")
        evaluate: Mapping[str, Any] = given if isinstance(given, dict) else {}
        metrics = [name for name in _listed(evaluate, "metrics") if isinstance(name, str)]
        columns = [each.get("column") for each in _listed(evaluate, "slices") if isinstance(each, dict)]
        compared = [((*way, "primary"), policy.get("primary"))]
        compared += [((*way, "guards", place), each) for place, each in enumerate(_listed(policy, "guards"))]
        for inner, each in compared:
            if isinstance(each, dict):
                _measured(document, inner, each, metrics, columns)


RUNNERS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = MappingProxyType(
    {
        "local": (frozenset(), frozenset()),
        "spark": (frozenset(), frozenset({"master"})),
        "azureml": (frozenset({"workspace", "compute", "environment"}), frozenset()),
        "databricks": (frozenset({"job_id"}), frozenset({"host", "profile"})),
    }
)
"""Keys of `evaluate.job` that a runner needs, and those that it takes."""
MASTER = r"local(\[(\*|[1-9]\d{0,3})\])?|spark://[^\s,/:]+:\d{1,5}(,[^\s,/:]+:\d{1,5})*"
HERE = frozenset({"local", "spark"})
"""Runners that read the holdout and keep their results on the watcher's machine."""


def runners_are_complete(document: Document) -> None:
    """Each runner is told what it needs, and nothing that it takes no notice of."""
    for policy_way, policy in _entries(document, "policies"):
        evaluate, way = policy.get("evaluate"), (*policy_way, "evaluate")
        if not isinstance(evaluate, dict):
            continue
        runner = evaluate.get("runner", "local")
        if runner not in RUNNERS:
            continue
        needed, taken = RUNNERS[runner]
        given = evaluate.get("job")
        job = given if isinstance(given, dict) else {}
        if given is not None and not needed | taken:
            document.mistake((*way, "job"), f"the runner {runner} runs no job of yours; leave it out")
        for key in sorted(needed - job.keys()):
            document.mistake((*way, "job", key), f"the key is missing; the runner {runner} needs it")
        for key in sorted(job.keys() & _JOB_KEYS - needed - taken if needed | taken else ()):
            document.mistake((*way, "job", key), f"the runner {runner} takes no such key; leave it out")
        _has_a_home(document, way, str(runner), evaluate)


def _has_a_home(document: Document, way: Way, runner: str, evaluate: Mapping[str, Any]) -> None:
    """Requests, results and rows lie where the runner reaches them."""
    home, data = evaluate.get("home"), evaluate.get("data")
    if runner in HERE and home is not None:
        document.mistake((*way, "home"), f"the runner {runner} keeps its results beside the settings; leave it out")
    if runner == "databricks" and not re.fullmatch(r"/Volumes(/[^/]+){3,}/?", str(home or "")):
        shown = f"{document.shown((*way, 'home'))} is none; " if home else ""
        problem = "the runner databricks needs a folder of a volume"
        document.mistake((*way, "home"), f"{shown}{problem}: /Volumes/CATALOG/SCHEMA/VOLUME/FOLDER")
    if runner == "azureml":
        _of_a_workspace(document, way, evaluate)
    if runner == "spark":
        _master_is_known(document, way, evaluate)
    uri = data.get("uri") if isinstance(data, dict) else None
    if runner not in HERE and isinstance(uri, str) and not re.match(r"[a-z][\w+.-]*:|/Volumes/", uri):
        problem = f"{document.shown((*way, 'data', 'uri'))} is a place on this machine; the runner {runner} needs one"
        document.mistake((*way, "data", "uri"), f"{problem} that its jobs reach")


def _master_is_known(document: Document, way: Way, evaluate: Mapping[str, Any]) -> None:
    job = evaluate.get("job")
    master = job.get("master") if isinstance(job, dict) else None
    if isinstance(master, str) and master is not MISSING and not re.fullmatch(MASTER, master):
        shown = document.shown((*way, "job", "master"))
        document.mistake((*way, "job", "master"), f"{shown} is none; write local[*], local[N] or spark://HOST:PORT")


def _of_a_workspace(document: Document, way: Way, evaluate: Mapping[str, Any]) -> None:
    """What Azure ML would refuse later."""
    job, home = evaluate.get("job"), evaluate.get("home")
    given: Mapping[str, Any] = job if isinstance(job, dict) else {}
    for key, pattern, wanted in (
        ("workspace", r"/subscriptions/.+|[^/]+/[^/]+/[^/]+", "SUBSCRIPTION/RESOURCE-GROUP/NAME"),
        ("environment", r"(azureml:)?[^:/@]+:[^:/@]+", "NAME:VERSION"),
    ):
        text = given.get(key)
        if isinstance(text, str) and text is not MISSING and not re.fullmatch(pattern, text):
            document.mistake((*way, "job", key), f"{document.shown((*way, 'job', key))} is none; write {wanted}")
    if isinstance(home, str) and not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", home):
        problem = f"{document.shown((*way, 'home'))} is none; write a path in the workspace's own store such as watcher"
        document.mistake((*way, "home"), problem)
    data = evaluate.get("data")
    uri = data.get("uri") if isinstance(data, dict) else None
    if isinstance(uri, str) and re.match(r"azureml:(?![^:@/]+(:[^:@/]+|@latest)$)", uri):
        problem = (
            f"{document.shown((*way, 'data', 'uri'))} names no data asset; write azureml:NAME:VERSION or NAME@latest"
        )
        document.mistake((*way, "data", "uri"), problem)


def _measured(document: Document, way: Way, given: Mapping[str, Any], metrics: list[str], columns: list[Any]) -> None:
    """One metric that decides or is guarded."""
    name = given.get("metric")
    for key in ("confidence", "non_inferior", "each"):
        if given.get(key) is not None and name not in metrics:
            shown = document.shown((*way, "metric"))
            document.mistake((*way, key), f"needs a metric that is measured; put {shown} into evaluate.metrics")
    if given.get("each") is not None and given["each"] not in columns:
        problem = f"{document.shown((*way, 'each'))} is no column of evaluate.slices; add it there"
        document.mistake((*way, "each"), problem)
    if given.get("non_inferior") is not None and given.get("min_gain") is not None:
        document.mistake((*way, "non_inferior"), "write either min_gain or non_inferior")
    if isinstance(name, str) and name in metrics:
        better = _better(name)
        if better is not None and given.get("better", "higher") != better:
            document.mistake((*way, "better"), f"{plain(name, 80)} is better {better}; write better: {better}")


def _better(name: str) -> str | None:
    """Which way a metric that is measured points, None where it is not known: that is another mistake."""
    from evaluation.statistics import NotComparable, metric

    try:
        return metric(name).better
    except NotComparable:
        return None


def _listed(given: Mapping[str, Any], key: str) -> list[Any]:
    found = given.get(key)
    return found if isinstance(found, list) else []


def rollouts_agree(document: Document) -> None:
    """One way to probe, and a deadline that the mirror and all canary steps fit into; what differs is of a mirror."""
    for way, rollout in _entries(document, "rollouts"):
        probe = rollout.get("probe")
        if isinstance(probe, dict) and not probe.keys() - {"example", "file"} and len(probe) != 1:
            document.mistake((*way, "probe"), "write either example: model or file: NAME")
        analysis = rollout.get("analysis")
        if isinstance(analysis, dict) and analysis.get("max_disagreement") is not None and not rollout.get("mirror"):
            problem = "needs answers to compare; write mirror: 20 into the rollout, or leave this out"
            document.mistake((*way, "analysis", "max_disagreement"), problem)
        try:
            bake = units.seconds(rollout.get("bake", "15m"))
            deadline = units.seconds(rollout.get("deadline", "2h"))
        except ValueError:
            continue
        steps, mirrors = rollout.get("canary", [10, 50, 100]), bool(rollout.get("mirror"))
        if isinstance(steps, list) and bake * (len(steps) + mirrors) >= deadline:
            what = f"{'a mirror and ' * mirrors}{len(steps)} canary steps"
            problem = f"{what} of {bake:g} s each do not fit into the deadline of {deadline:g} s"
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


def endpoints_can_mirror(document: Document) -> None:
    """A rollout that mirrors requests goes to endpoints that can; of kinds that are not known here `check` says so."""
    mirroring = {way[1]: rollout for way, rollout in _entries(document, "rollouts") if rollout.get("mirror")}
    for way, model in _models(document):
        name = model.get("rollout")
        if not isinstance(name, str) or name not in mirroring:
            continue
        for inner, target in _targets(way, model):
            kind = target.get("kind")
            if isinstance(kind, str) and SHAPES.get(kind) is Kind.ENDPOINT:
                problem = _cannot_mirror(kind, target, mirroring[name])
                if problem:
                    document.mistake((*inner, "kind"), f"{problem.format(plain(name, 80))}")


def _cannot_mirror(kind: str, target: Mapping[str, Any], rollout: Mapping[str, Any]) -> str | None:
    """Why an endpoint cannot follow a rollout that mirrors, with a place for the rollout's name; None where it can."""
    without = "give this model a rollout without mirror"
    if kind not in MIRRORING or (kind == "azureml-online" and target.get("compute")):
        where = " on Kubernetes" if kind in MIRRORING else ""
        return f"a target of kind {kind}{where} cannot mirror requests, and the rollout {{}} does; {without}"
    share, analysis = rollout.get("mirror"), rollout.get("analysis")
    if isinstance(share, int) and share > MIRRORING[kind]:
        return f"a target of kind {kind} mirrors {MIRRORING[kind]} % at most, and the rollout {{}} {share}; lower it"
    compares = isinstance(analysis, dict) and analysis.get("max_disagreement") is not None
    if compares and kind not in COMPARING:
        return f"a target of kind {kind} compares no answers, and the rollout {{}} has max_disagreement; leave it out"
    return None


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
            elif kind in TARGETS:
                check(document, target, TARGETS[kind], inner)
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
