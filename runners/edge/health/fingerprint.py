"""Which board this is and what runs on it: numbers are compared under equal fingerprints only.

What cannot be read is null, and the reason stands beside it: nothing is made up. Must run on Python 3.6 with the
standard library.
"""

import glob
import os
import re
import subprocess
import sys
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from runners.edge.health.clocks import governors, turbo
from runners.edge.health.snapshot import limits_w
from runners.edge.sysfs import Unreadable, read_text

DMI = "sys/class/dmi/id"
TREE = "proc/device-tree"
# What makers leave in a field that they did not fill.
EMPTY = re.compile(r"|0+|none|unknown|default string|to be filled by o\.e\.m\.|system serial number|not .*", re.I)
DRIVERS = re.compile(
    r"nvidia-jetpack|nvidia-l4t-core|tensorrt|libnvinfer\d+|libcudnn\d+|cuda-cudart-[\d-]+|intel-opencl-icd[\w-]*"
    r"|i965-va-driver|intel-media-va-driver[\w-]*"
)
PYTHON_PACKAGES = re.compile(
    r"(numpy|onnxruntime\w*|openvino|opencv_python\w*|tensorrt)-([\w.!+]+?)(?:-py3[\w.-]*)?\.(?:dist|egg)-info", re.I
)
NVPMODEL_S = 10

Reasons = Dict[str, str]


def read(
    root: str = "/", packages: Optional[Sequence[str]] = None, ask: Optional[Callable[[], str]] = None
) -> Tuple[Dict[str, Any], Reasons]:
    """The fields of the record's fingerprint, and why those are null that are.

    `packages` are the folders in which Python's packages lie, `ask` gives what `nvpmodel -q` prints.
    """
    given = {
        "board": _board(root),
        "serial": _serial(root),
        "soc": _soc(root),
        "kernel": read_text(os.path.join(root, "proc/sys/kernel/osrelease")),
        "os_image": _os_image(root),
        "power_mode": _power_mode(root, ask or _nvpmodel),
        "governor": ", ".join(governors(root)),
        "microcode": _of_cpuinfo(root, "microcode"),
    }
    why = {
        "board": "neither /sys/class/dmi nor a device tree names it: the host's name stands for it",
        "serial": "neither {} nor {} gives one to this user; run as root once to see whether there is one".format(
            "/sys/class/dmi/id/board_serial", "/proc/device-tree/serial-number"
        ),
        "soc": "neither /proc/device-tree/compatible nor /proc/cpuinfo names it",
        "kernel": "no /proc/sys/kernel/osrelease",
        "os_image": "neither /etc/nv_tegra_release nor /etc/os-release",
        "power_mode": "no nvpmodel, no turbo to switch and no power limit to read",
        "governor": "no cpufreq: the clock is not for the kernel to choose",
        "microcode": "/proc/cpuinfo tells of none",
    }
    fields: Dict[str, Any] = {}
    reasons: Reasons = {}
    for name, value in given.items():
        if isinstance(value, Unreadable):
            fields[name], reasons[name] = None, str(value)
        else:
            fields[name] = value or None
            if not value:
                reasons[name] = why[name]
    fields["board"] = fields["board"] or read_text(os.path.join(root, "proc/sys/kernel/hostname")) or "unknown"
    fields["versions"] = _versions(root, sys.path if packages is None else packages)
    return fields, reasons


def _board(root: str) -> str:
    model = read_text(os.path.join(root, TREE, "model"))
    return model or " ".join(filter(None, (_dmi(root, "board_vendor"), _dmi(root, "board_name"))))


def _serial(root: str) -> str:
    serial = read_text(os.path.join(root, TREE, "serial-number"))
    return serial or _dmi(root, "board_serial") or _dmi(root, "product_serial")


def _dmi(root: str, name: str) -> str:
    text = read_text(os.path.join(root, DMI, name))
    return "" if EMPTY.fullmatch(text) else text


def _soc(root: str) -> str:
    """The last name in a device tree's list is the most general one: `nvidia,tegra186`."""
    compatible = read_text(os.path.join(root, TREE, "compatible")).split("\0")[-1]
    return compatible or _of_cpuinfo(root, "model name")


def _of_cpuinfo(root: str, field: str) -> str:
    lines = read_text(os.path.join(root, "proc/cpuinfo")).splitlines()
    values = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field)
    return " ".join(next(values, "").split())


def _os_image(root: str) -> str:
    tegra = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", read_text(os.path.join(root, "etc/nv_tegra_release")))
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]+)', read_text(os.path.join(root, "etc/os-release")), re.M)
    names = ["L4T R{}.{}".format(*tegra.groups())] if tegra else []
    return ", ".join(names + ([pretty.group(1)] if pretty else []))


def _power_mode(root: str, ask: Callable[[], str]) -> Any:
    """nvpmodel's on a Jetson; elsewhere turbo and the package's long-term limit, which decide as much."""
    if os.path.exists(os.path.join(root, "etc/nv_tegra_release")):
        try:
            said = ask()
        except Unreadable as error:
            return error
        mode = re.search(r"NV Power Mode: *(\S+)", said)
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
        return mode.group(1) if mode else Unreadable("nvpmodel -q printed: {}".format(last))
    boost = {None: "", False: "turbo off", True: "turbo on"}[turbo(root)]
    limits = sorted(limits_w(root).items())
    packages = ["{} {:g} W".format(zone, watts) for zone, watts in limits if zone.startswith("package")]
    return ", ".join(filter(None, [boost, *packages]))


def _nvpmodel() -> str:
    try:
        # Some releases ask whether they may restart the board.
        done = subprocess.run(
            ["nvpmodel", "-q"], input=b"no\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=NVPMODEL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreadable("nvpmodel -q: {}".format(error)) from error
    return done.stdout.decode("utf-8", "replace")


def _versions(root: str, packages: Sequence[str]) -> Dict[str, str]:
    """Of Debian packages that drive the hardware, of Python and its runtimes; of what is here."""
    versions = {"python": "{}.{}.{}".format(*sys.version_info[:3])}
    for entry in read_text(os.path.join(root, "var/lib/dpkg/status")).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line and line[0] != " ")
        name = fields.get("Package", "")
        if DRIVERS.fullmatch(name) and fields.get("Status") == "install ok installed" and "Version" in fields:
            versions[name] = fields["Version"]
    for folder in reversed(packages):  # the first one found is the one that is imported
        for path in sorted(glob.glob(os.path.join(glob.escape(folder or "."), "*-info"))):
            found = PYTHON_PACKAGES.fullmatch(os.path.basename(path))
            if found:
                versions[found.group(1).lower().replace("_", "-")] = found.group(2)
    return versions
