"""Champion and challenger as a registry can hold them: aliases, or tags of the model where it has no aliases.

Either is one place with one value, so no version is ever marked beside another, and moving the mark is one write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from watcher.errors import Terminal
from watcher.registry import tags
from watcher.registry.client import Client
from watcher.registry.names import number, possible

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NotAVersion(ValueError):
    """What stands where a version's number should be; the message says where."""


class Pointers(Protocol):
    """Reads the two marks from what the registry said of a model, and moves them."""

    spoken: str
    """What people know them as."""

    def require(self, name: str) -> None:
        """Raise `Terminal` where this registry keeps no such marks. `name` is a model that is there."""
        ...

    def read(self, aliases: Mapping[str, object], texts: Mapping[str, str], mark: str) -> int | None:
        """The version that is marked. Raises `NotAVersion` where a person wrote something else."""
        ...

    def put(self, doing: str, name: str, mark: str, version: int) -> None:
        """Mark this version and no other. Raises `Absent` where there is none such."""
        ...

    def remove(self, doing: str, name: str, mark: str) -> None:
        """Mark no version."""
        ...


class Aliases:
    """The registry's own aliases; it refuses one of a version that is not there."""

    spoken = "alias"

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found = client.dialect.aliases

    def require(self, name: str) -> None:
        if self._found:
            return
        if not self._client.ask(f"look for aliases of {name!r}", lambda c: _answers_for_aliases(c, name)):
            where = self._client.where
            raise Terminal(f"registry.marks is 'alias', but {where} does not answer for aliases: write `auto` or `tag`")
        self._found = True

    def read(self, aliases: Mapping[str, object], texts: Mapping[str, str], mark: str) -> int | None:
        value = aliases.get(mark)
        return None if value is None else number(value)

    def put(self, doing: str, name: str, mark: str, version: int) -> None:
        self._client.ask(doing, lambda c: c.set_registered_model_alias(name, mark, str(version)))

    def remove(self, doing: str, name: str, mark: str) -> None:
        self._client.ask(doing, lambda c: c.delete_registered_model_alias(name, mark))


class ModelTags:
    """The model tags `watcher.champion` and `watcher.challenger`, whose value is a version's number."""

    spoken = "tag"

    def __init__(self, client: Client) -> None:
        self._client = client

    def require(self, name: str) -> None:
        """Every registry has tags."""

    def read(self, aliases: Mapping[str, object], texts: Mapping[str, str], mark: str) -> int | None:
        text = texts.get(tags.PREFIX + mark)
        if text is None:
            return None
        digits = text.strip()
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= tags.LONGEST_NUMBER):
            raise NotAVersion(f"the tag {tags.PREFIX}{mark} is not the number of a version")
        if not possible(int(digits)):
            raise NotAVersion(f"the tag {tags.PREFIX}{mark} is a number that no version has")
        return int(digits)

    def put(self, doing: str, name: str, mark: str, version: int) -> None:
        # A tag takes any text: whether the version is there must be asked.
        self._client.ask(doing, lambda c: c.get_model_version(name, str(version)))
        key = self._client.dialect.key(tags.PREFIX + mark)
        self._client.ask(doing, lambda c: c.set_registered_model_tag(name, key, str(version)))

    def remove(self, doing: str, name: str, mark: str) -> None:
        key = self._client.dialect.key(tags.PREFIX + mark)
        self._client.ask(doing, lambda c: c.delete_registered_model_tag(name, key))


def _answers_for_aliases(client: MlflowClient, name: str) -> bool:
    """Whether the registry knows the question. One that does not answers 404 with nothing in it, or of no endpoint."""
    from mlflow.exceptions import MlflowException, RestException

    try:
        client.get_model_version_by_alias(name, tags.CHAMPION)
    except RestException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return True
        if error.error_code in ("ENDPOINT_NOT_FOUND", "NOT_FOUND", "NOT_IMPLEMENTED"):
            return False
        raise
    except MlflowException as error:
        if error.get_http_status_code() in (404, 405, 501):
            return False
        raise
    return True
