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

. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
run=${RUN:-$here/.run}

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

"$rehearse" run "$here/suite-real.toml" --out "$run" --connect "$at" --patience 120 \
  --deadline 600 --no-episodes --resume
mkdir -p "$here/../results"
python3 "$here/table.py" "$run/events.jsonl" > "$here/../results/real.csv"

rm -rf "$here/../starts" "$here/../results/sample"
# What compression leaves in the pictures counts: starts are compressed as the rollouts are that
# the world model learns from.
"$rehearse" record --connect "$at" --world metaworld-seen --policy still "${tasks[@]}" \
  --episodes 40 --horizon 1 --split eval --codec h264 --crf 14 --in-flight 8 --patience 120 --out "$here/../starts"
policies=()
for policy in "$here"/../policies/*.safetensors; do
  policies+=(--policy "$(basename "$policy" .safetensors)")
done
"$rehearse" record --connect "$at" --world metaworld-seen "${policies[@]}" "${tasks[0]}" \
  "${tasks[1]}" --episodes 1 --horizon 110 --in-flight 10 --patience 120 \
  --out "$here/../results/sample"
