"""Results as text in columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def rows_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Give rows of equal keys as a table: words to the left, numbers to the right."""
    if not rows:
        return "(nothing)"
    columns = []
    for key in rows[0]:
        values = [row[key] for row in rows]
        cells = [key, *map(shown, values)]
        width = max(map(len, cells))
        in_words = any(isinstance(value, str | list | tuple) for value in values)
        columns.append(
            [cell.ljust(width) if in_words else cell.rjust(width) for cell in cells]
        )
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


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
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
