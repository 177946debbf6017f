# A Jetson: what it is, and how its clocks are held still. Sourced by `provision` and `board`.
#
# JetPack 6 (Orin) runs a runner of its own. JetPack 4 (TX2) cannot: its glibc is 2.27, and the runner's Node wants
# 2.28. It is provisioned as the board of a gateway, by the same command.
# shellcheck shell=bash disable=SC2034,SC2154

cool_c=45

is_machine() {
  [ -e "$root/etc/nv_tegra_release" ] || lacks "this is no Jetson (/etc/nv_tegra_release is missing)"
}

find_label() { :; } # no target's name can be told from a device tree

kind_points() {
  point "nvpmodel knows the power mode" mode_is_known
}

mode_is_known() {
  local mode
  mode=$(power_mode)
  grep -qs "POWER_MODEL ID=${mode:-none} " "$root/etc/nvpmodel.conf" ||
    lacks "no mode ${mode:-} in /etc/nvpmodel.conf: choose one of it with --power-mode"
}

# The mode that was asked for, or the one that the board starts in.
power_mode() {
  echo "${POWER_MODE:-$(sed -nE 's/^< PM_CONFIG DEFAULT=([0-9]+) >.*/\1/p' "$root/etc/nvpmodel.conf" 2> /dev/null)}"
}

# Files of the INA3221: JetPack 4 has an iio driver with milliwatts, later ones a hwmon with volts and amperes.
rails() {
  echo "$root"/sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power?_input \
    "$root"/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/{in,curr}?_input
}

mode_now() {
  nvpmodel -q 2> /dev/null | tail -n 1
}

hold_still() {
  local mode policy
  mode=$(power_mode)
  mode_now > "$run/mode" || fail "nvpmodel -q fails: its service must have run once (systemctl start nvpmodel)"
  if [ "$(cat "$run/mode")" != "$mode" ]; then
    # Some changes of mode want a reboot, and ask. Not now.
    nvpmodel -m "$mode" <<< no > /dev/null 2>&1 || true
    [ "$(mode_now)" = "$mode" ] ||
      fail "nvpmodel does not go to mode $mode without a reboot: run nvpmodel -m $mode on the board once"
  fi
  rm -f "$run/clocks" # else it asks whether to write over it
  jetson_clocks --store "$run/clocks" > /dev/null || fail "jetson_clocks --store fails"
  jetson_clocks > /dev/null || fail "jetson_clocks fails"
  for policy in "$root"/sys/devices/system/cpu/cpufreq/policy*; do
    [ "$(cat "$policy/scaling_min_freq")" = "$(cat "$policy/scaling_max_freq")" ] ||
      fail "jetson_clocks leaves the clock of ${policy##*/} free"
  done
}

let_go() {
  local worst=0
  if [ -e "$run/clocks" ]; then
    jetson_clocks --restore "$run/clocks" > /dev/null || worst=1
  fi
  if [ -s "$run/mode" ] && [ "$(cat "$run/mode")" != "$(mode_now)" ]; then
    nvpmodel -m "$(cat "$run/mode")" <<< no > /dev/null 2>&1 || worst=1
  fi
  rm -f "$run/clocks" "$run/mode"
  return $worst
}
