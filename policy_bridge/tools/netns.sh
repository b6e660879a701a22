#!/bin/sh
# A policy in one network namespace, a client in another: as two machines, on one.
#
# Needs root, iproute2, and the program: `policy_bridge/tools/netns.sh target/release/rehearse`.
# Serves noise in one namespace, checks it from the other, kills the server, and sees that the
# client says so.
set -eu

program=$(realpath "${1:?usage: netns.sh PATH-OF-REHEARSE}")
folder=$(mktemp -d)
lab="rehearse-lab-$$"
robot="rehearse-robot-$$"
server=""

clean() {
  if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null || true; fi
  ip netns delete "$lab" 2>/dev/null || true
  ip netns delete "$robot" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean EXIT INT TERM

ip netns add "$lab"
ip netns add "$robot"
ip link add veth0 netns "$lab" type veth peer name veth0 netns "$robot"
ip -n "$lab" address add 10.77.0.1/24 dev veth0
ip -n "$robot" address add 10.77.0.2/24 dev veth0
for namespace in "$lab" "$robot"; do
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set veth0 up
done

cat > "$folder/rig.json" <<'RIG'
{
  "rate": 20.0,
  "cameras": [{ "name": "front", "height": 224, "width": 224 }],
  "proprioception": [{ "name": "x" }],
  "actions": [{ "name": "dx", "bounds": [-1.0, 1.0] }, { "name": "gripper", "bounds": [0.0, 1.0] }]
}
RIG

ip netns exec "$lab" "$program" policy serve noise --rig "$folder/rig.json" \
  --name noise --listen tcp/10.77.0.1:7447 &
server=$!

in_robot() {
  ip netns exec "$robot" "$program" "$@" --connect tcp/10.77.0.1:7447
}

in_robot policy check noise --patience 30 --inferences 50
in_robot policies

# Nobody who is not told the address sees anything.
if ip netns exec "$robot" "$program" policy check noise --patience 2 2> /dev/null; then
  echo "the policy was found without being told where it is" >&2
  exit 1
fi

kill -9 "$server"
server=""
if in_robot policy check noise --patience 2; then
  echo "a dead policy answered" >&2
  exit 1
fi
echo "two network namespaces: served, found, checked, and gone when killed"
