"""`${NAME}` in the file, and the secrets that should have been written so."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
ALONE = r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"
"""A value that comes from the environment whole, without a default in the file."""
_HOLE = "\x00"
"""Stands for what comes from the environment while a text is searched for secrets."""
_SECRETS = (
    re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:(?P<secret>[^/\s@]+)@"),
    re.compile(
        r"(?i)\b(?:account_?key|shared_?access_?key|sig|password|pwd|secret|client_?secret|token|access_?token|api_?key)="
        r"(?P<secret>[^;&\s]+)"
    ),
    re.compile(r"(?P<secret>\bdapi[0-9a-f]{32})"),
)
_SECRET_KEY = re.compile(
    r"(?i)(^|_)(password|passwd|secret|token|access_?key|account_?key|api_?key|credential|connection_string)$"
)


class MissingVariable(ValueError):
    """A reference to something that is not in the environment, or that is none."""


def is_reference(text: str) -> bool:
    """Whether the whole text is one reference."""
    return _REFERENCE.fullmatch(text) is not None


def fill(text: str, environ: Mapping[str, str]) -> str:
    """The text with its references filled in. As in a shell, the default counts for an empty variable too.

    Raises MissingVariable.
    """

    def value(found: re.Match[str]) -> str:
        name, default = found.groups()
        if default is not None:
            return environ.get(name) or default
        if name not in environ:
            raise MissingVariable(
                f"the environment has no variable {name}; set it, or write ${{{name}:-value}} for a default"
            )
        return environ[name]

    if "${" in _REFERENCE.sub("", text):
        raise MissingVariable("'${' begins no reference; write ${NAME} or ${NAME:-default}")
    return _REFERENCE.sub(value, text)


def holds_secret(key: str, text: str) -> bool:
    """Whether the text, as it is written in the file under `key`, spells a secret out."""
    literal = _REFERENCE.sub(lambda found: found[2] or _HOLE, text)
    if _SECRET_KEY.search(key) and literal.strip(_HOLE):
        return True
    return any(found["secret"].strip(_HOLE) for pattern in _SECRETS for found in pattern.finditer(literal))
