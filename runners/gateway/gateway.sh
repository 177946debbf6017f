# A machine beside a board that cannot run a runner itself (a TX2): jobs run here and reach the board over SSH. Sourced
# by `provision` and `board`.
#
# Two keys, both made here. `board-key` is for the jobs, which can read it: on the board it opens a user without rights.
# `power-key` is for root here: on the board it can say prepare, restore and check, and nothing else.
# shellcheck shell=bash disable=SC2034,SC2154

cool_c=45

is_machine() { :; } # any machine that can run the runner

find_label() { :; }

rails() { :; } # they are the board's

kind_points() {
  point "SSH keys for the board, $settings/board-key and power-key" keys_are_there make_keys
  point "the board $BOARD, known by its host key" board_is_known meet_board
  point "$BOARD lets this gateway prepare it" board_obeys
}

keys_are_there() {
  local key
  for key in board-key power-key; do
    [ -e "$settings/$key" ] && [ -e "$settings/$key.pub" ] || lacks "none yet" || return
  done
  # SSH refuses a private key that others may read only where it is the user's own; jobs read root's.
  has "$settings/board-key" "root:$user" 440 && has "$settings/power-key" root:root 600
}

make_keys() {
  local key
  for key in board-key power-key; do
    [ -e "$settings/$key" ] || ssh-keygen -q -t ed25519 -N "" -C "edgeproof-$key" -f "$settings/$key"
  done
  chown "root:$user" "$settings/board-key"
  chmod 440 "$settings/board-key"
}

board_is_known() {
  [ -s "$settings/known_hosts" ] || lacks "its key is not known here yet"
}

# Taken on trust this once; later another key is refused.
meet_board() {
  ssh-keyscan -t ed25519 "$BOARD" > "$settings/known_hosts.new" 2> /dev/null || true
  [ -s "$settings/known_hosts.new" ] || fail "$BOARD does not answer on SSH's port"
  mv "$settings/known_hosts.new" "$settings/known_hosts"
}

board_obeys() {
  local reason
  reason=$(ssh_board check 2>&1) || {
    lacks "${reason##*$'\n'}; on the board: sudo runners/provision/provision jetson --gateway-keys KEYS, where" \
      "KEYS is this machine's /etc/edgeproof/board-key.pub and power-key.pub, one after the other in one file"
  }
}

ssh_board() {
  ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 -o StrictHostKeyChecking=yes \
    -o "UserKnownHostsFile=$settings/known_hosts" -i "$settings/power-key" "root@$BOARD" "$1" < /dev/null
}

hold_still() {
  local said
  said=$(ssh_board prepare 2>&1) || fail "$BOARD: ${said##*$'\n'}"
  [ "${said##*$'\n'}" = ready ] || fail "$BOARD: ${said##*$'\n'}"
}

wait_for_cool() { :; } # the board has

let_go() {
  ssh_board restore > /dev/null
}
