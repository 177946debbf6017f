# An Intel Atom with Ubuntu: what it is, and how its clock is held still. Sourced by `provision` and `board`.
# shellcheck shell=bash disable=SC2034,SC2154

cool_c=55
cpus=$root/sys/devices/system/cpu

is_machine() {
  grep -q '^model name.*Atom' "$root/proc/cpuinfo" || lacks "this is no Intel Atom (/proc/cpuinfo)"
}

# The target whose name ends in the processor's number: an E3940 is an atom-x5-e3940.
find_label() {
  local model
  model=$(sed -nE 's/^model name.*[ x](E?[0-9]{4}[A-Z]{0,2}) .*/\1/p' "$root/proc/cpuinfo" | head -n 1)
  # shellcheck disable=SC2012
  [ -z "$model" ] || ls "$checkout/runners/targets" | sed -nE "s/^(atom-.*${model,,})\.yaml$/\1/p"
}

kind_points() {
  point "RAPL's energy counters are there" rapl_is_there load_rapl
}

rapl_is_there() {
  [ -e "$root/sys/class/powercap/intel-rapl:0/energy_uj" ] || lacks "the module intel_rapl_msr is not loaded" || return
  [ -e "$root/etc/modules-load.d/edgeproof.conf" ] || lacks "after the next boot intel_rapl_msr will not be loaded"
}

load_rapl() {
  put "$checkout/runners/atom/rapl-module.conf" "$root/etc/modules-load.d/edgeproof.conf" 644
  modprobe intel_rapl_msr
}

rails() {
  echo "$root"/sys/class/powercap/intel-rapl:*/energy_uj
}

# The clock that the name of the processor states ("@ 1.60GHz"), in kHz: what it can keep up. Turbo it cannot.
base_khz() {
  local name
  name=$(grep -m 1 '^model name' "$root/proc/cpuinfo") || true
  [[ $name =~ @\ ([0-9])\.([0-9]{2})GHz ]] || fail "no base clock in the processor's name (/proc/cpuinfo)"
  echo $((10#${BASH_REMATCH[1]}${BASH_REMATCH[2]} * 10000))
}

hold_still() {
  local khz policy
  khz=$(base_khz)
  hold "$cpus/intel_pstate/no_turbo" 1
  for policy in "$cpus"/cpufreq/policy*; do
    hold "$policy/scaling_governor" performance
    # Never for a moment is the lowest clock above the highest: the kernel refuses that.
    (($(cat "$policy/scaling_max_freq") >= khz)) || hold "$policy/scaling_max_freq" "$khz"
    hold "$policy/scaling_min_freq" "$khz"
    hold "$policy/scaling_max_freq" "$khz"
  done
}

let_go() { :; } # all of it is in the list of `hold`
