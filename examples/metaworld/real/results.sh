#!/usr/bin/env bash
# Runs the ranked policies in MuJoCo, forty starts a task, and writes what a suite needs of it:
#
#   results.sh     ../results/real.csv, a row per trial
#                  ../starts, the first frames as a LeRobotDataset
#                  ../results/sample, some episodes to look at
#
# REHEARSE names the binary, PYTHON the interpreter the environment is made with, VENV its folder,
# ENDPOINT where the world listens, RUN a folder for the run directory.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
rehearse=${REHEARSE:-rehearse}
venv=${VENV:-$here/.venv}
at=${ENDPOINT:-tcp/127.0.0.1:7470}
run=${RUN:-$here/.run}
export MUJOCO_GL=${MUJOCO_GL:-egl}

if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet -r "$here/requirements.txt" "$root/policy_bridge/python"
fi

started=()
trap 'for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done' EXIT
# Policies are asked at every eighth step: images between them are seen by nobody.
"$venv/bin/python" -W ignore "$here/world.py" --render-every 8 --max-trials 20 \
  --listen "$at" &
started+=($!)
"$venv/bin/python" -W ignore "$here/world.py" --name metaworld-seen --connect "$at" &
started+=($!)
sleep 10
for policy in "$here"/../policies/*.safetensors; do
  RAYON_NUM_THREADS=1 "$rehearse" --quiet policy serve clone "$policy" --connect "$at" &
  started+=($!)
done
"$rehearse" --quiet policy serve constant --rig "$here/rig.json" --action 0,0,0,0 --name still \
  --connect "$at" &
started+=($!)

tasks=(
  --task drawer-open-v3="open the drawer"
  --task button-press-v3="press the button"
  --task door-open-v3="open the door"
  --task pick-place-v3="pick up the puck and place it at the goal"
)
"$rehearse" run "$here/suite-real.toml" --out "$run" --connect "$at" --patience 120 \
  --deadline 600 --no-episodes --resume
mkdir -p "$here/../results"
python3 "$here/table.py" "$run/events.jsonl" > "$here/../results/real.csv"

rm -rf "$here/../starts" "$here/../results/sample"
# Starts are compressed as the rollouts are that the world model learnt from.
"$rehearse" record --connect "$at" --world metaworld-seen --policy still "${tasks[@]}" \
  --episodes 40 --horizon 1 --split eval --codec h264 --in-flight 8 --patience 120 --out "$here/../starts"
policies=()
for policy in "$here"/../policies/*.safetensors; do
  policies+=(--policy "$(basename "$policy" .safetensors)")
done
"$rehearse" record --connect "$at" --world metaworld-seen "${policies[@]}" "${tasks[0]}" \
  "${tasks[1]}" --episodes 1 --horizon 110 --in-flight 10 --patience 120 \
  --out "$here/../results/sample"
