# Where things lie on a device, and how to give up. Sourced by the scripts beside it.
# shellcheck shell=bash disable=SC2034

# Everything lies below one root, which is found from the place of the script: no variable of a job's environment can
# send it elsewhere.
at_root() {
  root=$1
  settings=$root/etc/edgeproof
  programs=$root/usr/lib/edgeproof
  state=$root/var/lib/edgeproof
  run=$root/run/edgeproof
  export PATH=$root/usr/sbin:$root/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin
}

fail() {
  echo "edgeproof: $*" >&2
  exit 1
}

# The settings are plain KEY=value lines that only root can write; `provision` has looked at every character of them.
read_settings() {
  [ -r "$settings/settings" ] || fail "no $settings/settings: run provision"
  # shellcheck source=/dev/null
  . "$settings/settings"
}

# Ends what runs as the user of the jobs, and removes what such a process left outside its folder.
wipe_after_user() {
  pkill -KILL -u "$user" || [ $? -eq 1 ] # 1: there was none
  # what others remove meanwhile is no failure
  find "$root/tmp" "$root/var/tmp" "$root/dev/shm" -ignore_readdir_race -xdev -mindepth 1 -user "$user" -delete
}

user=edgeproof
at_root "${BASH_SOURCE[0]%/usr/lib/edgeproof/common.sh}"
