"""What unit tests share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def threads_of_torch() -> Iterator[None]:
    """The FP16 emulation has a process of its own and sets their number there; here other tests follow."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
