"""One training in one process, or in one for each GPU."""

import os
import subprocess
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn


def is_main_process() -> bool:
    """True in an ordinary run and in the first process of a distributed one."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def on_all_gpus(arguments: list[str]) -> int | None:
    """Run `edgeproof ARGUMENTS` once per GPU under torchrun where there are several; None where there are not."""
    if torch.cuda.device_count() < 2 or "WORLD_SIZE" in os.environ:
        return None
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={torch.cuda.device_count()}", "-m", "pipeline", *arguments]
    return subprocess.run(command).returncode


def device() -> torch.device:
    """Where this process trains; joins the others where there are several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cuda")


def share_statistics(network: nn.Module) -> None:
    """Every process gets the first one's batch statistics, so that all validate, and stop, alike."""
    if distributed.is_initialized():
        for buffer in network.buffers():
            distributed.broadcast(buffer, 0)


def share_of(batch: NDArray[np.int64]) -> NDArray[np.int64]:
    """This process's part of a batch."""
    return batch[rank() : len(batch) - len(batch) % count() : count()]


def count() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, 0 where there is but one."""
    return distributed.get_rank() if distributed.is_initialized() else 0
