"""Behind the gateway a model answers what it answers behind `mlflow models serve`: status, type and body."""

from __future__ import annotations

import http.client
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway import reference, world
from tests.gateway.world import COLUMNS, ROW

pytestmark = pytest.mark.slow
CSV = {"Content-Type": "text/csv"}


def split(rows: Any, columns: Any = COLUMNS, **more: Any) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": rows, **more}}).encode()


def parquet() -> bytes:
    import pandas as pd

    out = io.BytesIO()
    pd.DataFrame([ROW, ROW], columns=COLUMNS).to_parquet(out)
    return out.getvalue()


RECORD = dict(zip(COLUMNS, ROW, strict=True))
BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "one row of floats": (split([ROW]), world.JSON),
    "many rows": (split([[n + c / 7 for c in range(4)] for n in range(100)]), world.JSON),
    "whole numbers": (split([[1, 2, 3, 4]]), world.JSON),
    "whole and broken numbers": (split([[1, 2.5, 3, 4], [1.5, 2, 3, 4]]), world.JSON),
    "numbers beyond what a double holds exactly": (split([[2**53 + 1, 2**60 + 1, 2**70, 1]]), world.JSON),
    "true and false": (split([[True, False, 1.0, 2.0]]), world.JSON),
    "null": (split([[None, 1.0, 2.0, 3.0]]), world.JSON),
    "text in a cell": (split([["1.5", 1.0, 2.0, 3.0]]), world.JSON),
    "word in a cell": (split([["x", 1.0, 2.0, 3.0]]), world.JSON),
    "nan": (b'{"dataframe_split": {"columns": ["c0","c1","c2","c3"], "data": [[NaN, 1.0, 2.0, 3.0]]}}', world.JSON),
    "infinity": (
        b'{"dataframe_split": {"columns": ["c0","c1","c2","c3"], "data": [[Infinity, 1.0, 2.0, 3.0]]}}',
        world.JSON,
    ),
    "huge": (split([[1e308, -1e308, 1e-320, 0.0]]), world.JSON),
    "columns in another order": (split([ROW], COLUMNS[::-1]), world.JSON),
    "a column too many": (split([[*ROW, 9.0]], [*COLUMNS, "extra"]), world.JSON),
    "a column missing": (split([ROW[:3]], COLUMNS[:3]), world.JSON),
    "a name twice": (split([ROW], ["c0", "c0", "c1", "c2"]), world.JSON),
    "rows of unequal length": (split([ROW, ROW[:3]]), world.JSON),
    "no rows": (split([]), world.JSON),
    "rows that are no lists": (split([1.0, 2.0]), world.JSON),
    "no columns": (json.dumps({"dataframe_split": {"data": [ROW]}}).encode(), world.JSON),
    "an index": (split([ROW, ROW], index=[5, 6]), world.JSON),
    "an unknown key": (split([ROW], shape=4), world.JSON),
    "params": (
        json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [ROW]}, "params": {"a": 1}}).encode(),
        world.JSON,
    ),
    "records": (json.dumps({"dataframe_records": [RECORD, RECORD]}).encode(), world.JSON),
    "inputs": (json.dumps({"inputs": [RECORD]}).encode(), world.JSON),
    "inputs by column": (json.dumps({"inputs": {name: [1.0, 2.0] for name in COLUMNS}}).encode(), world.JSON),
    "instances": (json.dumps({"instances": [RECORD]}).encode(), world.JSON),
    "instances of lists": (json.dumps({"instances": [ROW]}).encode(), world.JSON),
    "two formats": (json.dumps({"instances": [ROW], "inputs": [ROW]}).encode(), world.JSON),
    "no format": (b"{}", world.JSON),
    "a list": (b"[1, 2]", world.JSON),
    "a number": (b"1", world.JSON),
    "no JSON": (b"{", world.JSON),
    "nothing": (b"", world.JSON),
    "bad UTF-8": (b'{"dataframe_split": "\xff"}', world.JSON),
    "UTF-16": (split([ROW]).decode().encode("utf-16"), world.JSON),
    "a key twice": (b'{"dataframe_split": 1, ' + split([ROW])[1:], world.JSON),
    "charset": (split([ROW]), {"Content-Type": "application/json; charset=utf-8"}),
    "another charset": (split([ROW]), {"Content-Type": "application/json; charset=latin-1"}),
    "a strange parameter": (split([ROW]), {"Content-Type": "application/json; q=1"}),
    "another type": (split([ROW]), {"Content-Type": "text/html"}),
    "a type in capitals": (split([ROW]), {"Content-Type": "Application/JSON"}),
    "no type": (split([ROW]), {}),
    "csv": ((",".join(COLUMNS) + "\n1,2,3,4\n5,6,7,8\n").encode(), CSV),
    "csv that is none": (b'"', CSV),
    "empty csv": (b"", CSV),
    "csv with words": ((",".join(COLUMNS) + "\na,2,3,4\n").encode(), CSV),
    "parquet": (parquet(), {"Content-Type": "application/vnd.apache.parquet"}),
    "parquet that is none": (b"PAR1", {"Content-Type": "application/vnd.apache.parquet"}),
    "chat": (b'{"messages": [{"role": "user", "content": "hello"}]}', world.JSON),
}
OTHERS = [
    ("GET", "/ping"),
    ("GET", "/health"),
    ("GET", "/version"),
    ("GET", "/ping?x=1"),
    ("POST", "/ping"),
    ("HEAD", "/ping"),
    ("GET", "/invocations"),
    ("PUT", "/invocations"),
    ("DELETE", "/invocations"),
    ("OPTIONS", "/invocations"),
    ("GET", "/"),
    ("GET", "/nope"),
    ("POST", "/nope"),
    ("GET", "/docs"),
    ("GET", "/redoc"),
    ("GET", "/openapi.json"),
    ("GET", "/ping/"),
    ("GET", "/%70ing"),
    ("GET", "//ping"),
    ("PATCH", "/version"),
    ("GET", "/../ping"),
    ("TRACE", "/ping"),
]


@dataclass
class Pair:
    """Two ports with the same model behind."""

    ours: int
    theirs: int

    def ask(self, body: bytes, method: str, path: str, headers: dict[str, str]) -> tuple[Any, Any]:
        return self._one(self.ours, body, method, path, headers), self._one(self.theirs, body, method, path, headers)

    @staticmethod
    def _one(port: int, body: bytes, method: str, path: str, headers: dict[str, str]) -> Any:
        side = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            answer = world.send(side, body, method, path, headers)
        finally:
            side.close()
        named = {name: answer.headers.get(name) for name in ("content-type", "allow", "content-length")}
        location = answer.headers.get("location", "").partition("127.0.0.1")[2].partition("/")[2]
        return answer.status, named, location, answer.body


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    model = world.linear("cloudpickle")
    with world.running(tmp_path_factory.mktemp("gateway")) as home, reference.serving(model) as port:
        ours = world.Endpoint(home).serving(model)
        yield Pair(ours.port, port)


def comparable(answer: Any) -> Any:
    """Without what differs from run to run: where traces point, and the order in which MLflow lists a set."""
    status, named, location, body = answer
    try:
        told = json.loads(body)
    except ValueError:
        return answer
    if status == 200 or not isinstance(told, dict):
        return answer
    told.pop("stack_trace", None)
    message = re.sub(r"\{'[^{}]*'\}", lambda found: str(sorted(found[0])), str(told.get("message")))
    named = {name: value for name, value in named.items() if name != "content-length"}
    return status, named, location, told | {"message": message}


@pytest.mark.parametrize("title", BODIES)
def test_a_body_gets_the_same_answer(pair: Pair, title: str) -> None:
    body, headers = BODIES[title]
    ours, theirs = pair.ask(body, "POST", "/invocations", headers)
    assert comparable(ours) == comparable(theirs)


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_every_other_request_gets_the_same_answer(pair: Pair, method: str, path: str) -> None:
    ours, theirs = pair.ask(b"", method, path, {})
    assert ours == theirs


cells = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.just([1.0]),
)
numbers = st.one_of(st.floats(), st.floats(-1e6, 1e6), st.integers(-(2**54), 2**54))
tables = st.one_of(
    st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=1, max_size=5),
    st.lists(st.lists(cells, min_size=3, max_size=5), max_size=4),
)
columns = st.one_of(st.just(COLUMNS), st.permutations(COLUMNS), st.lists(st.sampled_from([*COLUMNS, "x"]), max_size=5))


@pytest.mark.long
@settings(max_examples=400)
@given(table=tables, named=columns)
def test_any_table_gets_the_same_answer(pair: Pair, table: Any, named: list[str]) -> None:
    ours, theirs = pair.ask(split(table, named), "POST", "/invocations", world.JSON)
    assert comparable(ours) == comparable(theirs)
