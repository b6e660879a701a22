"""Times the world model beside its PyTorch twin: the same cores, weights and inputs, in turn.

    cargo build --release --workspace --examples
    python world_model/tools/compare_torch.py --speed target/release/examples/speed

Each round runs every contestant once, in alternating order, and gives one ratio; the median over
the rounds is printed, so that other work on the machine falls on both sides alike. Before that,
both sides must agree on what they compute. The last line of the output is JSON, of ratios of
speed, above 1 where Rust is faster:

- rollout_over_eager, rollout_over_compile: a chunk of 8 frames for 16 trials (state model, context,
  flow steps, judge, decoding);
- latency_over_eager: the same for one trial;
- training_over_eager: a training step of an expert on 24 chunks of 8 frames: forward, backward,
  Muon and AdamW, moving average;
- matmul_floor_fraction: the time that the rollout's matrix products would take at the rate that
  the largest of them reaches alone in the same round, over the time that the rollout takes.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file

import twin

INSTRUCTION = "open the drawer"
# Lets the other side's threads go to sleep.
PAUSE_S = 0.03
RATE, DECAY, CLIP, EMA = 1e-5, 0.01, 1.0, 0.999
BETAS, EPSILON, MOMENTUM, MUON_SCALE = (0.9, 0.99), 1e-8, 0.95, 0.2
NEWTON_SCHULZ, NEWTON_SCHULZ_ROUNDS = (3.4445, -4.7750, 2.0315), 5


class Rust:
    """The other side, which answers the name of a stage with a number."""

    def __init__(self, program, checkpoint, folder):
        self.process = subprocess.Popen(
            [program, "serve", checkpoint, folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{program} did not start")

    def ask(self, stage):
        self.process.stdin.write(stage + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def imagine(model, known, memory, actions):
    """A chunk for every trial: latents, success and pixels."""
    predicted, _, change, odds = model.foresee(memory, actions)
    latents = model.chunk(0, known, model.normal(actions), predicted, change)
    success = model.judge(known, latents, predicted, odds)
    return latents, success, model.decode(latents.flatten(0, 1))


class Training:
    """A training step of the first expert, by the rules of world_model/src/train/optimizer.rs."""

    def __init__(self, tensors, config, inputs):
        prefix = "experts.0."
        self.tensors = {
            name: tensor.clone().requires_grad_()
            for name, tensor in tensors.items() if name.startswith(prefix)
        }
        self.expert = twin.Expert(twin.Weights(self.tensors, prefix), config)
        self.inputs = {
            name.removeprefix("train."): tensor
            for name, tensor in inputs.items() if name.startswith("train.")
        }
        hidden = lambda name: ".blocks." in name and "modulation" not in name
        muon = [t for name, t in self.tensors.items() if t.ndim == 2 and hidden(name)]
        self.muon = [(tensor, torch.zeros_like(tensor)) for tensor in muon]
        rest = [t for t in self.tensors.values() if all(t is not other for other in muon)]
        groups = [
            {"params": [t for t in rest if t.ndim >= 2], "weight_decay": DECAY},
            {"params": [t for t in rest if t.ndim < 2], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON, fused=True)
        self.all = list(self.tensors.values())
        self.averages = [tensor.detach().clone() for tensor in self.all]

    def step(self):
        i = self.inputs
        context = self.expert.context(
            i["first"], i["recent"], i["last"], i["known"], i["words"], i["conditions"],
            i["foreseen"],
        )
        guess = self.expert.velocity(i["noise"], i["level"], context)
        (guess - i["target"]).square().mean().backward()
        torch.nn.utils.clip_grad_norm_([t for t in self.all if t.grad is not None], CLIP)
        self.adam.step()
        with torch.no_grad():
            for tensor, momentum in self.muon:
                if tensor.grad is None:
                    continue
                momentum.mul_(MOMENTUM).add_(tensor.grad)
                update = orthogonal(tensor.grad + MOMENTUM * momentum)
                scale = MUON_SCALE * max(tensor.shape) ** 0.5
                tensor.mul_(1 - RATE * DECAY).sub_(update, alpha=RATE * scale)
            torch._foreach_lerp_(self.averages, self.all, 1 - EMA)
        for tensor in self.all:
            tensor.grad = None


def orthogonal(x):
    a, b, c = NEWTON_SCHULZ
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


def same(what, ours, theirs, tolerance=1e-3):
    ours = ours.reshape(theirs.shape)
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    if not error <= tolerance:
        sys.exit(f"{what}: the two sides differ by {error:.1e} of the largest value")
    print(f"{what}: both sides agree within {error:.0e} of the largest value")


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--speed", required=True, help="the example program `speed`")
    parser.add_argument("--checkpoint", default="examples/metaworld/metaworld.safetensors")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--skip-compile", action="store_true",
                        help="rollout_over_compile is null: compiling takes minutes")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    os.sched_setaffinity(0, cores)
    os.environ["RAYON_NUM_THREADS"] = str(len(cores))
    torch.set_num_threads(len(cores))
    torch.manual_seed(0)

    manifest = json.loads(pathlib.Path(args.checkpoint).with_suffix(".json").read_text())
    c = manifest["config"]
    config = {
        "layers": c["expert"]["layers"], "heads": c["expert"]["heads"],
        "pack": c["tokens"]["pack"], "context": c["expert"]["context"],
        "steps": c["flow"]["steps"], "shift": c["flow"]["shift"],
    }
    tensors = {name: tensor.float() for name, tensor in load_file(args.checkpoint).items()}
    with tempfile.TemporaryDirectory() as folder:
        rust = Rust(args.speed, args.checkpoint, folder)
        inputs = load_file(pathlib.Path(folder) / "inputs.safetensors")
        outputs = load_file(pathlib.Path(folder) / "outputs.safetensors")
    model = twin.WorldModel(tensors, config)
    training = Training(tensors, config, inputs)
    first, state, actions = (inputs[name] for name in ("first", "state", "actions"))

    with torch.inference_mode():
        begin = lambda n: model.begin(first[:n], state[:n], INSTRUCTION, actions.shape[2])
        (many, many_memory), (one, one_memory) = begin(len(first)), begin(1)
        latents, success, _ = imagine(model, many, many_memory, actions)
        same("latents", outputs["latents"], latents)
        same("success", outputs["success"], success)
    no_grad = torch.inference_mode()
    rollout = lambda: imagine(model, many, many_memory, actions)
    twins = {
        "rollout_over_eager": ("rollout", no_grad(rollout)),
        "latency_over_eager": (
            "latency", no_grad(lambda: imagine(model, one, one_memory, actions[:1])),
        ),
        "training_over_eager": ("training", training.step),
    }
    if not args.skip_compile:
        twins["rollout_over_compile"] = ("rollout", no_grad(torch.compile(rollout)))
    for stage, run in twins.values():
        for _ in range(2):
            run()
            rust.ask(stage)

    operations = rust.ask("operations")
    ratios = {name: [] for name in [*twins, "matmul_floor_fraction"]}
    taken = {name: ([], []) for name in twins}
    for number in range(args.rounds):
        for name, (stage, run) in twins.items():
            sides = [lambda: rust.ask(stage), lambda: seconds(run)]
            order = (0, 1) if number % 2 == 0 else (1, 0)
            secs = [0.0, 0.0]
            for side in order:
                time.sleep(PAUSE_S)
                secs[side] = sides[side]()
            ratios[name].append(secs[1] / secs[0])
            for side in (0, 1):
                taken[name][side].append(secs[side])
        time.sleep(PAUSE_S)
        floor = operations * rust.ask("product")
        ratios["matmul_floor_fraction"].append(floor / rust.ask("rollout"))
    rust.close()
    for name in twins:
        ours, theirs = (1e3 * statistics.median(side) for side in taken[name])
        spread = statistics.quantiles(ratios[name], n=4)
        print(f"{name}: {ours:.1f} ms against {theirs:.1f} ms; "
              f"middle half of {args.rounds} ratios from {spread[0]:.2f} to {spread[2]:.2f}")
    order = ["rollout_over_eager", "rollout_over_compile", "latency_over_eager",
             "training_over_eager", "matmul_floor_fraction"]
    median = lambda name: round(statistics.median(ratios[name]), 3) if name in ratios else None
    print(json.dumps({name: median(name) for name in order}))


if __name__ == "__main__":
    main()
