"""From the settings and a model's name to everything they say about that model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from watcher.config.errors import ConfigError, Mistake
from watcher.config.kinds import SHAPES, complete, place
from watcher.config.ways import PlaceOf, Shapes, shape_of
from watcher.naming import LONGEST, slug
from watcher.settings import ModelRule, Settings, Watched
from watcher.text import plain, without_secrets
from watcher.values import Target


def watched(settings: Settings, model_name: str, shapes: Shapes = SHAPES, place: PlaceOf = place) -> Watched | None:
    """What the settings say about the model, None where they do not speak of it. A name beats a match.

    Raises ConfigError where two patterns match, or where the name cannot be put into a target.
    """
    rule = _rule(settings, model_name)
    if rule is None:
        return None
    return Watched(
        name=model_name,
        mode=rule.mode,
        policy=settings.policies[rule.policy],
        rollout=settings.rollouts[rule.rollout],
        targets=tuple(_target(settings, target, model_name, shapes, place) for target in rule.targets),
    )


def is_watched(settings: Settings, model_name: str) -> bool:
    """Whether the settings speak of the model at all; where they contradict themselves, `watched` says so.

    Asked of every model of a registry, so nothing is made of its targets.
    """
    return any(
        rule.name == model_name or (rule.match is not None and fnmatchcase(model_name, rule.match))
        for rule in settings.models
    )


def shared_places(
    settings: Settings, names: Iterable[str], shapes: Shapes = SHAPES, place: PlaceOf = place
) -> tuple[str, ...]:
    """One sentence for each place that two of the named models would share."""
    owners: dict[str, str] = {}
    found = []
    for name in names:
        entry = watched(settings, name, shapes, place)
        for target in entry.targets if entry else ():
            first = owners.setdefault(target.place, target.key)
            if first != target.key:
                both, where = f"{plain(target.key)} and {plain(first)}", plain(without_secrets(target.place))
                found.append(f"{both} are one place, {where}; a place serves one model: move one of them")
    return tuple(found)


def filled(value: Any, model: str) -> Any:
    """`{model}` and `{model_slug}` put in, wherever a string holds them."""
    if isinstance(value, str):
        words = {"{model}": model, "{model_slug}": short_slug(model)}
        return re.sub(r"\{model(_slug)?\}", lambda found: words[found[0]], value)
    if isinstance(value, list | tuple):
        return [filled(item, model) for item in value]
    if isinstance(value, Mapping):
        return {key: filled(item, model) for key, item in value.items()}
    return value


def short_slug(model: str) -> str:
    """The model's slug; one that had to be cut ends in six digits of the whole name, so that two stay two."""
    if len(slug(model, len(model) + 2)) <= LONGEST:
        return slug(model)
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{slug(model, LONGEST - 7)}-{digest}"


def _rule(settings: Settings, model: str) -> ModelRule | None:
    named = [rule for rule in settings.models if rule.name == model]
    if named:
        return named[0]
    matching = [rule for rule in settings.models if rule.match is not None and fnmatchcase(model, rule.match)]
    if len(matching) > 1:
        patterns = " and ".join(repr(plain(rule.match)) for rule in matching)
        problem = f"{plain(repr(model))} matches {patterns}; give it an entry of its own by name, or narrow a pattern"
        raise _mistake(settings, problem)
    return matching[0] if matching else None


def _target(settings: Settings, raw: Mapping[str, object], model: str, shapes: Shapes, place: PlaceOf) -> Target:
    name, kind = str(raw["name"]), str(raw["kind"])
    if _holds(raw, "{model}") and not re.fullmatch(r"(?!\.)[\w .-]+(?<!\.)", model):
        problem = f"{plain(repr(model))} cannot stand for {{model}} in the target {plain(name)}; write {{model_slug}}"
        raise _mistake(settings, problem)
    shape = shape_of(shapes, kind)
    if shape is None:
        raise _mistake(settings, f"{plain(repr(kind))} is not a kind of target; install what provides it")
    own = {key: filled(value, model) for key, value in raw.items() if key not in ("name", "kind")}
    full = complete(kind, own, settings.folder)
    return Target(name, kind, shape, model, settings.owner, place(kind, full), full)


def _holds(value: object, word: str) -> bool:
    if isinstance(value, str):
        return word in value
    if isinstance(value, Mapping):
        return any(_holds(item, word) for item in value.values())
    return isinstance(value, list | tuple) and any(_holds(item, word) for item in value)


def _mistake(settings: Settings, problem: str) -> ConfigError:
    return ConfigError([Mistake(str(settings.folder), None, "models", problem)])
