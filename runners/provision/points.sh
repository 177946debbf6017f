# What a machine must have. A point has a title, a probe that says what is missing and changes nothing, and a way to
# mend it, unless a person must. Sourced by `provision`.
# shellcheck shell=bash disable=SC2034,SC2153,SC2154

missing=0 mendable=0 title=""

point() { # TITLE PROBE [MEND]
  local reason
  title=$1
  if reason=$("$2"); then
    echo "ok       $1"
    return
  fi
  if [ "$check" = no ] && [ -n "${3:-}" ]; then
    "$3" # where it fails, so does all
    if reason=$("$2"); then
      echo "done     $1"
      return
    fi
  fi
  echo "missing  $1: $reason"
  missing=$((missing + 1))
  [ -z "${3:-}" ] || mendable=$((mendable + 1))
}

# What a probe says when it fails.
lacks() {
  echo "$*"
  return 1
}

# has FILE OWNER:GROUP MODE
has() {
  [ -e "$1" ] || lacks "no ${1#"$root"}" || return
  [ "$(stat -c '%U:%G %a' "$1")" = "$2 $3" ] || lacks "${1#"$root"} is $(stat -c '%U:%G %a' "$1"), not $2 $3"
}

# put FROM TO MODE: a new file, so root's, and whole at every moment.
put() {
  install -D -m "$3" "$1" "$2.new"
  mv "$2.new" "$2"
}

# The glibc that the runner's Node wants; Ubuntu 18.04 has 2.27.
can_run_a_runner() {
  glibc=${glibc:-$(getconf GNU_LIBC_VERSION)}
  [ "$(printf '%s\n' 2.28 "${glibc#glibc }" | sort -V | head -n 1)" = 2.28 ]
}

# What is installed, a line each: source in the checkout, place, mode.
files() {
  local file
  for file in "$checkout/runners/$KIND"/*.rules; do
    [ ! -e "$file" ] || echo "$file $root/etc/udev/rules.d/90-edgeproof.rules 644"
  done
  file=$checkout/runners/provision
  echo "$file/device/common.sh $programs/common.sh 644"
  echo "$checkout/runners/$KIND/$KIND.sh $programs/$KIND.sh 644"
  echo "$file/device/board $programs/board 755"
  echo "$file/units/edgeproof.conf $root/etc/tmpfiles.d/edgeproof.conf 644"
  can_run_a_runner || return 0
  for file in "$checkout"/runners/provision/device/{runner,jitconfig,job-started.sh}; do
    echo "$file $programs/${file##*/} 755"
  done
  for file in "$checkout"/runners/provision/units/*.{service,path,timer}; do
    echo "$file $root/etc/systemd/system/${file##*/} 644"
  done
}

board_points() {
  [ -z "$(packages)" ] || point "the packages $(packages | xargs)" packages_are_there install_packages
  point "user $user, in no group with rights" user_is_there make_user
  point "nothing in sudoers about $user" sudoers_are_silent
  point "settings in /etc/edgeproof/settings" settings_are_there write_settings
  point "scripts, units and rules, root's and as in this checkout" files_are_there install_files
  point "/run/edgeproof, where a job asks for the board" run_is_there make_run
  kind_points
  [ "$(rails)" = "" ] || point "power rails that $user may read" rails_are_readable trigger_udev
}

packages() {
  can_run_a_runner || return 0
  printf '%s\n' ca-certificates curl git jq make openssh-client procps python3-venv
}

packages_are_there() {
  local name lacking=""
  for name in $(packages); do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2> /dev/null)" = installed ] || lacking="$lacking $name"
  done
  [ -z "$lacking" ] || lacks "not installed:$lacking"
}

install_packages() {
  apt-get -qq update
  # shellcheck disable=SC2046
  DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install $(packages) > /dev/null
}

# The groups of GPUs and cameras, where the system has them.
groups_of_user() {
  local name list=""
  for name in render video; do
    if getent group "$name" > /dev/null; then list="$list $name"; fi
  done
  echo "${list# }"
}

user_is_there() {
  local have wanted
  getent passwd "$user" > /dev/null || lacks "no such user" || return
  have=$(id -nG "$user" | xargs -n 1 | sort | xargs)
  wanted=$(xargs <<< "$user $(groups_of_user)")
  [ "$have" = "$wanted" ] || lacks "it is in $have, and should be in $wanted"
}

make_user() {
  local groups shell=/usr/sbin/nologin home=$state/job/home
  groups=$(groups_of_user)
  if ! can_run_a_runner; then shell=/bin/bash home=$state/home; fi # SSH starts a shell, and looks into a home
  if getent passwd "$user" > /dev/null; then
    usermod --groups "${groups// /,}" "$user"
  else
    useradd --system --user-group --no-create-home --home-dir "${home#"$root"}" --shell "$shell" \
      --groups "${groups// /,}" "$user"
  fi
}

sudoers_are_silent() {
  local found
  found=$(grep -lsw "$user" "$root/etc/sudoers" "$root"/etc/sudoers.d/* | xargs)
  [ -z "$found" ] || lacks "take out what is said of it in $found"
}

settings_text() {
  printf 'KIND=%s\nREPOSITORY=%s\nLABELS=%s\nCOOL_C=%s\nPOWER_MODE=%s\nBOARD=%s\n' \
    "$KIND" "$REPOSITORY" "$LABELS" "$COOL_C" "$POWER_MODE" "$BOARD"
}

settings_are_there() {
  has "$settings/settings" root:root 644 && has "$settings" root:root 755 || return 1
  [ "$(cat "$settings/settings")" = "$(settings_text)" ] || lacks "other ones"
}

write_settings() {
  local new
  mkdir -p "$settings"
  chown root:root "$settings"
  chmod 755 "$settings"
  new=$(mktemp)
  settings_text > "$new"
  put "$new" "$settings/settings" 644
  rm "$new"
}

files_are_there() {
  local from to mode wanted found
  # all at once: there are many
  wanted=$(files | while read -r from to mode; do echo "root:root $mode $to"; done)
  found=$(cut -d " " -f 3 <<< "$wanted" | xargs stat -c '%U:%G %a %n' 2>&1)
  if [ "$found" != "$wanted" ]; then
    read -r from mode to <<< "$(grep -vxF "$found" <<< "$wanted")"
    lacks "${to#"$root"} is not there, or not $from with mode $mode"
    return
  fi
  while read -r from to mode; do
    cmp -s "$from" "$to" || lacks "${to#"$root"} differs" || return
  done < <(files)
  has "$programs" root:root 755
}

install_files() {
  local from to mode
  mkdir -p "$programs"
  chown root:root "$programs"
  chmod 755 "$programs"
  while read -r from to mode; do put "$from" "$to" "$mode"; done < <(files)
  systemctl daemon-reload
}

run_is_there() {
  has "$run" root:root 755 && has "$run/ask" "root:$user" 660
}

make_run() {
  systemd-tmpfiles --create "$root/etc/tmpfiles.d/edgeproof.conf"
}

# Present rails only; that there are some is another point of those kinds that have them.
rails_are_readable() {
  local file found=no
  for file in $(rails); do
    [ -e "$file" ] || continue
    found=yes
    case $(stat -c '%G %a' "$file") in
      "$user "*[4567]? | *[4567]) ;;
      *)
        lacks "${file#"$root"} is $(stat -c '%U:%G %a' "$file")" || return
        ;;
    esac
  done
  [ "$found" = yes ] || lacks "there are none: is the driver loaded?"
}

trigger_udev() {
  udevadm control --reload
  udevadm trigger --action=add --subsystem-match=powercap --subsystem-match=iio --subsystem-match=hwmon
  udevadm settle --timeout=30
}

runner_points() {
  point "an Ubuntu that GitHub's runner supports" system_is_supported
  point "a way to get JIT configurations" secret_is_there
  point "GitHub's runner, not older than 30 days" runner_is_fresh fetch_runner
  point "the units, enabled and running" units_are_up start_units
}

system_is_supported() {
  local name
  # shellcheck source=/dev/null
  name=$(. "$root/etc/os-release" && echo "$ID $VERSION_ID")
  case $name in
    "ubuntu 2"[24].04) ;;
    *)
      lacks "this is $name; these scripts are written for Ubuntu 22.04 and 24.04" || return
      ;;
  esac
}

secret_is_there() {
  if [ -e "$settings/jit-command" ]; then
    has "$settings/jit-command" root:root 700
  elif [ -e "$settings/token" ]; then
    has "$settings/token" root:root 600
  else
    lacks "put a fine-grained token for $REPOSITORY (Administration: write) into /etc/edgeproof/token, root's and" \
      "mode 600; or make /etc/edgeproof/jit-command, root's and mode 700, which gets one from a machine that has the token"
  fi
}

runner_is_fresh() {
  [ -x "$state/runner/current/bin/Runner.Listener" ] || lacks "none is installed" || return
  [ -n "$(find "$state/runner/asked" -mtime -30)" ] ||
    lacks "nobody has asked for a newer one for 30 days: is edgeproof-refresh.timer running?"
}

fetch_runner() {
  mkdir -p "$state/runner"
  "$programs/runner" refresh
}

units_are_up() {
  local unit
  for unit in edgeproof-board.path edgeproof-refresh.timer edgeproof-runner.service; do
    systemctl is-enabled --quiet "$unit" 2> /dev/null || lacks "$unit is not enabled" || return
    case $(systemctl is-active "$unit") in
      active | *activating) ;; # between two runners too
      *) lacks "$unit is not running" || return ;;
    esac
  done
}

start_units() {
  systemctl enable --now edgeproof-board.path edgeproof-refresh.timer edgeproof-runner.service
}

# A board that a gateway uses: its user logs in with one key, from the gateway; its root does two things for another.
behind_gateway_points() {
  point "the gateway's keys, for $user and for root's board command" keys_are_taken take_keys
}

power_line() {
  echo "restrict,command=\"$programs/board asked\" $1"
}

keys_are_taken() {
  local power
  [ -e "$settings/gateway-keys" ] || lacks "none: --gateway-keys FILE, made by provisioning the gateway" || return
  [ -z "$gateway_keys" ] || cmp -s "$gateway_keys" "$settings/gateway-keys" || lacks "other ones" || return
  power=$(sed -n 2p "$settings/gateway-keys")
  has "$state/home" root:root 755 && has "$state/home/work" "$user:$user" 700 || return
  has "$state/home/.ssh/authorized_keys" root:root 644 || return
  grep -qsxF "$(power_line "$power")" "$root/root/.ssh/authorized_keys" || lacks "root does not take the power key"
}

take_keys() {
  local kind line
  [ -n "$gateway_keys" ] || return 0
  for kind in 1 2; do
    [[ $(sed -n ${kind}p "$gateway_keys") =~ ^ssh-ed25519\ [A-Za-z0-9+/=]+(\ [A-Za-z0-9@._-]+)?$ ]] ||
      fail "$gateway_keys: line $kind is no ed25519 key"
  done
  put "$gateway_keys" "$settings/gateway-keys" 644
  line=$(mktemp)
  sed -n '1s/^/restrict /p' "$gateway_keys" > "$line"
  put "$line" "$state/home/.ssh/authorized_keys" 644
  rm "$line"
  # The home is root's: no job leaves keys or a .bashrc there for the next.
  mkdir -p "$state/home/work"
  chown "$user:$user" "$state/home/work"
  chmod 700 "$state/home/work"
  mkdir -p "$root/root/.ssh"
  chmod 700 "$root/root/.ssh"
  # An older power key of ours goes; all other lines stay.
  { grep -vsF "command=\"$programs/board " "$root/root/.ssh/authorized_keys" || true
    power_line "$(sed -n 2p "$gateway_keys")"; } > "$root/root/.ssh/authorized_keys.new"
  chmod 600 "$root/root/.ssh/authorized_keys.new"
  mv "$root/root/.ssh/authorized_keys.new" "$root/root/.ssh/authorized_keys"
}
