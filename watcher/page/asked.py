"""What a request asks for, checked: whoever wrote it, a wrong question gets one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import parse_qsl, urlencode

from watcher.errors import UserError
from watcher.history import EVENTS
from watcher.page.past import MOST_SKIPPED
from watcher.text import plain
from watcher.views.times import moment

LONGEST = 2_000
"""Characters of a value."""
MOST = 20
NUMBER = re.compile(r"[1-9][0-9]{0,9}")
CARRIED = ("code",)
"""Parameters that every link takes along: Azure Functions tells by `code` who may ask."""


class NotAsked(UserError):
    """A question that cannot be answered because it is none; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request, each given once."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, raw: bytes) -> Query:
        """Raises NotAsked where it is no query."""
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="surrogatepass", max_num_fields=MOST)
        except ValueError:
            raise NotAsked("The address cannot be read: its parameters are not URL-encoded UTF-8.") from None
        values = dict(pairs)
        if len(values) != len(pairs):
            raise NotAsked("The address gives a parameter twice.")
        if any(len(value) > LONGEST for value in values.values()):
            raise NotAsked(f"The address has a value of more than {LONGEST:,} characters.")
        return cls(values)

    def text(self, name: str) -> str | None:
        """A value, None where it is empty or not given."""
        return self.values.get(name) or None

    def needed(self, name: str, example: str) -> str:
        value = self.text(name)
        if value is None:
            raise NotAsked(f"The address names no {name}; it looks like {example}.")
        return value

    def number(self, name: str, default: int | None = None, most: int = 10**10) -> int:
        """A whole number from 1; version numbers may be written `v3`."""
        value = self.text(name)
        if value is None and default is not None:
            return default
        found = (value or "").removeprefix("v")
        if not NUMBER.fullmatch(found) or int(found) > most:
            raise NotAsked(f"{name} is {plain(value or '')!r}, and has to be a whole number from 1 to {most:,}.")
        return int(found)

    def skip(self) -> int:
        return self.number("skip", 0, MOST_SKIPPED) if self.text("skip") != "0" else 0

    def moment(self, name: str, now: float) -> float | None:
        """A moment as people write it, in UTC unless it names a zone, or seconds since the epoch."""
        value = self.text(name)
        if value is None:
            return None
        if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,9})?", value) and float(value) >= 1e8:  # noqa: PLR2004 else a year
            return float(value)
        try:
            return moment(value, now, UTC)
        except UserError as error:
            raise NotAsked(f"{name}: {error}") from None

    def event(self) -> str | None:
        value = self.text("event")
        if value is not None and value not in EVENTS:
            raise NotAsked(f"There is no event {plain(value)!r}; there are {', '.join(EVENTS)}.")
        return value


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of the pages below the path at which the app is mounted."""

    root: str
    carried: Mapping[str, str]

    def __call__(self, path: str, **parameters: object) -> str:
        given = {key: str(value) for key, value in parameters.items() if value is not None}
        query = urlencode({**given, **self.carried}, errors="surrogatepass")
        return f"{self.root}/{path}" + (f"?{query}" if query else "")
