"""What /sys, /proc and /etc show on three boards, as far as edgeproof reads it: names, units and values as published.

Atom: zones, ranges, limits and governors of an Apollo Lake (Linux, drivers/powercap; InstLatx64's J3455). TX2: a module
on L4T R32.7.6 and two captures of its tegrastats. Orin: an Orin Nano's hwmon and its event counts.
"""

from collections.abc import Callable
from pathlib import Path

RANGE_UJ = 262143328850  # of a Goldmont: 2^32 - 1 steps of 61.035 microjoules
CPU = "sys/devices/system/cpu"
TX2_INA = "sys/bus/i2c/drivers/ina3221x"
ORIN_INA = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
GPU = "sys/devices/17000000.gp10b"


def write(root: Path, files: dict[str, object]) -> Path:
    """Write files below `root`, each with a line end."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def busy(root: Path, cores: list[int], seconds: int, *, idle: int = 0) -> None:
    """What each core has done since the start, in hundredths of a second."""
    lines = [f"cpu{core} {seconds * 100} 0 0 {idle * 100} 0 0 0 0 0 0" for core in cores]
    write(root, {"proc/stat": "\n".join(["cpu  1 0 0 1 0 0 0 0 0 0", *lines])})


def atom(root: Path) -> Path:
    """An Atom x5-E3940 with turbo off, its clock set to 1.6 GHz."""
    rapl = "sys/class/powercap/intel-rapl"
    zones = {":0": "package-0", ":0:0": "core", ":0:1": "uncore", ":0:2": "dram"}
    files: dict[str, object] = {
        f"{rapl}:0/constraint_0_name": "long_term", f"{rapl}:0/constraint_0_power_limit_uw": 10_000_000,
        f"{rapl}:0/constraint_1_name": "short_term", f"{rapl}:0/constraint_1_power_limit_uw": 25_000_000,
        f"{CPU}/intel_pstate/no_turbo": 1,
        "sys/class/thermal/thermal_zone0/type": "acpitz", "sys/class/thermal/thermal_zone0/temp": 37000,
        "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp", "sys/class/thermal/thermal_zone1/temp": 38000,
        "sys/class/thermal/cooling_device0/type": "Processor", "sys/class/thermal/cooling_device0/cur_state": 0,
        "sys/class/thermal/cooling_device4/type": "LCD", "sys/class/thermal/cooling_device4/cur_state": 70,
        "sys/class/dmi/id/board_vendor": "AAEON", "sys/class/dmi/id/board_name": "UP-APL01",
        "sys/class/dmi/id/board_serial": "To be filled by O.E.M.", "sys/class/dmi/id/product_serial": "A0042",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) Atom(TM) Processor E3940 @ 1.60GHz\nmicrocode\t: 0x28",
        "proc/sys/kernel/osrelease": "6.8.0-57-generic",
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"',
        "var/lib/dpkg/status": "Package: intel-opencl-icd-legacy1\nStatus: install ok installed\n"
        "Version: 24.35.30872.36\nDescription: OpenCL\n Version: none\n\n"
        "Package: i965-va-driver\nStatus: deinstall ok config-files\nVersion: 2.4.1",
    }  # fmt: skip
    for zone, name in zones.items():
        files |= {
            f"{rapl}{zone}/name": name,
            f"{rapl}{zone}/energy_uj": 1000,
            f"{rapl}{zone}/max_energy_range_uj": RANGE_UJ,
        }
    for core in range(4):
        policy = f"{CPU}/cpufreq/policy{core}"
        files |= {
            f"{policy}/affected_cpus": core, f"{policy}/scaling_cur_freq": 1600000,
            f"{policy}/scaling_max_freq": 1600000, f"{policy}/scaling_governor": "performance",
            f"{CPU}/cpu{core}/thermal_throttle/core_throttle_count": 2,
            f"{CPU}/cpu{core}/thermal_throttle/package_throttle_count": 5,
        }  # fmt: skip
    busy(write(root, files), [0, 1, 2, 3], 10)
    return root


def tx2(root: Path) -> Path:
    """A TX2 in mode MAXP_CORE_ARM: the cores 0 and 3 to 5 are online."""
    rails = (
        ("0-0040", 0, {"VDD_SYS_GPU": 152, "VDD_SYS_SOC": 687, "VDD_4V0_WIFI": 0}),
        ("0-0041", 1, {"VDD_IN": 3056, "VDD_SYS_CPU": 152, "VDD_SYS_DDR": 883}),
    )
    zones = {
        "BCPU-therm": 38000, "MCPU-therm": 38000, "GPU-therm": 36500, "PLL-therm": 38000, "Tboard_tegra": 36000,
        "Tdiode_tegra": 35000, "PMIC-Die": 100000, "thermal-fan-est": 37600,
    }  # fmt: skip
    files: dict[str, object] = {
        f"{CPU}/cpufreq/policy0/affected_cpus": "0 3 4 5", f"{CPU}/cpufreq/policy0/scaling_cur_freq": 2000000,
        f"{CPU}/cpufreq/policy0/scaling_max_freq": 2000000, f"{CPU}/cpufreq/policy0/scaling_governor": "schedutil",
        f"{GPU}/devfreq/17000000.gp10b/cur_freq": 1120000000, f"{GPU}/devfreq/17000000.gp10b/max_freq": 1120000000,
        f"{GPU}/load": 0,
        "sys/devices/pwm-fan/cur_pwm": 51,
        "sys/class/thermal/cooling_device0/type": "pwm-fan", "sys/class/thermal/cooling_device0/cur_state": 3,
        "sys/class/thermal/cooling_device1/type": "gpu-balanced", "sys/class/thermal/cooling_device1/cur_state": 0,
        "etc/nv_tegra_release": "# R32 (release), REVISION: 7.6, GCID: 38171779, BOARD: t186ref",
        "etc/os-release": 'PRETTY_NAME="Ubuntu 18.04.6 LTS"',
        "proc/device-tree/model": "quill\0", "proc/device-tree/serial-number": "1420921055981\0",
        "proc/device-tree/compatible": "nvidia,p2597-0000+p3310-1000\0nvidia,tegra186\0",
        "proc/sys/kernel/osrelease": "4.9.337-tegra",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 3 (v8l)\nCPU part\t: 0xd07",
        "var/lib/dpkg/status": "Package: nvidia-jetpack\nStatus: install ok installed\nVersion: 4.6.6-b24\n\n"
        "Package: libnvinfer8\nStatus: install ok installed\nVersion: 8.2.1-1+cuda10.2",
    }  # fmt: skip
    for index, (kind, value) in enumerate(zones.items()):
        zone = f"sys/class/thermal/thermal_zone{index}"
        files |= {f"{zone}/type": kind, f"{zone}/temp": value}
    for chip, device, channels in rails:
        folder = f"{TX2_INA}/{chip}/iio:device{device}"
        files[f"{folder}/running_mode"] = 1
        for channel, (rail, milliwatts) in enumerate(channels.items()):
            files |= {
                f"{folder}/rail_name_{channel}": rail,
                f"{folder}/in_power{channel}_input": milliwatts,
                f"{folder}/in_power{channel}_trigger_input": 0,
            }
    busy(write(root, files), [0, 3, 4, 5], 10)
    return root


def orin(root: Path) -> Path:
    """An Orin Nano on JetPack 5 or 6: millivolts and milliamperes, the seventh channel a sum of shunt voltages."""
    events = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon2"
    files: dict[str, object] = {
        f"{ORIN_INA}/name": "ina3221", f"{ORIN_INA}/samples": 16, f"{ORIN_INA}/update_interval": 70,
        f"{ORIN_INA}/in1_label": "VDD_IN", f"{ORIN_INA}/in1_input": 4984, f"{ORIN_INA}/curr1_input": 1856,
        f"{ORIN_INA}/in2_label": "VDD_CPU_GPU_CV", f"{ORIN_INA}/in2_input": 4984, f"{ORIN_INA}/curr2_input": 400,
        f"{ORIN_INA}/in3_label": "NC", f"{ORIN_INA}/in3_input": 0, f"{ORIN_INA}/curr3_input": 0,
        f"{ORIN_INA}/in7_label": "sum of shunt voltages", f"{ORIN_INA}/in7_input": 11, f"{ORIN_INA}/curr7_input": 9,
        f"{events}/name": "soctherm_oc", f"{events}/oc1_event_cnt": 0, f"{events}/oc2_event_cnt": 4,
        f"{events}/oc3_event_cnt": 27390,
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal", "sys/class/thermal/thermal_zone0/temp": 63625,
        "sys/class/thermal/thermal_zone1/type": "cv0-thermal", "sys/class/thermal/thermal_zone1/temp": -256000,
    }  # fmt: skip
    return write(root, files)


TREES: dict[str, Callable[[Path], Path]] = {"atom": atom, "tx2": tx2, "orin": orin}
