#!/bin/bash
# Runs before the first step of a job (ACTIONS_RUNNER_HOOK_JOB_STARTED): refuses what this board is not for, then asks
# for the board and waits until it is held still. A non-zero exit ends the job before any of its code has run.
#
# The runner starts this with GitHub's own variables and without the `env:` of the workflow (JobHookProvider.cs), so the
# job has no say in it. There is no hook for the end of a job: the job's steps can choose the `bash` that would run it.
# Cleaning up is systemd's and root's business (`runner end`).
set -euo pipefail
# shellcheck source=runners/provision/device/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
read_settings

# longer than `board` takes at worst: its lock, the power mode, the cooling
answer_wait_s=1500

# One line in the job's summary. Nothing of the event is repeated in it: that is a stranger's text.
refuse() {
  echo "::error title=not_measured::this board does not run this job: $1"
  exit 1
}

event=${GITHUB_EVENT_PATH:-} asking=${GITHUB_REPOSITORY:-}
[ "${GITHUB_SERVER_URL:-}" = https://github.com ] || refuse "it is not from github.com"
[ "${asking,,}" = "${REPOSITORY,,}" ] || refuse "this is a runner of $REPOSITORY only"
case ${GITHUB_EVENT_NAME:-} in
  push | schedule | workflow_dispatch | pull_request) ;;
  *) refuse "its event is none of push, schedule, workflow_dispatch and pull_request" ;;
esac
case $event in
  *..*) refuse "its event cannot be read" ;;
  "$state/job/_work/"*) ;;
  *) refuse "its event cannot be read" ;;
esac
[ -f "$event" ] && [ ! -L "$event" ] || refuse "its event cannot be read"

# The event has to say the same as the environment. Of a pull request, head and base must be in this repository: the
# code of a fork runs on hosted machines.
jq --slurp --exit-status \
  --arg repository "${REPOSITORY,,}" --arg event "$GITHUB_EVENT_NAME" --arg ref "${GITHUB_REF:-}" '
  def ours: type == "object" and (.full_name | type == "string" and ascii_downcase == $repository);
  length == 1 and (.[0] | type == "object" and
    if $event == "pull_request" then
      (.repository | ours) and (.pull_request | type == "object" and (.head.repo | ours) and (.base.repo | ours)
        and .head.repo.id == .base.repo.id and (.head.repo.id | type == "number"))
      and (has("workflow_run") or has("issue") | not)
    else
      ((.repository | ours) or ($event == "schedule" and (has("repository") | not)))
      and (has("pull_request") or has("workflow_run") or has("issue") | not)
      and ($ref | startswith("refs/heads/") or startswith("refs/tags/"))
    end)
' "$event" > /dev/null 2>&1 || refuse "its event is of a fork, of another repository, or not what it says"

echo "asking for the board: lock, power mode, clocks, cool"
echo asked > "$run/ask"
for ((waited = 0; waited < answer_wait_s; waited++)); do
  if [ -e "$run/answer" ]; then
    said=$(cat "$run/answer")
    [ "$said" = ready ] || refuse "$said"
    echo "the board is held still"
    exit 0
  fi
  sleep 1
done
refuse "nobody answered for the board in $answer_wait_s s: see journalctl -u edgeproof-board"
