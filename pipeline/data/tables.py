"""Tables as CSV files."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.system import files
from pipeline.system.errors import BadData


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a CSV file that has these `columns` (others too), as text without blanks around it.

    The names of columns may be in any case, and come in lower case.

    Raises:
        InputError: the file cannot be read, is no UTF-8, lacks a column, or has a row with too few or too many.
    """
    try:
        files.check_file(path)
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            names = [name.strip().lower() for name in reader.fieldnames or []]
            missing = [column for column in columns if column not in names]
            if missing:
                found = f" and has {', '.join(map(repr, names[:8]))}" if names else ""
                raise BadData(f"{path}: no column {', '.join(missing)}; it needs {', '.join(columns)}{found}")
            if twice := next((name for name in names if name and names.count(name) > 1), None):
                raise BadData(f"{path}: the column {twice!r} is there more than once")
            reader.fieldnames = names
            for row in reader:
                if any(row[column] is None for column in columns):
                    raise BadData(f"{path}: line {reader.line_num} has too few columns")
                if None in row:
                    raise BadData(f"{path}: line {reader.line_num} has too many columns; quote values with commas")
                yield {name: (value or "").strip() for name, value in row.items()}
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadData(f"{path}: is no UTF-8 text (byte 0x{byte:02x}); save it as CSV in UTF-8") from error
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error.strerror or error})") from error
    except csv.Error as error:
        raise BadData(f"{path}: is no CSV ({error})") from error


def write_table(path: Path, header: list[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a header and rows, with a line feed after each."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
