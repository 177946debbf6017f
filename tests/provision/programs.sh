#!/bin/bash
# Stand-ins for a device's programs, by the name that this is called with. They know only what the scripts may ask, end
# with 99 for anything else, and write down what would change the machine. Who owns a file is kept beside the machine,
# since only root could really change it.
set -euo pipefail
name=${0##*/}
root=${0%/usr/bin/*}
machine=$root.state
arguments="$*"

wrong() {
  echo "stand-in: no such use: $name $arguments" >&2
  echo "WRONG $name $arguments" >> "$machine/log"
  exit 99
}
log() { echo "$name $arguments" >> "$machine/log"; }
has() { [ -e "$machine/$1" ]; }
key_of() {
  key=$1
  if [[ $key == */sys/* || $key != /* ]]; then key=$(/usr/bin/readlink -f "$key"); fi
  key=${key#"$root"}
}
owner_of() {
  local key
  key_of "$1"
  if has "owners/${key//\//%}"; then cat "$machine/owners/${key//\//%}"; else echo root:root; fi
}
owns() { # OWNER:GROUP FILE
  local key
  [ -e "$2" ] || wrong
  key_of "$2"
  echo "$1" > "$machine/owners/${key//\//%}"
}
is_owner() { [[ $1 =~ ^(root|edgeproof):(root|edgeproof)$ ]] || wrong; }

case $name in
  stat)
    [ "$1" = -c ] && [ $# -ge 3 ] || wrong
    format=$2
    shift 2
    for file in "$@"; do
      if [ ! -e "$file" ]; then
        echo "stat: cannot statx '$file': No such file or directory" >&2
        failed=1
        continue
      fi
      IFS=: read -r who group <<< "$(owner_of "$file")"
      line=${format/'%U'/$who} line=${line/'%G'/$group} line=${line/'%n'/$file}
      /usr/bin/stat -c "$line" "$file"
    done
    exit "${failed:-0}"
    ;;
  udevadm)
    case $* in
      "control --reload") log ;;
      "settle --timeout=30") ;;
      *) exec "$root/usr/bin/udevadm-trigger" "$@" ;;
    esac
    ;;
  chown)
    log
    is_owner "$1"
    owner=$1
    shift
    for file in "$@"; do owns "$owner" "$file"; done
    ;;
  chgrp)
    log
    [ "$1" = edgeproof ] || wrong
    shift
    for file in "$@"; do
      was=$(owner_of "$file")
      owns "${was%:*}:edgeproof" "$file"
    done
    ;;
  find) # -user and -delete on what somebody owns; the rest is the real one
    case $* in
      *" -ignore_readdir_race -xdev -mindepth 1 -user edgeproof -delete")
        log
        for folder in "${@:1:3}"; do
          [ -d "$folder" ] || wrong
          for file in "$folder"/*; do
            [ -e "$file" ] && [ "$(owner_of "$file")" = edgeproof:edgeproof ] || continue
            rm -r "$file"
          done
        done
        ;;
      *-user*) wrong ;;
      *) exec /usr/bin/find "$@" ;;
    esac
    ;;
  getconf)
    [ "$*" = GNU_LIBC_VERSION ] || wrong
    cat "$machine/glibc"
    ;;
  id)
    case $* in
      -u) echo 0 ;;
      "-nG edgeproof") cat "$machine/users/edgeproof" ;;
      *) wrong ;;
    esac
    ;;
  getent)
    case $1 in
      passwd) has "users/$2" || exit 2 ;;
      group) grep -qx "$2" "$machine/groups" || exit 2 ;;
      *) wrong ;;
    esac
    ;;
  useradd)
    log
    [[ "$*" =~ ^--system\ --user-group\ --no-create-home\ --home-dir\ /var/lib/edgeproof/(job/)?home\ --shell\ /(usr/sbin/nologin|bin/bash)\ --groups\ ([a-z,]*)\ edgeproof$ ]] || wrong
    ! has users/edgeproof || exit 9
    echo "edgeproof ${BASH_REMATCH[3]//,/ }" > "$machine/users/edgeproof"
    ;;
  usermod)
    log
    [[ "$*" =~ ^--groups\ ([a-z,]*)\ edgeproof$ ]] || wrong
    echo "edgeproof ${BASH_REMATCH[1]//,/ }" > "$machine/users/edgeproof"
    ;;
  dpkg-query)
    # shellcheck disable=SC2016
    [ "$1" = -W ] && [ "$2" = -f ] && [ "$3" = '${db:Status-Status}' ] && [ $# = 4 ] || wrong
    grep -qx "$4" "$machine/packages" || exit 1
    printf installed
    ;;
  apt-get)
    log
    case $* in
      "-qq update") ;;
      "-qq --no-install-recommends install "*) printf '%s\n' "${@:4}" >> "$machine/packages" ;;
      *) wrong ;;
    esac
    ;;
  systemctl)
    verb=$1
    shift
    if [ "${1:-}" = --quiet ]; then
      exec > /dev/null
      shift
    fi
    [ "${1:-}" != --now ] || shift
    for unit in "$@"; do [[ $verb == is-* ]] || [ -e "$root/etc/systemd/system/$unit" ] || wrong; done
    case $verb in
      is-enabled) has "$verb/$1" ;;
      is-active)
        if ! has "$verb/$1"; then
          echo inactive
          exit 3
        fi
        echo active
        ;;
      daemon-reload) log ;;
      enable)
        log
        for unit in "$@"; do touch "$machine/is-enabled/$unit" "$machine/is-active/$unit"; done
        ;;
      try-restart) log ;;
      stop) # the process ends, and then what the unit says is to follow
        log
        [ "$*" = edgeproof-board.service ] || wrong
        has board.pid || exit 0
        pid=$(cat "$machine/board.pid")
        rm "$machine/board.pid"
        kill "$pid" 2> /dev/null || true
        while kill -0 "$pid" 2> /dev/null; do /usr/bin/sleep 0.01; done
        "$root$(sed -n 's/^ExecStopPost=//p' "$root/etc/systemd/system/$1" | cut -d " " -f 1)" restore
        ;;
      *) wrong ;;
    esac
    ;;
  modprobe)
    log
    [ "$*" = intel_rapl_msr ] || wrong
    mkdir -p "$root/sys/class"
    mv "$machine/powercap" "$root/sys/class/powercap"
    ;;
  uname)
    [ "$*" = -m ] || wrong
    cat "$machine/arch"
    ;;
  hostname) echo lab-1 ;;
  pkill)
    log
    [ "$*" = "-KILL -u edgeproof" ] || wrong
    exit 1
    ;;
  sleep) # fifteen seconds take no time here, and cool the machine down by ten degrees
    [ "$*" != infinity ] || exec /usr/bin/sleep 60
    zone=$root/sys/class/thermal/thermal_zone0/temp
    if [ "$1" = 15 ] && has cools; then echo $(($(< "$zone") - 10000)) > "$zone"; fi
    [ "$1" -ge 5 ] || exec /usr/bin/sleep 0.03
    [ "$1" = 15 ] || echo "sleep $1" >> "$machine/slept"
    ;;
  nvpmodel)
    case $* in
      -q)
        has nvpmodel || {
          echo "NVPM ERROR: Failed to open /var/lib/nvpmodel/conf_file_path" >&2
          exit 255
        }
        printf 'NV Power Mode: MODE_%s\n%s\n' "$(cat "$machine/nvpmodel")" "$(cat "$machine/nvpmodel")"
        ;;
      "-m "[0-9])
        log
        if has reboots; then
          read -r said
          [ "$said" = no ] || wrong
          echo "NVPM ERROR: optMask is 1, no request for power mode"
          exit 255
        fi
        echo "$2" > "$machine/nvpmodel"
        ;;
      *) wrong ;;
    esac
    ;;
  jetson_clocks)
    log
    policy=$root/sys/devices/system/cpu/cpufreq/policy0
    case $* in
      "--store "*)
        [ ! -e "$2" ] || exit 1
        cat "$policy/scaling_min_freq" > "$2"
        ;;
      "--restore "*) cat "$2" > "$policy/scaling_min_freq" ;;
      "") cat "$policy/scaling_max_freq" > "$policy/scaling_min_freq" ;;
      *) wrong ;;
    esac
    ;;
  *) wrong ;;
esac
