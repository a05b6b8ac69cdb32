"""Finds every guard in a module's source, and gives the module without one of them.

A guard is an `if` whose body ends by leaving (return, raise, continue, break), one operand of an `and` or `or` that
decides something, or one entry of a chain of rules.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHERE = (
    "watcher/decide/*.py",
    "watcher/reconcile.py",
    "watcher/gather.py",
    "watcher/slots.py",
    "watcher/registry/marks.py",
)
LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
CHAINS = frozenset({"CHAIN", "ADVICE"})


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard. `name` says it without line numbers, so that it survives edits elsewhere."""

    module: str
    name: str
    line: int
    ordinal: int
    """Which one of its module, in the order of the source."""
    always: bool = False
    """Whether it is asked at every wake-up: an entry of a chain."""

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def guards() -> list[Guard]:
    """Every guard of every module that decides, in the order of files and lines."""
    paths = sorted(path for pattern in WHERE for path in ROOT.glob(pattern))
    return [guard for path in paths for guard in of_source(_module(path), path.read_text())]


def of_source(module: str, source: str) -> list[Guard]:
    """The guards of one module."""
    found, names = [], Counter[str]()
    for ordinal, site in enumerate(_sites(ast.parse(source))):
        names[site.name] += 1
        again = f" #{names[site.name]}" if names[site.name] > 1 else ""
        found.append(Guard(module, site.name + again, site.line, ordinal, isinstance(site.node, ast.Tuple)))
    return found


def without(source: str, ordinal: int) -> ast.Module:
    """The module's tree without its guard number `ordinal`."""
    tree = ast.parse(source)
    list(_sites(tree))[ordinal].remove()
    return ast.fix_missing_locations(tree)


def watched(source: str, met: str) -> ast.Module:
    """The module's tree with every guard reported to the function called `met` where it makes a difference.

    That is `met(ordinal, value, stops)` with the value of the condition; without its guard the module goes on
    otherwise only where `bool(value) is stops`. Entries of a chain are left as they are: they always may.
    """
    tree = ast.parse(source)
    for ordinal, site in enumerate(list(_sites(tree))):
        site.watch(ordinal, met)
    return ast.fix_missing_locations(tree)


@dataclass(frozen=True, slots=True)
class _Site:
    name: str
    line: int
    node: ast.If | ast.BoolOp | ast.Tuple
    operand: int | None = None

    def remove(self) -> None:
        if isinstance(self.node, ast.If):
            self.node.test = ast.copy_location(ast.Constant(value=False), self.node.test)
        elif isinstance(self.node, ast.BoolOp) and self.operand is not None:
            # Without one of two operands a lone one is left, which Python's grammar knows only by itself: doubled it
            # means the same.
            rest = [value for number, value in enumerate(self.node.values) if number != self.operand]
            self.node.values = rest if len(rest) > 1 else [rest[0], rest[0]]
        elif isinstance(self.node, ast.Tuple) and self.operand is not None:
            del self.node.elts[self.operand]

    def watch(self, ordinal: int, met: str) -> None:
        if isinstance(self.node, ast.If):
            self.node.test = _reported(met, ordinal, self.node.test, stops=True)
        elif isinstance(self.node, ast.BoolOp) and self.operand is not None:
            stops = isinstance(self.node.op, ast.Or)
            self.node.values[self.operand] = _reported(met, ordinal, self.node.values[self.operand], stops=stops)


def _reported(met: str, ordinal: int, value: ast.expr, *, stops: bool) -> ast.expr:
    call = ast.Call(ast.Name(met, ast.Load()), [ast.Constant(ordinal), value, ast.Constant(stops)], [])
    return ast.copy_location(call, value)


def _sites(tree: ast.Module) -> Iterator[_Site]:
    deciding = _deciding(tree)
    yield from _walk(tree, "", deciding)


def _walk(node: ast.AST, inside: str, deciding: set[int]) -> Iterator[_Site]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        inside = f"{inside}.{node.name}".lstrip(".")
    if isinstance(node, ast.If) and isinstance(node.body[-1], LEAVING):
        yield _Site(f"{inside}: if {ast.unparse(node.test)}", node.lineno, node)
    if isinstance(node, ast.BoolOp) and id(node) in deciding:
        word = "and" if isinstance(node.op, ast.And) else "or"
        for number, value in enumerate(node.values):
            where = f"in {ast.unparse(node)}" if len(node.values) > 1 else ""
            yield _Site(f"{inside}: {word} {ast.unparse(value)} {where}".rstrip(), value.lineno, node, number)
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in CHAINS:
        chain = node.value
        if isinstance(chain, ast.Tuple):
            for number, entry in enumerate(chain.elts):
                yield _Site(f"{node.target.id}: {ast.unparse(entry)}", entry.lineno, chain, number)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, inside, deciding)


def _deciding(tree: ast.Module) -> set[int]:
    """Every `and` and `or` that decides: in a condition, or made of comparisons. `x or default` does not."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            _mark(node.test, found)
        elif isinstance(node, ast.comprehension):
            for condition in node.ifs:
                _mark(condition, found)
        elif isinstance(node, ast.BoolOp) and any(_compares(value) for value in node.values):
            _mark(node, found)
    return found


def _mark(node: ast.expr, found: set[int]) -> None:
    if isinstance(node, ast.BoolOp):
        found.add(id(node))
        for value in node.values:
            _mark(value, found)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _mark(node.operand, found)


def _compares(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))


def _module(path: Path) -> str:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return dotted.removesuffix(".__init__")
