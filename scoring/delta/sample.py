"""A few real rows of a table, to try a version with before it is switched to."""

from __future__ import annotations

from typing import Any

from scoring.errors import INPUT, Stop, sentence


def rows(uri: str, most: int) -> Any:
    """Up to `most` rows, with the table's schema, as an Arrow table. Raises Stop."""
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        table = DeltaTable(uri)
        schema = pa.schema(table.schema())
        taken: list[Any] = []
        have = 0
        for batch in table.scan():
            some = pa.record_batch(batch).slice(0, most - have)
            taken.append(some)
            have += some.num_rows
            if have >= most:
                break
        return pa.Table.from_batches([pa.record_batch(one.columns, schema=schema) for one in taken], schema)
    except TableNotFoundError as error:
        raise Stop(INPUT, f"There is no Delta table at {uri}.") from error
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise Stop(INPUT, f"{uri} cannot be read: {sentence(error)}") from error


def columns(uri: str) -> dict[str, str] | None:
    """Column -> Arrow type of a table, None where there is none. Raises Stop."""
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return {field.name: str(field.type) for field in pa.schema(DeltaTable(uri).schema())}
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise Stop(INPUT, f"{uri} cannot be read: {sentence(error)}") from error
