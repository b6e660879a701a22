#!/usr/bin/env bash
# Serves the cloned policies, each in a process of its own, and runs a suite of them in the learned
# world over loopback.
#
#   examples/metaworld/run.sh [quick] [further options of `rehearse run`]
#
# REHEARSE names the binary, OUT the run directory, ENDPOINT where the policies are met.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
rehearse=${REHEARSE:-$root/target/release/rehearse}
at=${ENDPOINT:-tcp/127.0.0.1:7460}
suite=suite.toml
if [ "${1:-}" = quick ]; then
  suite=suite-quick.toml
  shift
fi
out=${OUT:-runs/metaworld-${suite%.toml}}

if [ ! -x "$rehearse" ]; then
  echo "no $rehearse: cargo build --release --workspace --bin rehearse, or set REHEARSE" >&2
  exit 2
fi

started=()
trap 'for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done' EXIT
# The first process listens, the others and the run connect to it.
meet=(--listen "$at")
for policy in "$here"/policies/*.safetensors; do
  # One thread each: the world needs the others.
  RAYON_NUM_THREADS=1 "$rehearse" --quiet policy serve clone "$policy" "${meet[@]}" &
  started+=($!)
  meet=(--connect "$at")
done

"$rehearse" run "$here/$suite" --out "$out" --connect "$at" --patience 30 --deadline 300 "$@"
