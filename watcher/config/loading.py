"""From the file to frozen settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from watcher import policy, settings, values
from watcher.config import model
from watcher.config.checks import BUILT_IN_ROLLOUT, check_all
from watcher.config.document import read
from watcher.config.errors import ConfigError
from watcher.config.shape import whole_file
from watcher.config.ways import PlaceOf, Shapes


def load_file(path: Path, environ: Mapping[str, str], shapes: Shapes, place: PlaceOf) -> settings.Settings:
    """See `watcher.config.load`."""
    document = read(path, environ)
    folder = path.absolute().parent
    file = whole_file(document)
    check_all(document, shapes, place, folder)
    if file is None or document.mistakes:
        raise ConfigError(list(dict.fromkeys(document.mistakes)))
    return _settings(file, folder)


def _settings(file: model.File, folder: Path) -> settings.Settings:
    uri = _store(file.registry.uri, folder)
    tracking_uri = _store(file.registry.tracking_uri, folder) if file.registry.tracking_uri else uri
    built_in = {BUILT_IN_ROLLOUT: values.Rollout(BUILT_IN_ROLLOUT)}
    return settings.Settings(
        owner=file.owner,
        registry=settings.RegistrySettings(uri, tracking_uri, file.registry.marks),
        ledger=file.ledger,
        policies={name: _policy(name, each) for name, each in file.policies.items()},
        rollouts=built_in | {name: _rollout(name, each, folder) for name, each in file.rollouts.items()},
        models=tuple(_rule(each) for each in file.models),
        poll=settings.Poll(file.poll.changes, file.poll.marks, file.poll.evidence, file.poll.resync),
        limits=settings.Limits(file.limits.rollouts_at_once),
        folder=folder,
    )


def _policy(name: str, given: model.Policy) -> policy.Policy:
    primary, approval = given.primary, given.approval
    return policy.Policy(
        primary=policy.Primary(
            primary.metric, policy.Better(primary.better), primary.min_gain.value, primary.min_gain.relative
        ),
        name=name,
        floors=dict(given.floors),
        ceilings=dict(given.ceilings),
        guards=tuple(
            policy.Guard(guard.metric, guard.max_drop.value, policy.Better(guard.better), guard.max_drop.relative)
            for guard in given.guards
        ),
        evidence=policy.EvidenceRules(policy.SameData(given.evidence.same_data), given.evidence.wait_at_most),
        flavors=tuple(given.flavors),
        signature=given.signature,
        min_age=given.min_age,
        approval=policy.Approval(approval.tag, approval.expires) if approval else None,
    )


def _rollout(name: str, given: model.Rollout, folder: Path) -> values.Rollout:
    analysis = given.analysis
    return values.Rollout(
        name=name,
        canary=tuple(given.canary),
        bake=given.bake,
        analysis=values.Analysis(
            analysis.min_requests, analysis.max_error_increase, analysis.max_p95_ratio, analysis.no_traffic
        ),
        probe_file=str(folder / given.probe.file) if given.probe.file else None,
        keep_warm=given.keep_warm,
        deadline=given.deadline,
    )


def _rule(given: model.Model) -> settings.ModelRule:
    return settings.ModelRule(
        name=given.name,
        match=given.match,
        mode=values.Mode(given.mode),
        policy=given.policy,
        rollout=given.rollout,
        targets=tuple(_target(target) for target in given.targets),
    )


def _target(given: model.Target) -> Mapping[str, object]:
    raw = given.model_dump()
    if given.kind != "local-endpoint":
        return raw
    return raw | model.LocalEndpoint.model_validate(raw).model_dump(exclude_unset=True)


def _store(uri: str, folder: Path) -> str:
    """A store on the own disk, absolute: MLflow would begin at whatever folder the process was started in."""
    found = re.fullmatch(r"sqlite:///([^/].*)", uri)
    if found and not found[1].startswith(":memory:"):
        return f"sqlite:///{folder / found[1]}"
    return str(folder / uri) if uri.startswith(("./", "../")) else uri
