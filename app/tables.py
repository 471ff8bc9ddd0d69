"""Results as text in columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def rows_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Give rows of equal keys as a table, the first column to the left."""
    if not rows:
        return "(nothing)"
    keys = list(rows[0])
    table = [keys, *([shown(row[key]) for key in keys] for row in rows)]
    widths = [max(len(line[at]) for line in table) for at in range(len(keys))]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(
                    cell.rjust(width)
                    for cell, width in zip(line[1:], widths[1:], strict=True)
                ),
            ]
        )
        for line in table
    )


def table_text(result: Mapping[str, Any]) -> str:
    """Give one line a key."""
    width = max(len(key) for key in result)
    return "\n".join(f"{key:<{width}}  {shown(value)}" for key, value in result.items())


def pages_text(pages: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> str:
    """Give several tables under their titles."""
    return "\n\n".join(f"{title}\n{rows_text(rows)}" for title, rows in pages)


def shown(value: object) -> str:
    """Give a value in short; what is not known is a dash."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
