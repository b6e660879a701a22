#!/usr/bin/env bash
# Real clients and servers of other projects against this one: openpi-client 0.1.2 in both
# directions, a Gymnasium environment from PyPI as a world, a torch policy from Python.
#
#   policy_bridge/tools/parity_clients.sh REHEARSE VENV OPENPI_VENV
#
# REHEARSE     the built program
# VENV         a virtual environment with rehearse-bridge[test] (and torch, or that test is skipped)
# OPENPI_VENV  one with openpi-client==0.1.2 typing_extensions: it needs NumPy below 2
set -euo pipefail

rehearse=$(realpath "${1:?the built program}")
python=$(realpath -s "${2:?a virtual environment with rehearse-bridge}")/bin/python
openpi=$(realpath -s "${3:?a virtual environment with openpi-client}")/bin/python
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
started=()
finish() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Runs a program in the background until it has said that it serves.
serve() {
    local log=$1 word=$2
    shift 2
    "$@" >"$log" 2>&1 &
    local process=$!
    started+=("$process")
    while ! grep -qs "$word" "$log"; do
        if ! kill -0 "$process" 2>/dev/null; then
            cat "$log" >&2
            return 1
        fi
        sleep 0.1
    done
}

meet=tcp/127.0.0.1:$(free_port)
port=$(free_port)
manifest=$here/tests/fixtures/adapter/droid.toml

echo "== an openpi server, bridged, asked by the Python client"
serve "$work/openpi.log" ready "$openpi" "$here/tools/openpi_peer.py" serve "$port"
serve "$work/bridge.log" serving "$rehearse" bridge openpi "ws://127.0.0.1:$port" \
    --name droid --manifest "$manifest" --listen "$meet"
"$python" "$here/tools/openpi_peer.py" ask-bridge droid "$meet"

echo "== the same policy, served to openpi-client 0.1.2"
back=$(free_port)
serve "$work/back.log" "is served" "$rehearse" bridge openpi-server "127.0.0.1:$back" \
    --name droid --manifest "$manifest" --connect "$meet"
"$openpi" "$here/tools/openpi_peer.py" ask "$back"

echo "== a Gymnasium environment, a torch policy and the protocol, in the Python package's tests"
(cd "$here/python" && "$python" -m pytest -q)

echo "== a Gymnasium environment and a Python policy, recorded"
world=tcp/127.0.0.1:$(free_port)
serve "$work/world.log" serving "$python" "$here/tools/pendulum_peer.py" "$world"
"$rehearse" record --world pendulum --policy swing --episodes 3 --out "$work/episodes" \
    --horizon 40 --connect "$world" --quiet
"$rehearse" logs check "$work/episodes"

echo "== all of them agree"
