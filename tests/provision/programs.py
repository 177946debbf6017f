"""Stand-ins for the programs that do more: curl, udevadm, systemd-tmpfiles and SSH's.

As strict as those of `programs.sh`. Run as a program, by the name that it is called with; it needs nothing installed.
"""

import base64
import json
import os
import re
import sys
from pathlib import Path

NAME, ARGUMENTS = Path(sys.argv[0]).name, sys.argv[1:]
ROOT = Path(sys.argv[0]).parents[2]
MACHINE = Path(f"{ROOT}.state")
API = "https://api.github.com/repos/"
GET = ["--fail", "--silent", "--show-error", "--location", "--proto", "=https", "--max-time", "900", "--retry", "3"]
# fmt: off
POST = [
    "--config", "-", "--fail", "--silent", "--show-error", "--proto", "=https", "--max-time", "60",
    "--header", "Accept: application/vnd.github+json", "--header", "X-GitHub-Api-Version: 2022-11-28", "--data",
]
# fmt: on


def log() -> None:
    with (MACHINE / "log").open("a") as stream:
        print(NAME, *ARGUMENTS, file=stream)


def wrong() -> None:
    log()
    with (MACHINE / "log").open("a") as stream:
        print("WRONG", NAME, *ARGUMENTS, file=stream)
    sys.exit(f"stand-in: no such use: {NAME} {ARGUMENTS}")


def refused(code: int) -> None:
    print(f"curl: (22) The requested URL returned error: {code}", file=sys.stderr)
    sys.exit(22)


def curl() -> None:
    token = (MACHINE / "token").read_text()
    if token in str(ARGUMENTS) or token in str(os.environ):
        wrong()
    if ARGUMENTS[:-1] == GET:
        fetch(ARGUMENTS[-1])
    elif ARGUMENTS[: len(POST)] == POST and len(ARGUMENTS) == len(POST) + 2:
        register(*ARGUMENTS[-2:], token)
    else:
        wrong()


def fetch(address: str) -> None:
    import hashlib

    version = (MACHINE / "newest").read_text()
    arch = {"x86_64": "x64", "aarch64": "arm64"}[(MACHINE / "arch").read_text().strip()]
    name = f"actions-runner-linux-{arch}-{version}.tar.gz"
    archive = MACHINE / "runner.tar.gz"
    if address == API + "actions/runner/releases/latest":
        digest = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
        if (MACHINE / "digest").exists():
            digest = json.loads((MACHINE / "digest").read_text())
        json.dump({"tag_name": f"v{version}", "assets": [{"name": name, "digest": digest}]}, sys.stdout)
    elif address == f"https://github.com/actions/runner/releases/download/v{version}/{name}":
        log()
        sys.stdout.buffer.write(archive.read_bytes())
    else:
        refused(404)


def register(body: str, address: str, token: str) -> None:
    log()
    if sys.stdin.read() != f'header = "Authorization: Bearer {token}"\n' or (MACHINE / "forbidden").exists():
        refused(403)
    asked = json.loads(body)
    if set(asked) != {"name", "runner_group_id", "labels", "work_folder"} or asked["runner_group_id"] != 1:
        refused(422)
    if not 1 <= len(asked["labels"]) <= 100 or address != API + "acme/vision/actions/runners/generate-jitconfig":
        refused(422)
    config = base64.b64encode(json.dumps({".runner": base64.b64encode(body.encode()).decode()}).encode()).decode()
    json.dump({"runner": {"id": 23, "name": asked["name"]}, "encoded_jit_config": config}, sys.stdout)


def udevadm_trigger() -> None:
    log()
    subsystems = [name for name in ARGUMENTS[2:] if name.startswith("--subsystem-match=")]
    if ARGUMENTS[:2] == ["trigger", "--action=add"] and len(subsystems) == len(ARGUMENTS) - 2:
        for rules in (ROOT / "etc/udev/rules.d").glob("*.rules"):
            for rule in rules.read_text().replace("\\\n", "").splitlines():
                if rule and not rule.startswith("#"):
                    apply(rule, [name.partition("=")[2] for name in subsystems])
    else:
        wrong()


def apply(rule: str, subsystems: list[str]) -> None:
    """One line of a rules file: the keys that our rules use, and RUN with the %p of a device."""
    import fnmatch

    keys = re.findall(r'([A-Z]+)(?:\{(\w+)\})?(==|!=|\+=)"([^"]*)"', rule)
    if re.sub(r'[A-Z]+(\{\w+\})?(==|!=|\+=)"[^"]*"', "", rule).strip(", "):
        wrong()
    for subsystem in subsystems:
        for device in [*ROOT.glob(f"sys/class/{subsystem}/*"), *ROOT.glob(f"sys/bus/{subsystem}/devices/*")]:
            facts = {"ACTION": "add", "SUBSYSTEM": subsystem, "KERNEL": device.name}
            attributes = {path.name: path.read_text().strip() for path in device.glob("name")}
            for key, attribute, operator, value in keys:
                have = attributes.get(attribute, "") if key == "ATTR" else facts.get(key, "")
                if operator != "+=" and fnmatch.fnmatchcase(have, value) == (operator == "!="):
                    break
            else:
                path = f"/{device.resolve().relative_to(ROOT / 'sys')}"
                for key, _, _, command in keys:
                    if key == "RUN":
                        start(command.replace("%p", path))


def start(command: str) -> None:
    if not command.startswith(("/bin/chgrp ", "/bin/chmod ", "/bin/sh -c ")):
        wrong()
    import subprocess

    command = re.sub(r"(?<![\w.])/sys/", f"{ROOT}/sys/", command.removeprefix("/bin/"))
    subprocess.run(["/bin/sh", "-c", command], env={"PATH": f"{ROOT}/usr/bin:/usr/bin:/bin"}, check=True)


def systemd_tmpfiles() -> None:
    log()
    if ARGUMENTS[0] != "--create" or len(ARGUMENTS) != 2:
        wrong()
    for line in Path(ARGUMENTS[1]).read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, name, mode, user, group, age = line.split()
        path = Path(f"{ROOT}{name}")
        if kind not in "df" or age != "-":
            wrong()
        path.mkdir(parents=True, exist_ok=True) if kind == "d" else path.touch()
        path.chmod(int(mode, 8))
        (MACHINE / "owners" / name.replace("/", "%")).write_text(f"{user}:{group}\n")


def ssh_keygen() -> None:
    import hashlib

    log()
    if ARGUMENTS[:4] != ["-q", "-t", "ed25519", "-N"] or ARGUMENTS[4:6] != ["", "-C"] or ARGUMENTS[7] != "-f":
        wrong()
    public = base64.b64encode(hashlib.sha256(ARGUMENTS[6].encode()).digest()).decode()
    Path(ARGUMENTS[8]).write_text(f"PRIVATE {public}\n")
    Path(ARGUMENTS[8]).chmod(0o600)
    Path(ARGUMENTS[8] + ".pub").write_text(f"ssh-ed25519 {public} {ARGUMENTS[6]}\n")


def ssh_keyscan() -> None:
    if ARGUMENTS != ["-t", "ed25519", "tx2.lab"]:
        wrong()
    if (MACHINE / "board").exists():
        print("tx2.lab ssh-ed25519 AAAAhost")


def ssh() -> None:
    """Logs in to the machine that `board` names as its sshd would: by a key in root's list, to that key's command."""
    import subprocess

    options = dict(option.split("=", 1) for option in ARGUMENTS[1:10:2])
    if (
        ARGUMENTS[:10:2] != ["-o"] * 5
        or ARGUMENTS[10] != "-i"
        or ARGUMENTS[12] != "root@tx2.lab"
        or len(ARGUMENTS) != 14
    ):
        wrong()
    if options["BatchMode"] != "yes" or options["StrictHostKeyChecking"] != "yes":
        wrong()
    if "AAAAhost" not in Path(options["UserKnownHostsFile"]).read_text():
        sys.exit("Host key verification failed.")
    board = Path((MACHINE / "board").read_text())
    public = Path(ARGUMENTS[11]).read_text().split()[1]
    known = board / "root/.ssh/authorized_keys"
    for line in known.read_text().splitlines() if known.exists() else []:
        found = re.fullmatch(r'restrict,command="([^"]+)" ssh-ed25519 (\S+) \S+', line)
        if found and found[2] == public:
            environment = {"PATH": "/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": ARGUMENTS[13]}
            sys.exit(subprocess.run(["/bin/bash", "-c", found[1]], env=environment).returncode)
    print("root@tx2.lab: Permission denied (publickey).", file=sys.stderr)
    sys.exit(255)


if __name__ == "__main__":
    globals()[NAME.replace("-", "_")]()
