"""What to wake: models that were touched, and the marks of many models in few calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from watcher.errors import Transient
from watcher.registry.client import Client
from watcher.registry.errors import Absent
from watcher.registry.marks import ModelMarks
from watcher.values import Change, Marks

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.store.entities import PagedList

FIRST_PAGE = 6
"""Models of the listing by change that are asked for first: mostly nothing is new, and each one costs the server."""
GROWTH = 10
"""Each further page of that listing is so many times larger."""
PAGE = 1_000
"""The most that MLflow allows for registered models."""
FEW = 20
"""Up to so many models, single gets are cheaper than a page of all of them, and they show absence."""
MOST_GETS = 100
"""Models whose marks are read in one sweep where a listing does not carry them; the rest follows in the next sweeps."""


class ModelFeed:
    """Listings of registered models.

    Pages are offsets: a model touched or deleted meanwhile can be missing from one answer. The caller asks again with
    an overlap. An answer is never shortened by an error: it is whole, or it is `Transient`.
    """

    def __init__(self, client: Client, marks: ModelMarks, chance: Random | None = None) -> None:
        self._client = client
        self._marks = marks
        self._dialect = client.dialect
        self._chance = chance or Random()  # noqa: S311 - spreads reads, guards nothing
        self._swept: dict[str, int] = {}
        """Name -> the sweep that read it last."""
        self._sweep = 0

    def changed(self, since_ms: int) -> Sequence[Change]:
        ordered = self._dialect.orders_models
        found: dict[str, Change] = {}
        for page in self._pages("last_updated_timestamp DESC", first=FIRST_PAGE if ordered else None):
            older = False
            for model in page:
                # Rows from before MLflow kept this time have none: Postgres lists them first, so they end nothing.
                touched = model.last_updated_timestamp
                older |= touched is not None and touched < since_ms
                change = Change(str(model.name), int(touched or model.creation_timestamp or 0))
                if change.updated_ms >= since_ms:
                    found.setdefault(change.name, change)
            if older and ordered:
                break
        return sorted(found.values(), key=lambda change: change.updated_ms, reverse=True)

    def marks(self, names: Iterable[str]) -> Mapping[str, Marks]:
        wanted = dict.fromkeys(names)
        found: dict[str, Marks] = {}
        if not self._dialect.whole_hits:
            return {name: self._marks.read(name) for name in self._turn(list(wanted))}
        if len(wanted) > FEW:
            for page in self._pages("name ASC"):
                found |= {model.name: self._marks.of(model) for model in page if model.name in wanted}
                if len(wanted) - len(found) <= FEW:
                    break
        missed = [name for name in wanted if name not in found]
        if len(missed) <= FEW:
            found |= {name: self._marks.read(name) for name in missed}
        return found

    def names(self) -> Sequence[str]:
        return list(dict.fromkeys(str(model.name) for page in self._pages("name ASC") for model in page))

    def _turn(self, wanted: Sequence[str]) -> Sequence[str]:
        """Those whose turn it is: read longest ago first, and by chance among equals, for processes that end soon."""
        if len(wanted) <= MOST_GETS:
            return wanted
        self._sweep += 1
        order = sorted(wanted, key=lambda name: (self._swept.get(name, 0), self._chance.random()))
        chosen = order[:MOST_GETS]
        self._swept = {name: at for name, at in self._swept.items() if name in set(wanted)}
        self._swept.update(dict.fromkeys(chosen, self._sweep))
        return chosen

    def _pages(self, order: str, first: int | None = None) -> Iterator[Sequence[RegisteredModel]]:
        token: str | None = None
        seen: set[str] = set()
        most = min(PAGE, self._dialect.models_page)
        size = min(first or most, most)
        while True:
            page = self._page(order, size, token)
            if not all(model.name for model in page):
                raise Transient(f"{self._client.where} listed registered models without a name")
            yield page
            token, size = page.token or None, min(size * GROWTH, most)
            if token is None:
                return
            if token in seen:
                raise Transient(f"{self._client.where} gave the same page of registered models twice")
            seen.add(token)

    def _page(self, order: str, size: int, token: str | None) -> PagedList[RegisteredModel]:
        by = [order] if self._dialect.orders_models else None
        asked: dict[str, Any] = {"max_results": size, "order_by": by, "page_token": token}

        def page(client: MlflowClient) -> PagedList[RegisteredModel]:
            if self._dialect.filters_models:
                return client.search_registered_models(**asked)
            # MLflow's client asks for models that are not prompts, by a tag, whatever it is asked for itself.
            found: PagedList[RegisteredModel] = client._get_registry_client().store.search_registered_models(**asked)  # noqa: SLF001
            return found

        try:
            return self._client.ask("list registered models", page)
        except Absent as error:
            raise Transient(str(error)) from None
