"""Writes tests/fixtures/parity.safetensors: weights of a small model, inputs, intermediates and
outputs of its PyTorch twin, in double precision rounded to f32.

    python world_model/tools/gen_parity.py

tests/fixtures/parity_shapes.json maps each tensor's name to its shape; the test
`the_fixture_names_every_tensor_of_the_model` prints what it should be when it is out of date.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

import twin

HERE = pathlib.Path(__file__).resolve().parent
FIXTURE = HERE.parent / "tests" / "fixtures"

CONFIG = {
    "layers": 2, "heads": 4, "router_heads": 2, "pack": 4, "context": 4, "steps": 4, "shift": 2.0,
    "motion": [0], "grippers": [1],
}


def weights(shapes):
    torch.manual_seed(5)
    tensors = {}
    for name, shape in sorted(shapes.items()):
        fan = shape[0] if len(shape) > 1 else 1
        draw = torch.randn(*shape, dtype=torch.float64)
        if name.endswith("bias") or len(shape) == 1:
            value = 0.2 * draw
        elif "table" in name or "position" in name:
            value = draw
        else:
            value = draw / fan**0.5
        if "scale" in name or name.endswith(("amplitude", "slope")):
            value = 0.5 + value.abs()
        if name.endswith("commanded.delta"):
            value = torch.ones_like(value)
        if name.endswith("commanded.low"):
            value = -1.5 - value.abs()
        if name.endswith("commanded.high"):
            value = 1.5 + value.abs()
        # Both sides compute with exactly these numbers.
        tensors[name] = value.float().double()
    return tensors


def main():
    shapes = json.loads((FIXTURE / "parity_shapes.json").read_text())
    tensors = weights(shapes)
    model = twin.WorldModel(tensors, CONFIG)
    w = model.w
    torch.manual_seed(7)
    rand = lambda *shape: torch.randn(*shape, dtype=torch.float64).float().double()
    out = {}

    q, k, v = rand(2, 8, 32), rand(2, 13, 32), rand(2, 13, 32)
    out |= {"attention.q": q, "attention.k": k, "attention.v": v}
    out["attention.out"] = twin.attention(q, k, v, 4)

    x, condition = rand(2, 2, 2, 32), rand(2, 2, 16)
    cache = (rand(2, 5, 32), rand(2, 5, 32))
    y, own = twin.block(w.pp("experts.0.blocks.1"), x, condition, cache, 4)
    out |= {"block.x": x, "block.condition": condition, "block.k": cache[0], "block.v": cache[1]}
    out |= {"block.out": y, "block.own_k": own[0], "block.own_v": own[1]}

    words = twin.encode_instruction(w.pp("instruction"), "Open the drawer", torch.float64)
    out["instruction.out"] = words

    expert = model.experts[1]
    values = w["experts.1.frame.weight"].shape[0]
    first, recent, last = rand(2, 2, 6), rand(2, 1, 2, 24), rand(2, 2, 6)
    known, chunk = rand(2, 2, values), rand(2, 4, values)
    both = words[None].expand(2, -1, -1)
    foreseen = rand(2, 4, 2, w["experts.1.foreseen.weight"].shape[0])
    context = expert.context(first, recent, last, known, both, chunk, foreseen)
    out |= {"flow.first": first, "flow.recent": recent, "flow.last": last}
    out |= {"flow.known": known, "flow.chunk": chunk, "flow.foreseen": foreseen}
    out["flow.cache_k"] = context[0][1][0]
    noise, k = rand(2, 4, 2, 24), torch.tensor([0.25, 0.75], dtype=torch.float64)
    out |= {"flow.noise": noise, "flow.k": k, "flow.velocity": expert.velocity(noise, k, context)}
    points = twin.schedule(4, 2.0)
    out["flow.end"] = twin.integrate(noise, points, lambda x, k: expert.velocity(x, k, context))

    pending = rand(2, 4, w["router.pending.weight"].shape[0])
    out |= {"router.last": last, "router.pending": pending}
    out["router.out"] = twin.route(w.pp("router"), last, both, pending, 2)

    frame, state = rand(2, 2, 6), rand(2, 1)
    out |= {"judge.frame": frame, "judge.state": state}
    out["judge.out"] = twin.judge(
        w.pp("judge"), model.st, frame, first, state, 0 * state, twin.pool(both)
    )

    actions = rand(53, 2).clamp(-1, 1)
    start, seen = rand(1, 1), rand(1, 2, 6)
    latents, states, success, chosen = model.rollout(seen, start, "Open the drawer", actions)
    out |= {"rollout.actions": actions, "rollout.state": start, "rollout.first": seen}
    out |= {"rollout.latents": latents, "rollout.states": states, "rollout.success": success}
    out["rollout.experts"] = torch.tensor(chosen, dtype=torch.float64)
    print("experts chosen:", chosen, "success:", success.min().item(), success.max().item())

    stored = {f"weights/{name}": t.float().contiguous() for name, t in tensors.items()}
    stored |= {f"case/{name}": t.float().contiguous() for name, t in out.items()}
    save_file(stored, FIXTURE / "parity.safetensors")


if __name__ == "__main__":
    sys.exit(main())
