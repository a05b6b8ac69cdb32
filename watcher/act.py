"""One step, as one verb of one port."""

from __future__ import annotations

from dataclasses import replace

from watcher.errors import Terminal
from watcher.gather import Sources
from watcher.ports import mirrors
from watcher.snapshot import Snapshot, TargetView, evaluation_of
from watcher.text import without_secrets
from watcher.values import Observed, Probe, Release, Step, Verb, Version


def act(step: Step, snapshot: Snapshot, sources: Sources) -> Probe | None:
    """Take the step; the probe's answer where it was one. Raises Transient, Terminal or Conflict."""
    name, marks, registry = snapshot.watched.name, snapshot.marks, sources.registry
    match step:
        case Step(verb=Verb.ACKNOWLEDGE | Verb.WRITE_CROWN, crown=crown) if crown is not None:
            registry.write_crown(name, crown, marks)
        case Step(verb=Verb.CROWN, crown=crown, version=int(version)) if crown is not None:
            registry.crown(name, version, crown, marks)
        case Step(verb=Verb.NOMINATE, version=int(version)):
            registry.challenge(name, version, marks)
        case Step(verb=Verb.UNMARK):
            registry.challenge(name, None, marks)
        case Step(verb=Verb.TAG, version=int(version)):
            registry.tag(name, version, step.call, _version(snapshot, step).call)
        case Step(verb=Verb.EVALUATE):
            _evaluate(step, snapshot, sources)
        case _:
            return _on_target(step, snapshot, sources)
    return None


def _evaluate(step: Step, snapshot: Snapshot, sources: Sources) -> None:
    asked = evaluation_of(snapshot.watched, snapshot.record, _version(snapshot, step), snapshot.champion)
    if asked is None or sources.evaluator is None:
        raise Terminal(f"step {step.slot!r} cannot be taken: nothing here evaluates")
    sources.evaluator.start(asked)


def _on_target(step: Step, snapshot: Snapshot, sources: Sources) -> Probe | None:
    view = _view(snapshot, step.target)
    deployer = sources.deployers[view.target.kind]
    token = view.seen.token if isinstance(view.seen, Observed) else ""
    match step:
        case Step(verb=Verb.LAUNCH, release=str(release)):
            deployer.launch(Release(view.target, release, _version(snapshot, step)))
        case Step(verb=Verb.PROBE, release=str(release)) if snapshot.example is not None:
            probe = deployer.probe(Release(view.target, release, _version(snapshot, step)), snapshot.example)
            return replace(probe, detail=without_secrets(probe.detail))
        case Step(verb=Verb.MIRROR, release=str(release)) if mirrors(deployer):
            deployer.mirror(view.target, release, step.weights[release], token)
        case Step(verb=Verb.SHIFT):
            deployer.shift(view.target, step.weights, token)
        case Step(verb=Verb.RETIRE, release=str(release)):
            deployer.retire(view.target, release)
        case _:
            raise Terminal(f"step {step.slot!r} cannot be taken")
    return None


def _view(snapshot: Snapshot, name: str | None) -> TargetView:
    return next(view for view in snapshot.targets if view.target.name == name)


def _version(snapshot: Snapshot, step: Step) -> Version:
    found = snapshot.version(step.version)
    if found is None:
        raise Terminal(f"v{step.version} was not read")
    return found
