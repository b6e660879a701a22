#!/usr/bin/env bash
# Runs the planners in MuJoCo, from starts that no training used, and writes how often they
# succeed, beside the cloned policies:
#
#   planner.sh [OUT]     OUT is ../results/planner.json unless stated
#
# EPISODES (20) and FIRST (0) say how many starts of each task, and from which on; RUN is a folder
# for what is recorded. See setup.sh for what else may be set.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

out=${1:-$here/../results/planner.json}
run=${RUN:-$here/.run-planner}
first=${FIRST:-0}

rm -rf "$run"
mkdir -p "$run"
# Planners are asked at every eighth step: images between them are seen by nobody.
"$venv/bin/python" -W ignore "$here/world.py" --render-every 8 --max-trials 8 --listen "$at" &
started+=($!)
for planner in planner planner-random; do
  "$rehearse" --quiet policy serve planner "$here/../$planner.toml" --name "$planner" \
    --connect "$at" &
  started+=($!)
done
"$rehearse" record --connect "$at" --world metaworld --policy planner --policy planner-random \
  "${tasks[@]}" --episodes "${EPISODES:-20}" --first-start "$first" --horizon 110 --split eval \
  --codec h264 --in-flight 2 --patience 120 --deadline 600 --out "$run/episodes"
kill "${started[@]}"
wait || true

# The time of a plan, when nothing else is asked of the machine.
for start in drawer-open-v3:0 button-press-v3:40 door-open-v3:80 pick-place-v3:120; do
  "$rehearse" plan "$here/../planner.toml" --start "$here/../starts" --episode "${start#*:}" \
    --format json > "$run/plan-${start%:*}.json"
done
python3 "$here/planner.py" "$run" "$here/../planner.toml" "$here/../results/real.csv" \
  --first-start "$first" > "$out"
