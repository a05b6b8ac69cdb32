"""Model versions: one by direct get, many by a listing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.errors import Transient
from watcher.registry import tags
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.registry.names import checked, is_named, number, possible, same
from watcher.registry.sources import Places
from watcher.values import Gone, Identity, Status, Version

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.entities import PagedList

MOST_AGAIN = 200
"""Versions to be judged again that are listed, whatever `most` says of new ones."""
NEAR = 16
"""So many numbers below what is asked for come with a listing for less than one of them by a get."""
MOST_GETS = 100
"""Versions read one by one where a listing does not carry their tags; older ones are asked for by their number."""
PAGE = 10_000
"""As many as MLflow's client asks for by itself, where all versions of a model are listed."""
_STATUS = {"READY": Status.READY, "PENDING_REGISTRATION": Status.PENDING, "FAILED_REGISTRATION": Status.FAILED}


class Versions:
    """Versions of registered models, with where their artifacts lie."""

    def __init__(self, client: Client, places: Places) -> None:
        self._client = client
        self._dialect = client.dialect
        self._places = places

    def version(self, name: str, version: int) -> Version | Gone:
        checked(name, self._dialect)
        if not possible(version):
            return Gone(version)
        found = self._get(name, version)
        return self._version(found) if found is not None else Gone(version)

    def newest(self, name: str) -> int:
        """The highest number that a listing shows, 0 where it shows none."""
        return max((number(v.version) for v in self._all(name)), default=0)

    def versions(self, name: str, above: int, most: int = 200, also: Collection[int] = ()) -> Sequence[Version]:
        checked(name, self._dialect)
        if not self._dialect.filters_versions:
            return self._chosen(name, above, most)
        near = [n for n in also if above - NEAR < n <= above]
        lowest = max(min([above, *(n - 1 for n in near)]), 0) if above > NEAR else 0
        wide = most + max(above - lowest, 0)
        listed = self._search(name, f"version_number > {lowest}", wide)
        if lowest or len(listed) == wide:
            again = self._search(name, f"tags.`{tags.REJUDGE}` LIKE '%'", MOST_AGAIN)
        else:
            again = [v for v in listed if tags.REJUDGE in (v.tags or {})]
        newest = [v for v in listed if number(v.version) > above][:most]
        marked = [v for v in listed if number(v.version) in near]
        found = {number(v.version): v for v in (*again, *marked, *newest)}
        return [self._version(found[n]) for n in sorted(found, reverse=True)]

    def _chosen(self, name: str, above: int, most: int) -> Sequence[Version]:
        """What a filter would find, out of all versions of the model."""
        listed = {number(v.version): v for v in self._all(name)}
        if self._dialect.whole_hits:
            again = frozenset(n for n, v in listed.items() if tags.REJUDGE in (v.tags or {}))
        else:
            again, most = self._again(name) & listed.keys(), min(most, MOST_GETS)
        highest = sorted(listed, reverse=True)
        newest = [n for n in highest if n > above][:most]
        wanted = [n for n in highest if n in {*newest, *[n for n in highest if n in again][:MOST_AGAIN]}]
        if not self._dialect.whole_hits:
            listed = {n: found for n in wanted if (found := self._get(name, n)) is not None}
        versions = [self._version(listed[n]) for n in wanted if n in listed]
        return [replace(v, rejudge=v.rejudge or v.number in again) for v in versions]

    def _again(self, name: str) -> frozenset[int]:
        """Versions that the model's tags ask to judge again."""
        try:
            model = self._client.ask(f"read the marks of {name!r}", lambda c: c.get_registered_model(name))
        except Absent:
            return frozenset()
        return tags.numbers(self._dialect.read(model.tags or {}))

    def _get(self, name: str, version: int) -> ModelVersion | None:
        doing = f"read version {version} of {name!r}"
        try:
            found = self._client.ask(doing, lambda c: c.get_model_version(name, str(version)))
        except Absent:
            return None
        same((name, version), (found.name, number(found.version)))
        return found

    def _all(self, name: str) -> Sequence[ModelVersion]:
        """Every version of a model, in any order. Of a hit only its columns may be looked at, see `whole_hits`."""
        found: list[ModelVersion] = []
        tokens: set[str] = set()
        token: str | None = None
        while True:
            try:
                page = self._listed(name, token)
            except Absent:
                return []
            found += [v for v in page if v.name == name]
            # A page may be empty and not the last: only a missing token ends a listing.
            token = page.token or None
            if token is None:
                return found
            if token in tokens:
                raise Transient(f"{self._client.where} gave the same page of versions of {name!r} twice")
            tokens.add(token)

    def _listed(self, name: str, token: str | None) -> PagedList[ModelVersion]:
        return self._client.ask(
            f"list versions of {name!r}",
            lambda c: c.search_model_versions(f"name='{name}'", max_results=PAGE, page_token=token),
        )

    def _search(self, name: str, clause: str, most: int) -> Sequence[ModelVersion]:
        found: list[ModelVersion] = []
        token: str | None = None
        while len(found) < most:
            page = self._page(name, clause, most, token)
            found += [v for v in page if v.name == name]
            token = page.token or None
            if token is None or not page:
                break
        return found[:most]

    def _page(self, name: str, clause: str, most: int, token: str | None) -> PagedList[ModelVersion]:
        return self._client.ask(
            f"list versions of {name!r}",
            lambda c: c.search_model_versions(
                f"{is_named(name)} AND {clause}",
                max_results=most,
                order_by=["version_number DESC"],
                page_token=token,
            ),
        )

    def _version(self, found: ModelVersion) -> Version:
        texts = {str(k): str(v)[: tags.LONGEST_READ] for k, v in self._dialect.read(found.tags or {}).items()}
        identity = Identity(
            name=str(found.name),
            version=number(found.version),
            created_ms=int(found.creation_timestamp or 0),
            source=str(found.source or ""),
        )
        status = _STATUS.get(str(found.status), Status.PENDING)
        place = self._places.of(identity)
        if status is Status.READY:
            # MLflow's own store calls a version ready when its row is written, before anything is uploaded.
            status = place.status
        return Version(
            identity=identity,
            status=status,
            artifact_uri=place.uri,
            run_id=str(found.run_id) if found.run_id else None,
            tags=texts,
            call=tags.call_from(texts.get(tags.VERDICT)),
            rejudge=tags.REJUDGE in texts,
            registry=self._client.where,
        )
