#!/usr/bin/env bash
# Records eight courses of action from each of ten starts of every task, as a LeRobotDataset whose
# episodes are of the split `test`:
#
#   courses.sh OUT
#
# REHEARSE names the binary, PYTHON the interpreter the environment is made with, VENV its folder,
# ENDPOINT where the world listens. World and simulators take up to 12 GB of memory.
set -euo pipefail

out=${1:?where to write}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
rehearse=${REHEARSE:-rehearse}
venv=${VENV:-$here/.venv}
at=${ENDPOINT:-tcp/127.0.0.1:7470}
export MUJOCO_GL=${MUJOCO_GL:-egl}

if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet -r "$here/requirements.txt" "$root/policy_bridge/python"
fi

started=()
trap 'for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done' EXIT
"$venv/bin/python" -W ignore "$here/world.py" --experts --max-trials 8 --listen "$at" &
started+=($!)

policies=()
for course in expert half still mirrored reversed late noisy random; do
  policies+=(--policy "course-$course")
done
"$rehearse" record --connect "$at" --world metaworld "${policies[@]}" \
  --task drawer-open-v3="open the drawer" \
  --task button-press-v3="press the button" \
  --task door-open-v3="open the door" \
  --task pick-place-v3="pick up the puck and place it at the goal" \
  --episodes 10 --first-start 2000 --horizon 64 --after-success 64 --split test \
  --in-flight 8 --codec h264 --crf 12 --patience 120 --deadline 120 --out "$out"
