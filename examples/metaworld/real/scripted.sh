#!/usr/bin/env bash
# Records the scripted experts, whole and spoilt, for the world model to learn from beside the
# logs and the collectors' rollouts:
#
#   scripted.sh OUT [FIRST]
#
# Clones tend to do the same wherever the object stands. These do not: they succeed from every
# start, or aim beside the object by as much as makes the difference between a success and a near
# miss. The behaviours of a recording all act from the same starts; FIRST is the number of the very
# first (91000), and every twelfth is held out as the split `test`. One dataset is written per
# recording, OUT/TASK-whole, OUT/TASK-beside and OUT/TASK-far: the simulators of 96 episodes take
# 3 GB of memory.
#
# REHEARSE names the binary, PYTHON the interpreter the environment is made with, VENV its folder,
# ENDPOINT where the world listens.
set -euo pipefail

out=${1:?where to write} first=${2:-91000}
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

record() {
  local task=$1 name=$2 starts=$3
  shift 3
  local policies=() behaviour
  for behaviour in "$@"; do policies+=(--policy "$behaviour"); done
  "$venv/bin/python" -W ignore "$here/world.py" --experts --listen "$at" &
  started=($!)
  "$rehearse" record --connect "$at" --world metaworld "${policies[@]}" --task "$task" \
    --episodes "$starts" --first-start "$first" --horizon 110 --after-success 7 \
    --split train --held-out test=12 --in-flight 5 --codec h264 --crf 14 --patience 120 --deadline 120 \
    --out "$out/${task%%=*}-$name"
  kill "${started[@]}"
  wait
  first=$((first + 1000))
}

whole=(expert gain0.5 noise0.3 noise0.6 eps0.3)
near=(objbias0.01 objbias0.02 objbias0.04)
for task in "${tasks[@]}"; do
  [ "$task" = --task ] && continue
  case $task in
    button-press-v3=*) record "$task" whole 16 "${whole[@]}"; record "$task" beside 48 "${near[@]}" ;;
    pick-place-v3=*) record "$task" whole 8 "${whole[@]}"; record "$task" beside 32 "${near[@]}" ;;
    *) record "$task" whole 8 "${whole[@]}"; record "$task" beside 20 "${near[@]}" ;;
  esac
done
# A button is wide, and a door's handle long: to miss them takes more.
for task in button-press-v3="press the button" door-open-v3="open the door"; do
  record "$task" far 20 objbias0.04 objbias0.08
done
