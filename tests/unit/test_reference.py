"""docs/reference.md is what the program says of itself today."""

from pathlib import Path

from pipeline.cli.reference import reference

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_reference_is_up_to_date() -> None:
    assert (REPOSITORY / "docs" / "reference.md").read_text() == reference(), "run `make docs`"
