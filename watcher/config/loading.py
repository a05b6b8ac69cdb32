"""From the file to frozen settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from watcher import evaluations, policy, settings, values
from watcher.config import model, windows
from watcher.config.checks import BUILT_IN_ROLLOUT, check_all
from watcher.config.document import read
from watcher.config.errors import ConfigError
from watcher.config.shape import whole_file
from watcher.config.targets import TARGETS
from watcher.config.ways import PlaceOf, Shapes
from watcher.news import News
from watcher.registry.dialects import tracking_of


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
    tracking_uri = _store(file.registry.tracking_uri, folder) if file.registry.tracking_uri else tracking_of(uri)
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
        notify=_notify(file.notify),
        folder=folder,
    )


def _notify(given: model.Notify | None) -> settings.Notify:
    if given is None:
        return settings.Notify()
    return settings.Notify(tuple(map(str, given.urls)), frozenset(map(News, given.events)))


def _policy(name: str, given: model.Policy) -> policy.Policy:
    primary, approval = given.primary, given.approval
    return policy.Policy(
        primary=policy.Primary(
            primary.metric,
            policy.Better(primary.better),
            primary.min_gain.value,
            primary.min_gain.relative,
            primary.confidence,
            primary.non_inferior,
        ),
        name=name,
        floors=dict(given.floors),
        ceilings=dict(given.ceilings),
        guards=tuple(
            policy.Guard(
                guard.metric, guard.max_drop.value, policy.Better(guard.better), guard.max_drop.relative, guard.each
            )
            for guard in given.guards
        ),
        evidence=policy.EvidenceRules(policy.SameData(given.evidence.same_data), given.evidence.wait_at_most),
        flavors=tuple(given.flavors),
        signature=given.signature,
        min_age=given.min_age,
        approval=policy.Approval(approval.tag, approval.expires) if approval else None,
        evaluate=_evaluate(given.evaluate) if given.evaluate else None,
        change_window=_window(given.change_window) if given.change_window else None,
    )


def _evaluate(given: model.Evaluate) -> evaluations.Evaluate:
    data = given.data
    return evaluations.Evaluate(
        data=evaluations.Holdout(data.uri, data.format, data.version),
        target=given.target,
        metrics=tuple(given.metrics),
        slices=tuple(evaluations.Slice(each.column, each.min_rows) for each in given.slices),
        group=given.group,
        runner=given.runner,
        max_rows=given.max_rows,
        max_overlap=given.max_overlap,
        memory=given.memory,
        timeout=given.timeout,
        home=(given.home or "").rstrip("/"),
        job=given.job.model_dump(exclude_none=True) if given.job else values.NOTHING,
    )


def _window(given: model.ChangeWindow) -> windows.Window:
    freezes = tuple((each.first, each.last) for each in given.freezes)
    return windows.Window(given.days, given.from_, given.to, given.zone, freezes)


def _rollout(name: str, given: model.Rollout, folder: Path) -> values.Rollout:
    analysis = given.analysis
    return values.Rollout(
        name=name,
        mirror=given.mirror,
        canary=tuple(given.canary),
        bake=given.bake,
        analysis=values.Analysis(
            analysis.min_requests,
            analysis.max_error_increase,
            analysis.max_p95_ratio,
            analysis.no_traffic,
            analysis.max_disagreement,
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
    block = TARGETS.get(given.kind)
    return raw if block is None else raw | block.model_validate(raw).model_dump(exclude_unset=True)


def _store(uri: str, folder: Path) -> str:
    """A store on the own disk, absolute: MLflow would begin at whatever folder the process was started in."""
    found = re.fullmatch(r"sqlite:///([^/].*)", uri)
    if found and not found[1].startswith(":memory:"):
        return f"sqlite:///{folder / found[1]}"
    return str(folder / uri) if uri.startswith(("./", "../")) else uri
