"""A registry behind MLflow's client: MLflow's own, a Databricks or an Azure ML workspace's, or Unity Catalog."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from watcher.registry.client import Client
from watcher.registry.dialects import dialect_of
from watcher.registry.evidence import VersionEvidence
from watcher.registry.feed import ModelFeed
from watcher.registry.marks import ModelMarks, VersionMarks
from watcher.registry.metrics import Metrics
from watcher.registry.pointers import Aliases, ModelTags
from watcher.registry.sources import Places
from watcher.registry.versions import Versions
from watcher.retry import Retry
from watcher.settings import RegistrySettings
from watcher.values import Call, Change, Crown, EvidenceOf, Example, Gone, Marks, Version


def build(settings: RegistrySettings, environ: Mapping[str, str]) -> MlflowRegistry:
    """Feed, Registry, Orders and Evidence of one registry. Cheap: MLflow is imported at the first call.

    Raises `UserError` where the settings ask for marks that this registry does not keep.
    """
    dialect_of(settings.uri).check_marks(settings.marks)
    return MlflowRegistry(Client(settings.uri, settings.tracking_uri, environ), Retry(), settings.marks)


class MlflowRegistry:
    """Feed, Registry, Orders and Evidence on MLflow's client; see `watcher.ports` for what each promises."""

    staleness = 0.0

    def __init__(self, client: Client, retry: Retry, marks: str = "auto") -> None:
        self._retry = retry
        dialect = client.dialect
        self._versions = Versions(client, Places(client))
        pointers = Aliases(client) if dialect.aliases or marks == "alias" else ModelTags(client)
        newest = None if dialect.latest_versions else self._versions.newest
        self._marks = ModelMarks(client, dialect, pointers, newest)
        self._version_marks = VersionMarks(client)
        self._feed = ModelFeed(client, self._marks)
        self._evidence = VersionEvidence(client, Metrics(client))

    # Feed

    def changed(self, since_ms: int) -> Sequence[Change]:
        return self._retry(lambda: self._feed.changed(since_ms))

    def marks(self, names: Iterable[str]) -> Mapping[str, Marks]:
        wanted = list(names)
        return self._retry(lambda: self._feed.marks(wanted))

    def names(self) -> Sequence[str]:
        return self._retry(self._feed.names)

    # Registry. A verb is retried as a whole, so that what it compares is read again before every write.

    def read(self, name: str) -> Marks:
        return self._retry(lambda: self._marks.read(name))

    def version(self, name: str, version: int) -> Version | Gone:
        return self._retry(lambda: self._versions.version(name, version))

    def versions(self, name: str, above: int, most: int = 200, also: Collection[int] = ()) -> Sequence[Version]:
        return self._retry(lambda: self._versions.versions(name, above, most, also))

    def crown(self, name: str, version: int, crown: Crown, expect: Marks) -> None:
        self._retry(lambda: self._marks.crown(name, version, crown, expect))

    def challenge(self, name: str, version: int | None, expect: Marks) -> None:
        self._retry(lambda: self._marks.challenge(name, version, expect))

    def write_crown(self, name: str, crown: Crown, expect: Marks) -> None:
        self._retry(lambda: self._marks.write_crown(name, crown, expect))

    def tag(self, name: str, version: int, call: Call | None, expect: Call | None) -> None:
        self._retry(lambda: self._version_marks.tag(name, version, call, expect))

    # Orders

    def set_champion(self, name: str, version: int) -> None:
        self._retry(lambda: self._marks.set_champion(name, version))

    def hold(self, name: str, who: str | None) -> None:
        self._retry(lambda: self._marks.hold(name, who))

    def rejudge(self, name: str, version: int) -> None:
        self._retry(lambda: self._version_marks.rejudge(name, version))

    def approve(self, name: str, version: int, tag: str, who: str) -> None:
        self._retry(lambda: self._version_marks.approve(name, version, tag, who))

    # Evidence

    def of(self, version: Version) -> EvidenceOf:
        return self._retry(lambda: self._evidence.of(version))

    def example(self, version: Version) -> Example | None:
        return self._retry(lambda: self._evidence.example(version))
