#!/usr/bin/env bash
# Clones the collectors and records their rollouts, which the world model learns from beside the
# logs:
#
#   rollouts.sh LOGS OUT [STARTS [FIRST [SPREAD]]]
#
# LOGS are the Meta-World logs that collectors are cloned from. Every collector acts from each of
# STARTS starts (24) of every task, the first collector from number FIRST (41000) on, each further
# one from SPREAD (1000) numbers later; SPREAD 0 lets all act from the same starts. Every twelfth
# start is held out as the split `test`. One dataset is written per collector, OUT/collector-1 and so
# on: the simulators of 96 episodes take 3 GB of memory.
#
# REHEARSE names the binary, PYTHON the interpreter the environment is made with, VENV its folder,
# ENDPOINT where the world listens.
set -euo pipefail

logs=${1:?logs to clone from} out=${2:?where to write}
starts=${3:-24} first=${4:-41000} spread=${5:-1000}
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

mkdir -p "$out/weights"
for recipe in "$here"/../policies/collectors/*.toml; do
  weights=$out/weights/$(basename "$recipe" .toml).safetensors
  if [ ! -e "$weights" ]; then
    "$rehearse" policy clone "$recipe" --logs "$logs" --out "$weights" --cache "$out/images"
  fi
done

record() {
  local collector=$1 first=$2
  "$venv/bin/python" -W ignore "$here/world.py" --listen "$at" &
  started=($!)
  RAYON_NUM_THREADS=1 "$rehearse" --quiet policy serve clone \
    "$out/weights/$collector.safetensors" --connect "$at" &
  started+=($!)
  "$rehearse" record --connect "$at" --world metaworld --policy "$collector" "${tasks[@]}" \
    --episodes "$starts" --first-start "$first" --horizon 110 --after-success 7 \
    --split train --held-out test=12 --in-flight 4 --codec h264 --crf 14 --patience 120 --deadline 120 \
    --out "$out/$collector"
  kill "${started[@]}"
  wait
}
for recipe in "$here"/../policies/collectors/*.toml; do
  record "$(basename "$recipe" .toml)" "$first"
  first=$((first + spread))
done
