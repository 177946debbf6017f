#!/bin/bash
# booted.sh FOLDER: boots this machine's systemd in namespaces of its own, on a copy-on-write view of this machine's files,
# with a /sys and /proc/cpuinfo that tell of an Atom. Runs FOLDER/story there, which writes to FOLDER/log, and ends.
# Needs root, and an empty cgroup to be in.
set -euo pipefail
folder=$1 checkout=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
if [ "${2:-}" != inside ]; then
  exec unshare --mount --pid --uts --ipc --net --cgroup --fork --propagation private "${BASH_SOURCE[0]}" "$folder" inside
fi

system=$folder/system
mkdir -p "$folder/layers" "$system"
mount -t tmpfs none "$folder/layers"
mkdir "$folder/layers/upper" "$folder/layers/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/layers/upper,workdir=$folder/layers/work" "$system"
cd "$system"
mkdir -p repository out
cp -r "$checkout/runners" repository/
mount --bind "$folder" out

for place in tmp var/tmp run dev sys; do mount -t tmpfs none "$place"; done
mount -t proc none proc
chmod 1777 tmp var/tmp
while read -r name number; do mknod -m 666 "dev/$name" c 1 "$number"; done <<< $'null 3\nzero 5\nfull 7\nrandom 8\nurandom 9'
mkdir -m 1777 dev/shm
ln -s /proc/self/fd dev/fd
ln -s null dev/console

cpus=sys/devices/system/cpu
mkdir -p sys/fs/cgroup sys/kernel $cpus/{intel_pstate,cpufreq/policy0} sys/class/{powercap/intel-rapl:0,thermal/thermal_zone0}
mount -t cgroup2 none sys/fs/cgroup
while read -r file value; do echo "$value" > "sys/$file"; done << 'END'
devices/system/cpu/intel_pstate/no_turbo 0
devices/system/cpu/cpufreq/policy0/scaling_governor schedutil
devices/system/cpu/cpufreq/policy0/scaling_min_freq 800000
devices/system/cpu/cpufreq/policy0/scaling_max_freq 1800000
class/thermal/thermal_zone0/type x86_pkg_temp
class/thermal/thermal_zone0/temp 40000
class/powercap/intel-rapl:0/energy_uj 1000
END
chmod 400 sys/class/powercap/intel-rapl:0/energy_uj
printf 'model name\t: Intel(R) Atom(TM) Processor E3940 @ 1.60GHz\n' > cpuinfo
mount --bind cpuinfo proc/cpuinfo

# What talks to hardware or to GitHub, and what this machine need not have.
for name in udevadm modprobe apt-get dpkg-query curl; do rm -f {,usr/}{,s}bin/$name; done
cp "$folder/curl" usr/bin/curl
printf '#!/bin/sh\nprintf installed\n' > usr/bin/dpkg-query
chmod 755 usr/bin/dpkg-query
for name in udevadm modprobe apt-get; do ln -s true usr/bin/$name; done
printf 'ID=ubuntu\nVERSION_ID="22.04"\n' > os-release
rm -f etc/os-release
mv os-release etc/os-release

# Of all units only ours; targets that stand for a booted system.
rm -rf usr/lib/systemd/system/*.wants etc/systemd/system/* etc/systemd/system.conf
for name in sysinit basic multi-user network-online time-sync timers; do
  printf '[Unit]\nDefaultDependencies=no\n' > usr/lib/systemd/system/$name.target
done
cat > usr/lib/systemd/system/story.service << 'END'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash /out/story
ExecStopPost=/bin/systemctl poweroff --force --force
StandardOutput=append:/out/log
StandardError=append:/out/log
END
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test \
  chroot . /lib/systemd/systemd --system --unit=story.service --log-target=null --show-status=no
