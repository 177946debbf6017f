"""The same under a real systemd, with its sandbox, a real user and real processes: what the stand-ins only play."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CGROUPS = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
CURL = """#!/bin/sh
[ "${*##*generate-jitconfig}" = "" ] && echo '{"encoded_jit_config": "QUJDREVG"}'
"""
# In the place of GitHub's runner: asks the hook, then does what a hostile job would try. The second one finds no job.
LISTENER = r"""#!/bin/bash
[ ! -e /out/ran ] || exec sleep 3000
job=/var/lib/edgeproof/job
event=$job/_work/_temp/_github_workflow/event.json
mkdir -p "${event%/*}"
echo '{"repository": {"full_name": "acme/vision", "id": 1}}' > "$event"
{
  echo "config $ACTIONS_RUNNER_INPUT_JITCONFIG"
  env -i GITHUB_SERVER_URL=https://github.com GITHUB_REPOSITORY=acme/vision GITHUB_EVENT_NAME=push \
    GITHUB_REF=refs/heads/main GITHUB_EVENT_PATH="$event" bash -e "$ACTIONS_RUNNER_HOOK_JOB_STARTED"
  echo "hook $?"
  echo "clock $(cat /sys/devices/system/cpu/cpufreq/policy0/scaling_{min,max}_freq | xargs)"
  until [ -r /sys/class/powercap/intel-rapl:0/energy_uj ]; do sleep 0.1; done # the story plays udev
  echo "energy $(cat /sys/class/powercap/intel-rapl:0/energy_uj)"
  for file in /etc/edgeproof/token /run/edgeproof/jitconfig /root/.ssh; do ls "$file"/ || cat "$file"; done && echo READ
  for file in /run/edgeproof/answer /usr/lib/edgeproof/board /etc/new /sys/devices/system/cpu/intel_pstate/no_turbo \
    "$job/bin/Runner.Listener" /var/lib/edgeproof/runner/current/bin/Runner.Listener; do
    if echo evil > "$file"; then echo "WRITTEN $file"; fi
  done
  if unshare --user true; then echo NAMESPACE; fi
  grep NoNewPrivs /proc/self/status
} > "$job/said" 2> "$job/complaints"
touch /tmp/left /dev/shm/left
setsid sleep 3600 &
setsid bash -c 'trap "" TERM HUP; sleep 3601; sleep 3602' &
touch "$job/ready"
sleep 2
"""
STORY = r"""
cd /repository
mkdir -p /etc/edgeproof /var/lib/edgeproof/runner/2.335.1/bin
install -m 600 /out/token /etc/edgeproof/token
install -m 755 /out/listener /var/lib/edgeproof/runner/2.335.1/bin/Runner.Listener
ln -s 2.335.1 /var/lib/edgeproof/runner/current
touch /var/lib/edgeproof/runner/asked
runners/provision/provision atom --repository acme/vision
chgrp edgeproof /sys/class/powercap/intel-rapl:0/energy_uj && chmod g+r /sys/class/powercap/intel-rapl:0/energy_uj
until [ -e /var/lib/edgeproof/job/ready ]; do sleep 0.1; done
touch /out/ran
cat /var/lib/edgeproof/job/said
flock --nonblock /run/edgeproof/lock true || echo "the lock is held"
until [ "$(systemctl show -P NRestarts edgeproof-runner.service)" = 1 ]; do sleep 0.1; done
until [ -e /run/edgeproof/jitconfig ]; do sleep 0.1; done
echo "after: $(find /tmp /dev/shm -name left) $(pgrep -cf 'sleep 360') $(ls /var/lib/edgeproof/job | xargs)"
echo "clock after $(cat /sys/devices/system/cpu/cpufreq/policy0/scaling_{min,max}_freq | xargs)"
runners/provision/provision --check && echo "check $?"
systemctl stop edgeproof-runner.service
echo "stopped $(systemctl is-active edgeproof-runner.service edgeproof-board.service | xargs) $(ls /var/lib/edgeproof)"
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group for that systemd to be the first in."""
    able = CGROUPS and Path("/lib/systemd/systemd").exists()
    if not able or subprocess.run(["unshare", "--mount", "--cgroup", "true"], capture_output=True).returncode:
        pytest.skip("wants systemd, a cgroup2 hierarchy, and to be root in namespaces of its own")
    folder = Path(CGROUPS[0]) / f"edgeproof-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*/"), reverse=True):
        path.rmdir()
    folder.rmdir()


@pytest.mark.nightly
def test_a_job_under_a_real_systemd(tmp_path: Path, cgroup: Path) -> None:
    for name, content in (("curl", CURL), ("listener", LISTENER), ("story", STORY), ("token", "github_pat_1\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    tmp_path.chmod(0o755)
    join = f'echo $$ > {cgroup}/cgroup.procs; exec "$@"'
    command = ["bash", "-c", join, "bash", HERE / "booted.sh", tmp_path]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    log = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else done.stderr

    assert "done     the units, enabled and running\n" in log
    assert "\nconfig QUJDREVG\n" in log
    assert "\nthe board is held still\nhook 0\nclock 1600000 1600000\nenergy 1000\n" in log
    assert "READ" not in log
    assert "WRITTEN" not in log
    assert "NAMESPACE" not in log
    assert re.search(r"NoNewPrivs:\s+1\n", log)
    assert "the lock is held\n" in log
    assert "after:  0 bin home\n" in log
    assert "clock after 800000 1800000\n" in log
    assert "check 0\n" in log
    assert "stopped inactive inactive runner\n" in log
