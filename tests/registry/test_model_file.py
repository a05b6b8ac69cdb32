"""MLmodel, requirements and examples: read when they are what they claim, refused in plain words when not."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.registry.model_file import Malformed, example, model_file, python_version, requirements
from watcher.values import Column, Signature


def written(**body: Any) -> bytes:
    return json.dumps({"flavors": {"sklearn": {}}} | body).encode()


def signature(**parts: Any) -> bytes:
    return written(signature={key: None if value is None else json.dumps(value) for key, value in parts.items()})


@pytest.mark.parametrize(
    ("spec", "column"),
    [
        ({"type": "double", "name": "a"}, Column("a", "double")),
        ({"type": "long", "name": "a", "required": False}, Column("a", "long", required=False)),
        ({"type": "long", "name": "a", "optional": True}, Column("a", "long", required=False)),
        ({"type": "string"}, Column(None, "string")),
        (
            {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}},
            Column(None, "tensor(float64,(-1,3))"),
        ),
        (
            {"type": "tensor", "name": "x", "tensor-spec": {"dtype": "float32", "shape": [-1]}},
            Column("x", "tensor(float32,(-1,))"),
        ),
        (
            {"name": "x", "type": "array", "required": True, "items": {"type": "string"}},
            Column("x", '{"items":{"type":"string"},"type":"array"}'),
        ),
    ],
)
def test_a_field_is_named_as_mlflow_names_it(spec: dict[str, Any], column: Column) -> None:
    assert model_file(signature(inputs=[spec])).signature == Signature((column,))


def test_the_order_of_keys_in_a_nested_type_does_not_matter() -> None:
    one = {"type": "object", "properties": {"a": {"type": "long", "required": True}, "b": {"type": "string"}}}
    other = {"properties": {"b": {"type": "string"}, "a": {"required": True, "type": "long"}}, "type": "object"}
    assert model_file(signature(inputs=[one])).signature == model_file(signature(inputs=[other])).signature


def test_a_parameter_with_a_default_is_not_required() -> None:
    params = [
        {"name": "limit", "type": "long", "default": 3, "shape": None},
        {"name": "stops", "type": "string", "default": None, "shape": [-1]},
    ]
    found = model_file(signature(inputs=None, outputs=None, params=params)).signature
    assert found == Signature((), None, (Column("limit", "long", required=False), Column("stops", "string(-1,)")))


def test_a_model_without_a_signature_has_none() -> None:
    assert model_file(written()).signature is None
    assert model_file(signature(inputs=None, outputs=None, params=None)).signature is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"\xff\xfe",
        b"- 1",
        b"flavors: sklearn",
        b"flavors: {1: {}}",
        b"!!python/object/apply:os.system ['true']",
        b"flavors: {}\nflavors: {}",
        b"a: &a {k: 1}\nflavors: {<<: *a}",
        b"[" * 50_000,
        b"flavors: " + b"{a: " * 5_000,
        written(signature="x"),
        written(signature={"inputs": "{"}),
        written(signature={"inputs": "{}"}),
        written(signature={"inputs": "[1]"}),
        written(signature={"inputs": "[" * 100_000}),
        signature(inputs=[{"name": "a"}]),
        signature(inputs=[{"name": 3, "type": "long"}]),
        signature(inputs=[{"name": "a", "type": "x" * 10_000}]),
        signature(inputs=[{"name": "\ud800", "type": "long"}]),
        signature(inputs=[{"name": "a", "type": "long", "required": "yes"}]),
        signature(inputs=[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": ["x"]}}]),
        signature(inputs=[{"type": "tensor", "tensor-spec": {"dtype": "float64"}}]),
    ],
)
def test_a_file_that_is_not_what_it_claims_is_refused_soon(content: bytes) -> None:
    start = time.process_time()
    with pytest.raises(Malformed):
        model_file(content)
    assert time.process_time() - start < 5


def test_merges_that_double_at_every_level_are_refused_soon() -> None:
    lines = ["a0: &a0 {k: 1}"] + [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    with pytest.raises(Malformed):
        model_file("\n".join(lines).encode())


@given(st.binary(max_size=200) | st.text(alphabet="{}[]:&*!<>-?|'\"#, \nab01", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for read in (model_file, python_version, requirements):
        with contextlib.suppress(Malformed):
            read(content)
    example(content, "dataframe")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "type", "required", "tensor-spec", "items"), json_values))
)
def test_any_field_is_read_or_refused(spec: dict[str, Any]) -> None:
    try:
        found = model_file(signature(inputs=[spec])).signature
    except Malformed:
        return
    assert found is not None
    assert isinstance(found.inputs[0].type, str)


@pytest.mark.parametrize(
    ("content", "kind", "rows"),
    [
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}, "dataframe", 2),
        ({"dataframe_records": [{"a": 1}]}, None, 1),
        ({"inputs": [[1.0], [2.0], [3.0]]}, "ndarray", 3),
        ({"inputs": {"a": [1, 2], "b": [3, 4]}}, "json_object", 2),
        ({"instances": [1]}, None, 1),
        ({"inputs": "one text"}, None, None),
    ],
)
def test_an_example_in_the_scoring_protocol_is_kept_as_it_is(content: Any, kind: str | None, rows: int | None) -> None:
    body = json.dumps(content).encode()
    found = example(body, kind)
    assert found is not None
    assert (found.body, found.rows, found.content_type) == (body, rows, "application/json")


def test_an_example_of_a_data_frame_becomes_a_request() -> None:
    found = example(b'{"columns": ["a"], "data": [[1], [2]]}', "dataframe")
    assert found is not None
    assert json.loads(found.body) == {"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}
    assert found.rows == 2


@pytest.mark.parametrize(
    ("content", "kind"), [(b"[1]", "ndarray"), (b"{", None), (b'{"a": 1}', "json_object"), (b"[" * 99_999, None)]
)
def test_what_cannot_be_a_request_is_no_example(content: bytes, kind: str | None) -> None:
    assert example(content, kind) is None


def test_requirements_are_the_lines_that_name_a_package() -> None:
    text = "# made by hand\n\nmlflow==3.15.0\nnumpy>=2  # because\n--extra-index-url https://u:p@host/simple\n-e .\n"
    assert requirements(text.encode()) == ("mlflow==3.15.0", "numpy>=2")


@pytest.mark.parametrize(("text", "version"), [("python: 3.11.7", "3.11.7"), ("python: 3.11", None), ("a: 1", None)])
def test_the_python_version_is_a_text_or_unknown(text: str, version: str | None) -> None:
    assert python_version(text.encode()) == version
