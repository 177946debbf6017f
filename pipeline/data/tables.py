"""Tables as CSV files."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.system import files
from pipeline.system.errors import BadData

# What people call these columns, where they have none of the name itself.
INDICES = ("class_id", "class_idx", "label_id", "label_idx", "label_index", "category_id")
CALLED = {
    "file": ("filename", "file_name", "filepath", "filepaths", "image", "image_path", "img", "img_path", "path"),
    "class": ("label", "category", "labels", "class_name", "label_name", "category_name", "target", *INDICES),
    "class_index": INDICES,
}
SEPARATORS = ",;\t|"  # a spreadsheet writes semicolons where numbers have a decimal comma
SAID = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)  # a line before the header, for spreadsheets; they do not show it
MOST_HEADER = 1 << 16  # characters


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a CSV file that has these `columns` (others too), as text without blanks around it.

    The names of columns may be in any case, and come in lower case. They may be `CALLED` otherwise, and be parted by
    any of `SEPARATORS`, or by what a first line says (`sep=;`).

    Raises:
        InputError: the file cannot be read, is no UTF-8, lacks a column, or has a row with too few or too many.
    """
    try:
        files.check_file(path)
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = stream.readline(MOST_HEADER)
            if not (said := SAID.fullmatch(header)):
                stream.seek(0)
            delimiter = said[1] if said else next((mark for mark in SEPARATORS if mark in header), ",")
            reader = csv.DictReader(stream, delimiter=delimiter)
            names = _as_asked([name.strip().lower() for name in reader.fieldnames or []], columns)
            missing = [column for column in columns if column not in names]
            if missing:
                found = f" and has {', '.join(repr(name[:40]) for name in names[:8])}" if names else ""
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


def _as_asked(names: list[str], columns: tuple[str, ...]) -> list[str]:
    """The names of columns, those that are called otherwise by what is asked for."""
    asked = {}
    for column in columns:
        called = next((one for one in (column, *CALLED.get(column, ())) if one in names), column)
        asked[called] = column
    return [asked.get(name, name) for name in names]


def write_table(path: Path, header: list[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a header and rows, with a line feed after each."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
