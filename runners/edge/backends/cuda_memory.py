"""Memory and streams of a GPU by CUDA's runtime library. Standard library only: JetPack 4 has no package for it.

Every prototype is declared, since ctypes would cut a pointer to 32 bits, and every return code is looked at. Arrays
are copied from and to ordinary memory: what `cudaHostAlloc` gives is uncached for the CPU of a TX2 (compute capability
below 7.2: NVIDIA, CUDA for Tegra), and so is slower than a copy of four regions.
"""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_void_p
from typing import Any, Tuple

from runners.edge.backends.unusable import Unusable

LIBRARY = "libcudart.so.10.2"
TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
MAJOR, MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor, Minor
PROPERTIES = 8192  # bytes; more than any version's cudaDeviceProp, which starts with the name in 256
PROTOTYPES = {
    "cudaDeviceGetAttribute": [POINTER(c_int), c_int, c_int],
    "cudaFree": [c_void_p],
    "cudaGetDevice": [POINTER(c_int)],
    "cudaGetDeviceProperties": [c_void_p, c_int],
    "cudaMalloc": [POINTER(c_void_p), c_size_t],
    "cudaMemcpyAsync": [c_void_p, c_void_p, c_size_t, c_int, c_void_p],
    "cudaStreamCreate": [POINTER(c_void_p)],
    "cudaStreamDestroy": [c_void_p],
    "cudaStreamSynchronize": [c_void_p],
}


class Cuda:
    """CUDA's runtime, on the device that is current (the only one of a Jetson). Addresses and streams are numbers.

    Each method raises Unusable with CUDA's own words if its call fails.
    """

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            fix = "install JetPack 4.6's package cuda-cudart-10-2"
            raise Unusable("no {} here: {} ({})".format(LIBRARY, fix, error)) from error
        for name, arguments in PROTOTYPES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, c_int
        self._library.cudaGetErrorString.argtypes, self._library.cudaGetErrorString.restype = [c_int], c_char_p

    def device(self) -> Tuple[str, Tuple[int, int]]:
        """The name of the GPU and its compute capability, (6, 2) of Tegra Parker."""
        index, major, minor = c_int(), c_int(), c_int()
        properties = ctypes.create_string_buffer(PROPERTIES)
        self._call("cudaGetDevice", ctypes.byref(index))
        self._call("cudaGetDeviceProperties", properties, index)
        self._call("cudaDeviceGetAttribute", ctypes.byref(major), MAJOR, index)
        self._call("cudaDeviceGetAttribute", ctypes.byref(minor), MINOR, index)
        return properties.value[:256].decode("ascii", "replace"), (major.value, minor.value)

    def allocate(self, size: int) -> int:
        """The address of `size` bytes on the device; `free` gives them back."""
        address = c_void_p()
        self._call("cudaMalloc", ctypes.byref(address), size)
        return int(address.value or 0)

    def free(self, address: int) -> None:
        """Give back what `allocate` gave."""
        self._call("cudaFree", address)

    def new_stream(self) -> int:
        """A queue of work for the device; `end_stream` ends it."""
        stream = c_void_p()
        self._call("cudaStreamCreate", ctypes.byref(stream))
        return int(stream.value or 0)

    def end_stream(self, stream: int) -> None:
        """End what `new_stream` began."""
        self._call("cudaStreamDestroy", stream)

    def to_device(self, address: int, array: Any, stream: int) -> None:
        """Queue a copy of a NumPy array, whose memory must be in one piece and stay until `wait`."""
        assert array.flags.c_contiguous
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, TO_DEVICE, stream)

    def to_host(self, array: Any, address: int, stream: int) -> None:
        """Queue a copy into a NumPy array, which is filled after `wait`."""
        assert array.flags.c_contiguous
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, TO_HOST, stream)

    def wait(self, stream: int) -> None:
        """Return when all that was queued is done; errors of that work show here."""
        self._call("cudaStreamSynchronize", stream)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            said = self._library.cudaGetErrorString(code).decode("ascii", "replace")
            raise Unusable("{} failed: {} ({})".format(name, said, code))
