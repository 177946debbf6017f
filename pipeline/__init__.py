"""edgeproof: what is compressed and checked here stays here.

OpenVINO and NNCF send an event of each use from a process of its own, which stays behind where there is no network.
Both do without the package that sends them; Python takes a module that is None for one that is not installed.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
