"""A pytest that a test starts is its own: under the variables of pytest-xdist, pytest-benchmark measures nothing."""

import os


def environment() -> dict[str, str]:
    """This process's variables without those."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
