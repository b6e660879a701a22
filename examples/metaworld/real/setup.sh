# What the scripts here have in common, to be sourced: where things are, and what is installed.
#
# REHEARSE names the binary, PYTHON the interpreter that the environment is made with, VENV its
# folder, ENDPOINT where the world listens.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
rehearse=${REHEARSE:-rehearse}
venv=${VENV:-$here/.venv}
at=${ENDPOINT:-tcp/127.0.0.1:7470}
export MUJOCO_GL=${MUJOCO_GL:-egl}

if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet -r "$here/requirements.txt" "$root/policy_bridge/python"
fi

# Processes in the background end with the script.
started=()
trap 'for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done' EXIT

tasks=(
  --task drawer-open-v3="open the drawer"
  --task button-press-v3="press the button"
  --task door-open-v3="open the door"
  --task pick-place-v3="pick up the puck and place it at the goal"
)
