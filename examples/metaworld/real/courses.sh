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
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

"$venv/bin/python" -W ignore "$here/world.py" --experts --max-trials 8 --listen "$at" &
started+=($!)

policies=()
for course in expert half still mirrored reversed late noisy random; do
  policies+=(--policy "course-$course")
done
"$rehearse" record --connect "$at" --world metaworld "${policies[@]}" \
  "${tasks[@]}" \
  --episodes 10 --first-start 2000 --horizon 64 --after-success 64 --split test \
  --in-flight 8 --codec h264 --crf 12 --patience 120 --deadline 120 --out "$out"
