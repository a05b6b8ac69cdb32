"""Names and numbers as they come from outside, and names inside MLflow's filter language."""

from __future__ import annotations

from watcher.errors import Terminal, Transient
from watcher.registry.dialects import MLFLOW, Dialect

_LONGEST = 256
_HIGHEST = 2**31 - 1


def checked(name: str, dialect: Dialect = MLFLOW) -> str:
    """The name, if a registered model can have it. Raises `Terminal`."""
    why = None
    if not name.strip():
        why = "it is empty"
    elif len(name) > _LONGEST:
        why = f"it is longer than {_LONGEST} characters"
    elif any(c in name for c in "/:\x00"):
        why = "it contains '/', ':' or a zero byte"
    elif name == "." or name.startswith(".."):
        why = "it reads as a path"
    elif not storable(name):
        why = "it is not valid Unicode"
    else:
        why = dialect.refuses(name)
    if why:
        raise Terminal(f"no registered model can be called {name[:80]!r}: {why}")
    return name


def storable(text: str) -> bool:
    """Whether the text can be written in UTF-8; JSON can smuggle in halves of characters."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def possible(version: int) -> bool:
    """Whether a version can have this number at all."""
    return 0 < version <= _HIGHEST


def number(value: object) -> int:
    """A version number, which is text over HTTP and a number from a database. Raises `Transient`."""
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_HIGHEST)) and possible(int(text))):
        raise Transient(f"the registry answered with the version number {text[:40]!r}")
    return int(text)


def same(asked: object, answered: object) -> None:
    """Raise `Transient` where an answer is about another thing.

    MLflow's client takes an empty answer, as a proxy may give one, for a thing without any properties.
    """
    if asked != answered:
        raise Transient(f"the registry was asked about {asked!r} and answered about {str(answered)[:80]!r}")


def is_named(name: str) -> str:
    """A filter that finds this name; it may find others too, so the answers are compared again.

    MLflow's filters have no escapes: a name with both kinds of quotes is asked for with wildcards in their place.
    """
    if "'" not in name:
        return f"name = '{name}'"
    if '"' not in name:
        return f'name = "{name}"'
    pattern = name.replace("'", "_")
    return f"name LIKE '{pattern}'"
