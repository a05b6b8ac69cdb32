"""What online and batch endpoints have in common: named deployments, owner tags, slow operations, no ETag."""

from __future__ import annotations

import abc
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deployers.azureml import marks
from deployers.azureml.assets import Assets, Parts, Serving
from deployers.azureml.azure import Azure, Family, Json
from deployers.azureml.checks import MOST_DEPLOYMENTS, full, problems
from deployers.azureml.marks import EndpointMarks
from deployers.azureml.places import Workspace, endpoint, workspace
from deployers.azureml.trouble import Absent, Busy, Refused, failure
from watcher.errors import Conflict, Terminal, Transient, UnderWay
from watcher.retry import Retry
from watcher.text import plain
from watcher.values import (
    Example,
    Mirrored,
    Observed,
    Probe,
    Release,
    SeenRelease,
    State,
    Target,
    Traffic,
    Version,
)

ABSENT = "absent"
"""Token of an endpoint that does not exist."""
ALL = 100
"""Percent."""
READ_BACK = 10.0
"""Seconds for which a write is read back; what is not to be seen by then is left to the next wake-up."""
UNSEEN = 180.0
"""Seconds for which a write of the traffic may stay invisible before what is read is believed."""
PAUSES = (1.0, 2.0, 4.0)
"""Seconds between the tries of a write to an endpoint that is busy."""
SLICE = 45.0
"""Seconds of a launch in which a model's files may be copied; the rest of the lease is for all else."""
FULL = 600.0
"""Seconds until an endpoint that has too many deployments is tried again."""
SOON = 15.0
"""Seconds until an endpoint that is changing is asked again."""
_STEADY = frozenset({"Succeeded", "Failed", "Canceled"})
_READ_ONLY = frozenset({"scoringUri", "swaggerUri", "provisioningState"})


class AzureEndpoints(abc.ABC):
    """Moves endpoints of one family. There is no ETag: it compares and then writes, under the lease."""

    family: Family
    serving: Serving

    atomic = False
    lease = 90.0

    def __init__(
        self,
        tracking_uri: str | None,
        credential: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tracking_uri = tracking_uri
        self._credential = credential or default_credential
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._azures: dict[Workspace, Azure] = {}

    def observe(self, target: Target) -> Observed:
        azure, name = self._azure(target), endpoint(target.settings)
        found = azure.endpoint(self.family, name)
        if found is None:
            return Observed(token=ABSENT)
        mine = marks.of_endpoint(tags_of(found))
        traffic = self._traffic(found)
        unseen = bool(mine.shares) and mine.shares != marks.digest(self._shares(found))
        moving = not _is_steady(found) or (unseen and self._clock() < (mine.since or 0.0) + UNSEEN)
        deployments = azure.deployments(self.family, name)
        problem = marks.foreign(mine, target)
        releases = [_seen(each, target, mine, traffic) for each in deployments if state_of(each) != "Deleting"]
        foreign_live = any(traffic.get(release.name) and not release.ours for release in releases)
        adopted = problem is not None or not foreign_live or mine.adopted is not None
        releases = [self._told(azure, release, deployments) for release in releases]
        copied: Mirrored | None = None
        if problem is None and any(release.ours and traffic.get(release.name) for release in releases):
            releases, copied = self._counted(azure, name, mine.since, releases, self._copies(found))
        token = _token(mine, self._shares(found))
        return Observed(tuple(releases), traffic, token, adopted, problem, moving, mirrored=copied, delayed=True)

    def launch(self, release: Release) -> None:
        ends = self._clock() + SLICE
        self._patiently(lambda: self._launch(release, lambda: ends - self._clock()))

    def _launch(self, release: Release, left: Callable[[], float]) -> None:
        target, name = release.target, endpoint(release.target.settings)
        azure = self._azure(target)
        if not self._ready(azure, name, target):
            raise UnderWay(f"the endpoint {name} is being made or changed", SOON)
        there = azure.deployment(self.family, name, release.name)
        if there is not None:
            if (
                not marks.is_ours(tags_of(there), target)
                or tags_of(there).get(marks.KEY) != release.version.identity.key
            ):
                raise Conflict(f"{release.name} is there with another identity or owner")
            if state_of(there) == "Deleting":
                raise Busy(f"{release.name} is still being deleted", SOON)
            if state_of(there) not in ("Failed", "Canceled"):
                return
        parts = Assets(azure, self._tracking_uri, self.serving, left).of(release)
        body = self._deployment(release, azure.location(), parts)
        try:
            self._write(azure, name, lambda: azure.put_deployment(self.family, name, release.name, body))
        except Refused:
            self._not_full(azure, name, release)
            raise

    def _not_full(self, azure: Azure, name: str, release: Release) -> None:
        """Raises Transient where a deployment is refused since there are too many: no version is to blame for that."""
        there = {str(each["name"]) for each in azure.deployments(self.family, name)} - {release.name}
        if len(there) >= MOST_DEPLOYMENTS:
            raise Transient(full(name, len(there)), FULL)

    def shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        self._patiently(lambda: self._shift(target, weights, seen))

    def _shift(self, target: Target, weights: Mapping[str, int], seen: str) -> None:
        azure, name = self._azure(target), endpoint(target.settings)
        found = azure.endpoint(self.family, name)
        if found is None:
            if weights or seen != ABSENT:
                raise Conflict(f"There is no endpoint {name} yet.")
            return
        mine = self._mine(found, target)
        self._same(name, found, mine, seen)
        wanted = {deployment: percent for deployment, percent in weights.items() if percent}
        if wanted and (sum(wanted.values()) != ALL or min(wanted.values()) < 0):
            raise Terminal(f"weights {dict(weights)} do not sum to 100")
        self._all_ready(azure, name, target, found, wanted)
        self._put_traffic(azure, name, found, mine, wanted)

    def _same(self, name: str, found: Json, mine: EndpointMarks, seen: str) -> None:
        if _token(mine, self._shares(found)) != seen:
            raise Conflict(f"{name} changed since it was seen")

    def _put_traffic(
        self,
        azure: Azure,
        name: str,
        found: Json,
        mine: EndpointMarks,
        traffic: Mapping[str, int],
        mirror: Mapping[str, int] | None = None,
    ) -> None:
        """Write live traffic and what is mirrored to a release of ours; copies to what is not ours stay as they are."""
        kept = {each: share for each, share in self._copies(found).items() if each not in (mine.mirror, *traffic)}
        copies = {**kept, **(mirror or {})}
        wanted = _shares(traffic, copies)
        moved = replace(mine, mirror=next(iter(mirror or {}), "")).moved(wanted, self._clock())
        body = self._endpoint_body(found, traffic=traffic, copies=copies, tags=moved.written(tags_of(found)))
        self._write(azure, name, lambda: azure.put_endpoint(self.family, name, body))
        self._read_back(lambda: self._shares(azure.endpoint(self.family, name) or {}) == wanted)

    def retire(self, target: Target, name: str) -> None:
        self._patiently(lambda: self._retire(target, name))

    def _retire(self, target: Target, name: str) -> None:
        azure, where = self._azure(target), endpoint(target.settings)
        found = azure.endpoint(self.family, where)
        there = azure.deployment(self.family, where, name) if found is not None else None
        if found is None or there is None:
            return
        if problem := marks.foreign(marks.of_endpoint(tags_of(found)), target):
            raise Conflict(problem)
        if not marks.is_ours(tags_of(there), target):
            raise Conflict(f"{name} was not made by this watcher: it is not deleted")
        if self._traffic(found).get(name):
            raise Conflict(f"{name} is live")
        if self._copies(found).get(name):
            mine = replace(marks.of_endpoint(tags_of(found)), mirror=name)
            self._put_traffic(azure, where, found, mine, self._traffic(found))
        if state_of(there) != "Deleting":
            self._write(azure, where, lambda: azure.delete_deployment(self.family, where, name))

    def adopt(self, target: Target, version: Version) -> None:
        self._patiently(lambda: self._adopt(target, version))

    def _adopt(self, target: Target, version: Version) -> None:
        azure, name = self._azure(target), endpoint(target.settings)
        found = azure.endpoint(self.family, name)
        if found is None:
            raise Terminal(f"There is no endpoint {name}: there is nothing to adopt.")
        mine, traffic = self._mine(found, target), self._traffic(found)
        ours = _ours(azure.deployments(self.family, name), target)
        live = sorted(traffic.keys() - ours)
        if not live:
            raise Terminal(f"{name} serves nothing that was made by hand: there is nothing to adopt.")
        if len(live) > 1:
            raise Terminal(f"{name} serves {', '.join(live)}: give one of them all the traffic first, then adopt.")
        lent = replace(
            mine, owner=target.owner, model=marks.fitting(target.model), adopted=(live[0], version.number)
        ).moved(self._shares(found), self._clock())
        body = self._endpoint_body(
            found, traffic=traffic, copies=self._copies(found), tags=lent.written(tags_of(found))
        )
        self._write(azure, name, lambda: azure.put_endpoint(self.family, name, body))

    def check(self, target: Target) -> Sequence[str]:
        return problems(self._azure(target), self.family, target)

    @abc.abstractmethod
    def probe(self, release: Release, example: Example) -> Probe:
        """See `Deployer`."""

    @abc.abstractmethod
    def _new_endpoint(self, target: Target, location: str, tags: Mapping[str, str]) -> Json:
        """Body of an endpoint that serves nothing yet."""

    @abc.abstractmethod
    def _deployment(self, release: Release, location: str, parts: Parts) -> Json:
        """Body of a deployment."""

    @abc.abstractmethod
    def _traffic(self, found: Json) -> dict[str, int]:
        """Deployment -> percent, only those above zero."""

    @abc.abstractmethod
    def _with_traffic(self, properties: Json, traffic: Mapping[str, int], copies: Mapping[str, int]) -> Json:
        """An endpoint's properties with other traffic, and other copies of it."""

    def _copies(self, found: Json) -> dict[str, int]:
        """Deployment -> percent of the live requests that are mirrored to it."""
        return {}

    def _shares(self, found: Json) -> dict[str, int]:
        """Everything about traffic that a write can change."""
        return _shares(self._traffic(found), self._copies(found))

    def _counted(
        self,
        azure: Azure,
        name: str,
        since: float | None,
        releases: Sequence[SeenRelease],
        copies: Mapping[str, int],
    ) -> tuple[list[SeenRelease], Mirrored | None]:
        """The releases with what they answered since the traffic was written, and one that is mirrored to."""
        return [replace(release, traffic=Traffic(available=False)) for release in releases], None

    def _endpoint_body(
        self, found: Json, *, traffic: Mapping[str, int], copies: Mapping[str, int], tags: Mapping[str, str]
    ) -> Json:
        """What is there, with other traffic and tags: a PUT replaces the whole endpoint."""
        properties = {key: value for key, value in (found.get("properties") or {}).items() if key not in _READ_ONLY}
        body: Json = {
            "location": found.get("location"),
            "tags": dict(tags),
            "properties": self._with_traffic(properties, traffic, copies),
        }
        body |= {key: found[key] for key in ("kind", "sku") if found.get(key)}
        identity = found.get("identity") or {}
        if identity.get("type"):
            body["identity"] = {"type": identity["type"]}
            if identity.get("userAssignedIdentities"):
                body["identity"]["userAssignedIdentities"] = {key: {} for key in identity["userAssignedIdentities"]}
        return body

    def _azure(self, target: Target) -> Azure:
        where = workspace(target.settings)
        with self._lock:
            if where not in self._azures:
                self._azures[where] = Azure(where, Retry(attempts=3, budget=20.0, sleep=self._sleep), self._credential)
            return self._azures[where]

    @staticmethod
    def _mine(found: Json, target: Target) -> EndpointMarks:
        mine = marks.of_endpoint(tags_of(found))
        if problem := marks.foreign(mine, target):
            raise Terminal(problem)
        return mine

    def _ready(self, azure: Azure, name: str, target: Target) -> bool:
        """Whether there is an endpoint that is ours and can take a deployment; made, or taken where nobody has it.

        A new one takes a minute or two, in which the target is seen as moving; then the launch is asked for again.
        """
        found = azure.endpoint(self.family, name)
        if found is None:
            new = EndpointMarks(target.owner, marks.fitting(target.model)).moved({}, self._clock())
            self._create(azure, name, self._new_endpoint(target, azure.location(), new.written({})))
        else:
            self._take(azure, name, target, found)
        return self._read_back(lambda: _is_steady(azure.endpoint(self.family, name)))

    def _take(self, azure: Azure, name: str, target: Target, found: Json) -> None:
        """Make an endpoint that is there fit for a deployment: one that failed is written again as it was."""
        mine = self._mine(found, target)
        failed = state_of(found) in ("Failed", "Canceled") and not self._traffic(found)
        if failed and not mine.owner:
            raise Conflict(f"{name} was made by hand and is {state_of(found)}: mend it or delete it")
        if failed:
            body = self._endpoint_body(found, traffic={}, copies=self._copies(found), tags=tags_of(found))
            self._write(azure, name, lambda: azure.put_endpoint(self.family, name, body))
        elif not mine.owner:
            self._claim(azure, name, target, found)

    def _create(self, azure: Azure, name: str, body: Json) -> None:
        """Raises Terminal where the name is somebody else's: it is one for a whole region, whatever the workspace."""
        taken = f"if it stays so, {name} is another workspace's in this region: give the target another `endpoint`"
        try:
            azure.put_endpoint(self.family, name, body)
        except Absent:
            raise
        except Conflict as error:
            # One of the name is being made or deleted, by whomever: it may show only later, or not any more.
            raise Busy(f"{error}; {taken}", SOON) from None
        except Refused as error:
            if azure.endpoint(self.family, name) is not None:
                raise Busy(str(error), SOON) from None
            raise Refused(f"{error}; {taken}") from None

    def _claim(self, azure: Azure, name: str, target: Target, found: Json) -> None:
        traffic = self._traffic(found)
        ours = _ours(azure.deployments(self.family, name), target)
        if traffic.keys() - ours:
            raise Conflict(f"{name} serves what was made by hand: `watcher adopt` lends it")
        taken = EndpointMarks(target.owner, marks.fitting(target.model)).moved(self._shares(found), self._clock())
        tags = taken.written(tags_of(found))
        body = self._endpoint_body(found, traffic=traffic, copies=self._copies(found), tags=tags)
        self._write(azure, name, lambda: azure.put_endpoint(self.family, name, body))

    def _all_ready(self, azure: Azure, name: str, target: Target, found: Json, wanted: Mapping[str, int]) -> None:
        there = {str(each["name"]): each for each in azure.deployments(self.family, name)}
        ours = _ours(there.values(), target)
        mine = marks.of_endpoint(tags_of(found))
        if self._traffic(found).keys() - ours and mine.adopted is None:
            raise Conflict(f"{name} serves what was made by hand: `watcher adopt` lends it")
        for deployment in wanted:
            if deployment not in there or state_of(there[deployment]) not in ("Succeeded", "Updating", "Scaling"):
                raise Conflict(f"{deployment} is not ready")

    def _patiently(self, verb: Callable[[], None]) -> None:
        """Carry a verb out, from its first read again where the endpoint is busy: that mostly ends within seconds.

        A refusal is believed when it stays: an endpoint that says it is through may refuse for some seconds more.
        """
        for pause in PAUSES:
            try:
                verb()
            except (Busy, Refused):
                self._sleep(pause)
            else:
                return
        verb()

    def _write(self, azure: Azure, name: str, write: Callable[[], None]) -> None:
        """A write that is refused because the endpoint is changing may be repeated; any other refusal may not."""
        try:
            write()
        except Refused as error:
            if _is_steady(azure.endpoint(self.family, name)):
                raise
            raise Busy(str(error), SOON) from None
        except Absent:
            raise
        except Conflict as error:
            raise Busy(str(error), SOON) from None

    def _read_back(self, is_there: Callable[[], bool]) -> bool:
        """Whether a write is to be seen, looked for during a few seconds."""
        began, pause = self._clock(), 0.5
        while not is_there():
            if self._clock() - began + pause > READ_BACK:
                return False
            self._sleep(pause)
            pause = min(pause * 2, 4.0)
        return True

    @staticmethod
    def _told(azure: Azure, release: SeenRelease, deployments: Sequence[Json]) -> SeenRelease:
        """A failed release with what the operation says of it: the deployment itself does not tell."""
        if release.state is not State.FAILED:
            return release
        found = next(each for each in deployments if each["name"] == release.name)
        url = ((found.get("properties") or {}).get("properties") or {}).get("AzureAsyncOperationUri")
        why = ""
        if isinstance(url, str) and url:
            try:
                why = failure(azure.operation(url).get("error"))
            except (Terminal, Transient, Conflict) as error:
                why = f"the operation's own words are not to be had: {error}"
        return replace(release, detail=plain(f"{why or 'Azure says no more than that it failed'}{_hint(found)}", 600))


def default_credential() -> Any:
    """The identity of this host, by whichever way it has one."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def _hint(found: Json) -> str:
    """What is known of deployments that run without a scoring script, where this is one."""
    properties = found.get("properties") or {}
    if properties.get("codeConfiguration") or properties.get("environmentId"):
        return ""
    return " (models logged with MLflow 3.7 or newer are known not to start as no-code: try `environment: auto`)"


def _seen(found: Json, target: Target, mine: EndpointMarks, traffic: Mapping[str, int]) -> SeenRelease:
    name, tags = str(found["name"]), tags_of(found)
    if not marks.is_ours(tags, target):
        lent = mine.adopted[1] if mine.adopted is not None and mine.adopted[0] == name else 0
        return SeenRelease(name, lent, "", _release_state(found, name, traffic), ours=False)
    return SeenRelease(
        name, marks.version_of(tags), str(tags.get(marks.KEY) or ""), _release_state(found, name, traffic)
    )


def _release_state(found: Json, name: str, traffic: Mapping[str, int]) -> State:
    state = state_of(found)
    if state in ("Failed", "Canceled"):
        return State.FAILED
    # One that serves goes on serving while it is updated or scaled.
    ready = state in ("Succeeded", "Scaling") or (state == "Updating" and traffic.get(name))
    return State.READY if ready else State.STARTING


def _token(mine: EndpointMarks, shares: Mapping[str, int]) -> str:
    """Ours changes with our writes, the digest with those of others."""
    return f"{mine.token or 'none'}-{marks.digest(shares)}"


def _shares(traffic: Mapping[str, int], copies: Mapping[str, int]) -> dict[str, int]:
    """Both in one; no deployment has a name with a blank."""
    return {**traffic, **{f"mirror {name}": share for name, share in copies.items() if share}}


def tags_of(found: Json) -> Mapping[str, str]:
    """Tags of an endpoint or a deployment."""
    return found.get("tags") or {}


def state_of(found: Json) -> str:
    """Its provisioning state, empty where it has none."""
    return str((found.get("properties") or {}).get("provisioningState") or "")


def _ours(deployments: Iterable[Json], target: Target) -> set[str]:
    """Names of those that this watcher made for the target."""
    return {str(each["name"]) for each in deployments if marks.is_ours(tags_of(each), target)}


def _is_steady(found: Json | None) -> bool:
    return found is not None and state_of(found) in _STEADY
