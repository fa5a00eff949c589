"""Formats of what LEAN feeds: JSON lines, CSV, a table for the terminal, and Parquet."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from server.core.errors import ToolMissingError
from server.lean.feed import Bar, Delisting, Dividend, Item, Rename, Split

COLUMNS = {
    "type": str,
    "day": str,
    "start": str,
    "end": str,
    "ticker": str,
    "open": float,
    "high": float,
    "low": float,
    "close": float,
    "volume": float,
    "filled": bool,
    "kind": str,
    "factor": float,
    "reference": float,
    "amount": float,
    "old": str,
    "new": str,
}
"""The columns of CSV and Parquet, with their types. A row has values in the columns of its type."""

_BATCH = 50_000


def record(item: Item) -> dict[str, Any]:
    """Return an item as one flat object; times are New York's, in ISO 8601 without an offset."""
    if isinstance(item, Bar):
        return {
            "type": "bar",
            "start": item.start.isoformat(),
            "end": item.end.isoformat(),
            "ticker": item.ticker,
            "open": item.open,
            "high": item.high,
            "low": item.low,
            "close": item.close,
            "volume": int(item.volume) if item.volume.is_integer() else item.volume,
            "filled": item.filled,
        }
    shared = {"day": item.day.isoformat(), "ticker": item.ticker}
    match item:
        case Split(kind=kind, factor=factor, reference=reference):
            return {"type": "split", **shared, "kind": kind.value, "factor": factor, "reference": reference}
        case Dividend(amount=amount, reference=reference):
            return {"type": "dividend", **shared, "amount": amount, "reference": reference}
        case Delisting(kind=delisting):
            return {"type": "delisting", **shared, "kind": delisting.value}
        case Rename(old=old, new=new):
            return {"type": "rename", **shared, "old": old, "new": new}
    raise TypeError(f"not an item of a feed: {item!r}")


def json_lines(items: Iterable[Item]) -> Iterator[str]:
    """Return one JSON object for each item."""
    from msgspec.json import Encoder

    encode = Encoder().encode
    return (encode(record(item)).decode() for item in items)


def csv_lines(items: Iterable[Item]) -> Iterator[str]:
    """Return a header, and one row for each item; cells that an item does not have are empty."""
    yield ",".join(COLUMNS)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="")
    for item in items:
        values = record(item)
        if "filled" in values:
            values["filled"] = str(values["filled"]).lower()
        writer.writerow(values)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def table_lines(items: Iterable[Item]) -> Iterator[str]:
    """Return lines for people: bars in columns, events as text between them."""
    yield f"{'start':<20}{'end':<20}{'ticker':<8}{'open':>14}{'high':>14}{'low':>14}{'close':>14}{'volume':>16}"
    for item in items:
        if isinstance(item, Bar):
            prices = "".join(f"{price:>14.6g}" if price < 1 else f"{price:>14,.4f}" for price in item[3:7])
            end = "  filled" if item.filled else ""
            yield f"{item.start!s:<20}{item.end!s:<20}{item.ticker:<8}{prices}{item.volume:>16,.10g}{end}"
        else:
            yield f"{item.day!s:<40}{item.ticker:<8}  {_sentence(item)}"


def _sentence(item: Item) -> str:
    match item:
        case Split():
            what = "split" if item.kind.value == "occurred" else "split on the next trading day"
            return f"{what}: factor {item.factor:.10g}, reference price {item.reference:.10g}"
        case Dividend():
            return f"dividend: ${item.amount:.2f} a share, reference price {item.reference:.10g}"
        case Delisting():
            return "last day of the share" if item.kind.value == "warning" else "delisted"
        case Rename():
            return f"renamed from {item.old} to {item.new}"
    raise TypeError(f"not an item of a feed: {item!r}")


def check_parquet() -> None:
    """Check that Parquet can be written.

    Raises:
        ToolMissingError: pyarrow is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        is_absent = isinstance(error, ModuleNotFoundError) and error.name in ("pyarrow", "pyarrow.parquet")
        what = "is not installed" if is_absent else f"cannot be imported: {error}"
        raise ToolMissingError(
            f"--format parquet needs pyarrow, which {what}; pip install pyarrow, or choose another format"
        ) from error


def write_parquet(items: Iterable[Item], file: IO[bytes]) -> None:
    """Write items as a Parquet file with the columns of `COLUMNS`; cells that an item does not have are null."""
    import pyarrow
    from pyarrow import parquet

    types: dict[type, Callable[[], Any]] = {str: pyarrow.string, float: pyarrow.float64, bool: pyarrow.bool_}
    schema = pyarrow.schema([(name, types[kind]()) for name, kind in COLUMNS.items()])
    with parquet.ParquetWriter(file, schema) as writer:
        for batch in _batches(items):
            columns = [[COLUMNS[name](row[name]) if name in row else None for row in batch] for name in COLUMNS]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _batches(items: Iterable[Item]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(record(item))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
