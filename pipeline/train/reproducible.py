"""The same seed gives the same network, and memory is not cleared for nothing."""

import contextlib
import ctypes
import os

import torch

from pipeline.processes import host

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def make_deterministic(seed: int) -> None:
    """The same seed gives the same network on the same machine."""
    # cuBLAS is deterministic only with a fixed workspace; the variable must be set before the first CUDA call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # the same, without importing a compiler that nothing here uses
    # Nothing here reads memory before it writes it; filling it would take a sixth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)


def arithmetic() -> str:
    """What this machine trains with, in PyTorch's words and oneDNN's: kernels of another one round in another way."""
    chosen = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return torch.backends.cpu.get_cpu_capability() + (f", oneDNN {chosen}" if chosen else f" ({host.isa()})")


def keep_freed_memory() -> None:
    """Tell glibc not to hand freed memory back: a batch's tensors are freed and asked for again all the time, and the
    kernel would clear every page anew (a third of the time of a training on two cores)."""
    with contextlib.suppress(OSError, AttributeError):  # another C library: only slower
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
