"""What to wake: models that were touched, and the marks of many models in few calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from watcher.errors import Transient
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.registry.marks import ModelMarks, marks_of
from watcher.values import Change, Marks

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.store.entities import PagedList

FIRST_PAGE = 25
PAGE = 1_000
"""The most that MLflow allows for registered models."""
FEW = 20
"""Up to so many models, single gets are cheaper than a page of all of them, and they show absence."""


class ModelFeed:
    """Listings of registered models.

    Pages are offsets: a model touched or deleted meanwhile can be missing from one answer. The caller asks again with
    an overlap. An answer is never shortened by an error: it is whole, or it is `Transient`.
    """

    def __init__(self, client: Client, marks: ModelMarks) -> None:
        self._client = client
        self._marks = marks

    def changed(self, since_ms: int) -> Sequence[Change]:
        found: dict[str, Change] = {}
        for page in self._pages("last_updated_timestamp DESC", first=FIRST_PAGE):
            older = False
            for model in page:
                # Rows from before MLflow kept this time have none: Postgres lists them first, so they end nothing.
                touched = model.last_updated_timestamp
                older |= touched is not None and touched < since_ms
                change = Change(str(model.name), int(touched or model.creation_timestamp or 0))
                if change.updated_ms >= since_ms:
                    found.setdefault(change.name, change)
            if older:
                break
        return sorted(found.values(), key=lambda change: change.updated_ms, reverse=True)

    def marks(self, names: Iterable[str]) -> Mapping[str, Marks]:
        wanted = dict.fromkeys(names)
        found: dict[str, Marks] = {}
        if len(wanted) > FEW:
            for page in self._pages("name ASC", first=PAGE):
                found |= {model.name: marks_of(model) for model in page if model.name in wanted}
                if len(wanted) - len(found) <= FEW:
                    break
        missed = [name for name in wanted if name not in found]
        if len(missed) <= FEW:
            found |= {name: self._marks.read(name) for name in missed}
        return found

    def names(self) -> Sequence[str]:
        return list(dict.fromkeys(str(model.name) for page in self._pages("name ASC", first=PAGE) for model in page))

    def _pages(self, order: str, first: int) -> Iterator[Sequence[RegisteredModel]]:
        token: str | None = None
        seen: set[str] = set()
        size = first
        while True:
            page = self._page(order, size, token)
            if not all(model.name for model in page):
                raise Transient(f"{self._client.where} listed registered models without a name")
            yield page
            token, size = page.token or None, PAGE
            if token is None:
                return
            if token in seen:
                raise Transient(f"{self._client.where} gave the same page of registered models twice")
            seen.add(token)

    def _page(self, order: str, size: int, token: str | None) -> PagedList[RegisteredModel]:
        try:
            return self._client.ask(
                "list registered models",
                lambda c: c.search_registered_models(max_results=size, order_by=[order], page_token=token),
            )
        except Absent as error:
            raise Transient(str(error)) from None
