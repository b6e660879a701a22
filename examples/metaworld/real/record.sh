#!/usr/bin/env bash
# Records episodes of a policy in MuJoCo as a LeRobotDataset: installs what is needed, serves the
# world and the scripted experts, runs `rehearse record` and checks the dataset.
#
#   record.sh TASK POLICY EPISODES OUT [further options of `rehearse record`]
#   record.sh drawer-open-v3 noise0.6 5 recorded/drawer-noise --first-start 1000
#
# POLICY is a scripted behaviour (see experts.py), `noise`, or any policy that somebody serves.
# REHEARSE names the binary, PYTHON the interpreter the environment is made with, VENV its folder,
# ENDPOINT where the world listens.
set -euo pipefail

if [ $# -lt 4 ]; then
  sed -n '2,10p' "$0" >&2
  exit 2
fi
task=$1 policy=$2 episodes=$3 out=$4
shift 4

. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

case $task in
  drawer-open-v3) instruction="open the drawer" ;;
  button-press-v3) instruction="press the button" ;;
  door-open-v3) instruction="open the door" ;;
  pick-place-v3) instruction="pick up the puck and place it at the goal" ;;
  *) echo "no task $task" >&2; exit 2 ;;
esac

"$venv/bin/python" -W ignore "$here/world.py" --experts --listen "$at" &
started+=($!)
if [ "$policy" = noise ]; then
  "$rehearse" policy serve noise --rig "$here/rig.json" --connect "$at" &
  started+=($!)
fi

"$rehearse" record --connect "$at" --world metaworld --policy "$policy" --task "$task" \
  --instruction "$instruction" --episodes "$episodes" --out "$out" \
  --horizon 110 --patience 120 "$@"
"$rehearse" logs check "$out"
