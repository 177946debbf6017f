"""Tables as CSV files."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.system.errors import BadData


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a CSV file that has these `columns` (others too), as text.

    Raises:
        InputError: the file cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                raise BadData(f"{path}: no column {', '.join(missing)}; it needs {', '.join(columns)}")
            for line, row in enumerate(reader, start=2):
                if any(row[column] is None for column in columns):
                    raise BadData(f"{path}: line {line} has too few columns")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def write_table(path: Path, header: list[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a header and rows, with a line feed after each."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
