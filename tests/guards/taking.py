"""Changes what loaded modules do, in memory: without one guard, or with every guard watched."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import getsource
from types import FunctionType, ModuleType
from typing import Any

from tests.guards.find import CHAINS, watched, without

MET = "_met_"


def take_out(module: ModuleType, ordinal: int) -> None:
    """Let the functions of a loaded module be as if its source had one guard less, for good."""
    _become(module, without(getsource(module), ordinal))


@contextmanager
def watching(names: set[str], met: Callable[[str, int], None]) -> Iterator[None]:
    """Inside, `met(module, ordinal)` is called wherever the loaded modules would go on otherwise without that guard."""
    modules = [import_module(name) for name in sorted(names)]
    for module in modules:
        vars(module)[MET] = _meeting(module.__name__, met)
        _become(module, watched(getsource(module), MET))
    try:
        yield
    finally:
        for module in modules:
            _become(module, ast.parse(getsource(module)))


def _meeting(name: str, met: Callable[[str, int], None]) -> Callable[[int, Any, bool], Any]:
    def meet(ordinal: int, value: Any, stops: bool) -> Any:
        if bool(value) is stops:
            met(name, ordinal)
        return value

    return meet


def _become(module: ModuleType, tree: ast.Module) -> None:
    changed: dict[str, Any] = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(tree, str(module.__file__), "exec"), changed)  # noqa: S102
    _give_code(vars(module), changed, str(module.__file__))
    for chain in CHAINS & changed.keys():
        setattr(module, chain, changed[chain])


def _give_code(loaded: Any, changed: Any, file: str) -> None:
    for name, new in changed.items():
        old = loaded.get(name)
        if isinstance(new, property) and isinstance(old, property):
            new, old = new.fget, old.fget  # noqa: PLW2901
        if isinstance(new, FunctionType) and isinstance(old, FunctionType):
            if new.__code__.co_filename == file:
                old.__code__ = new.__code__
        elif isinstance(new, type) and isinstance(old, type) and new.__module__ == old.__module__ and new is not old:
            _give_code(vars(old), vars(new), file)
