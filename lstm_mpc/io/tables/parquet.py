"""Parquet files, read and written as columns of plain values. The only importer of pyarrow."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError

_BATCH = 65536  # rows that are read at a time
_REMEDY = "needs pyarrow: pip install 'lstm_mpc[parquet]'"


def parquet_bytes(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """A table of columns as the bytes of a Parquet file; NaN is written as null."""
    arrow, parquet = library()
    arrays = {name: arrow.array(values, from_pandas=True) for name, values in columns.items()}
    stream = io.BytesIO()
    parquet.write_table(arrow.table(arrays), stream)
    return stream.getvalue()


def parquet_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    """The names of the columns of a Parquet file, then its rows: numbers as they are, all else as
    text."""
    arrow, parquet = library()
    with parquet.ParquetFile(path) as file:
        yield tuple(file.schema_arrow.names)
        for batch in file.iter_batches(_BATCH):
            columns = []
            for column in batch.columns:
                numeric = arrow.types.is_floating(column.type) or arrow.types.is_integer(
                    column.type
                )
                text = column if numeric else column.cast(arrow.string())
                columns.append(text.to_pylist())
            yield from zip(*columns, strict=True)


def library() -> tuple[Any, Any]:
    """pyarrow and its module for Parquet; InputError where it is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"a .parquet log {_REMEDY}; a .csv log needs nothing") from error
    return pyarrow, parquet
