"""A process that may take no more memory than a target has, however large this machine is."""

import resource

# NumPy starts a thread for each core of this machine, and each takes some 40 MiB.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}


def keep(mib: int) -> None:
    """Hold this process, and what it starts, to so many MiB of data; made for `preexec_fn`."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)  # which nobody can raise
    limit = mib << 20 if most == resource.RLIM_INFINITY else min(mib << 20, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
