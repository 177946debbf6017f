"""edgeproof: what is compressed and checked here stays here.

OpenVINO and NNCF send an event of each use from a process of its own, which stays behind where there is no network.
Both do without the package that sends them; Python takes a module that is None for one that is not installed.

A few bytes can claim to be a picture of gigabytes. OpenCV reads once, when it is first imported, how many pixels it is
to decode at most; and that it need not print what it thinks of a damaged one, which we say in our own words.
"""

import os
import sys

MOST_PIXELS = 1 << 28  # 805 MB once decoded; the largest cameras of phones take 200 million

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
