"""MLflow's types as Arrow's: what a column must be for a model to take it, and what a model's answer becomes."""

from __future__ import annotations

from typing import Any

from scoring.errors import VERSION, Stop

PREDICTION = "prediction"
_WHOLE = {"integer": 32, "long": 64, "float": 16}
"""MLflow's type -> bits of the widest signed whole number that it holds exactly."""


def plain_types() -> dict[str, Any]:
    """Name of MLflow's type -> Arrow's, for those that are one value."""
    import pyarrow as pa

    return {
        "boolean": pa.bool_(),
        "integer": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "binary": pa.binary(),
        "datetime": pa.timestamp("us"),
    }


def takes(wanted: str, there: Any) -> bool:
    """Whether every value of an Arrow type is one of MLflow's named type: widening is fine, narrowing is not."""
    from pyarrow import types as t

    if t.is_dictionary(there):
        return takes(wanted, there.value_type)
    bits = _WHOLE.get(wanted)
    if bits is not None and t.is_integer(there):
        return bool(there.bit_width <= bits if t.is_signed_integer(there) else there.bit_width < bits)
    accepted = {
        "boolean": (t.is_boolean,),
        "integer": (),
        "long": (),
        "float": (t.is_float16, t.is_float32),
        "double": (t.is_floating, t.is_integer, t.is_decimal),
        "string": (t.is_string, t.is_large_string, t.is_string_view),
        "binary": (t.is_binary, t.is_large_binary, t.is_binary_view),
        "datetime": (t.is_timestamp, t.is_date),
    }
    return wanted not in accepted or any(test(there) for test in accepted[wanted])


def answers(signature: Any) -> dict[str, Any] | None:
    """Output column -> Arrow type, as the signature says; None where it says nothing.

    One output is `prediction`, several are `prediction_NAME`. Raises Stop where it cannot be a column.
    """
    import pyarrow as pa

    schema = signature.outputs if signature is not None else None
    if schema is None or not schema.inputs:
        return None
    if schema.is_tensor_spec():
        specs = list(schema.inputs)
        names = [spec.name for spec in specs]
        kinds = [_tensor(pa, spec) for spec in specs]
    else:
        names, kinds = list(schema.input_names()), [_kind(pa, column.type) for column in schema.inputs]
    if len(kinds) == 1:
        return {PREDICTION: kinds[0]}
    return {
        f"{PREDICTION}_{name or number}": kind for number, (name, kind) in enumerate(zip(names, kinds, strict=True))
    }


def _tensor(pa: Any, spec: Any) -> Any:
    """A numpy answer of one value a row is that value, not a list of one."""
    kind = pa.string() if spec.type.kind in "USO" else pa.from_numpy_dtype(spec.type)
    inner = [size for size in spec.shape[1:] if size != 1]
    for _ in inner:
        kind = pa.list_(kind)
    return kind


def _kind(pa: Any, told: Any) -> Any:
    from mlflow.types import schema as mlflow_types

    if isinstance(told, mlflow_types.Array):
        return pa.list_(_kind(pa, told.dtype))
    if isinstance(told, mlflow_types.Object):
        return pa.struct([(prop.name, _kind(pa, prop.dtype)) for prop in told.properties])
    found = plain_types().get(getattr(told, "name", ""))
    if found is None:
        raise Stop(VERSION, f"its signature answers {str(told)[:80]!r}, which is no type of a column")
    return found
