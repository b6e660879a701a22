#!/usr/bin/env bash
# Clones the collectors and records their rollouts, which the world model learns from beside the
# logs:
#
#   rollouts.sh LOGS OUT [STARTS [FIRST]]
#
# LOGS are the Meta-World logs that collectors are cloned from. Every collector acts from each of
# STARTS starts (12) of every task from number FIRST (10000) on; every twelfth start is held out as
# the split `test`. Two datasets are written, OUT/a and OUT/b, of four collectors each: the
# simulators of one take 7 GB of memory.
#
# REHEARSE names the binary, PYTHON the interpreter the environment is made with, VENV its folder,
# ENDPOINT where the world listens.
set -euo pipefail

logs=${1:?logs to clone from} out=${2:?where to write}
starts=${3:-12} first=${4:-10000}
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

mkdir -p "$out/weights"
for recipe in "$here"/../policies/collectors/*.toml; do
  weights=$out/weights/$(basename "$recipe" .toml).safetensors
  if [ ! -e "$weights" ]; then
    "$rehearse" policy clone "$recipe" --logs "$logs" --out "$weights" --cache "$out/images"
  fi
done

record() {
  local name=$1
  shift
  local started=() policies=()
  "$venv/bin/python" -W ignore "$here/world.py" --listen "$at" &
  started+=($!)
  for collector in "$@"; do
    RAYON_NUM_THREADS=1 "$rehearse" --quiet policy serve clone \
      "$out/weights/$collector.safetensors" --connect "$at" &
    started+=($!)
    policies+=(--policy "$collector")
  done
  "$rehearse" record --connect "$at" --world metaworld "${policies[@]}" \
    --task drawer-open-v3="open the drawer" \
    --task button-press-v3="press the button" \
    --task door-open-v3="open the door" \
    --task pick-place-v3="pick up the puck and place it at the goal" \
    --episodes "$starts" --first-start "$first" --horizon 110 --after-success 7 \
    --split train --held-out test=12 --in-flight 8 --codec h264 --patience 120 --deadline 120 \
    --out "$out/$name"
  kill "${started[@]}"
  wait
}
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
record a collector-1 collector-2 collector-3 collector-4
record b collector-5 collector-6 collector-7 collector-8
