"""What a process of ours may take of this machine; its functions are made for `preexec_fn`."""

import resource

# Of a process with a target's memory: NumPy starts a thread for each core of this machine, and each takes some 40 MiB.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}


def without_core() -> None:
    """Let this process, should it crash, not be written to the disk: that takes long, in a folder that is not ours."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit(memory_mib: int | None) -> None:
    """The same, and hold this process, with what it starts, to so many MiB of data, if any."""
    without_core()
    if memory_mib:
        _, most = resource.getrlimit(resource.RLIMIT_DATA)  # which nobody can raise
        limited = memory_mib << 20 if most == resource.RLIM_INFINITY else min(memory_mib << 20, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limited, limited))
