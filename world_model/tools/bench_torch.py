"""Times the PyTorch twin on what benches/rollout.rs times: one chunk of 8 frames, decoding
included, at the sizes of the default config. Prints a JSON line per batch size.

    python world_model/tools/bench_torch.py [--threads 2] [--compile]
"""

import argparse
import json
import time

import torch

import twin

P, C, PACK, D = 16, 48, 4, 768
WIDTH, LAYERS, HEADS, CONDITION, EXPANSION = 256, 5, 8, 128, 4
STATES, ACTIONS, WORDS, INSTRUCTION, SCENE, MEMORY, AHEAD = 4, 4, 13, 64, 64, 256, 24


def tensors():
    made = {}

    def linear(name, i, o):
        made[name + ".weight"] = torch.randn(i, o) / i**0.5
        made[name + ".bias"] = torch.zeros(o)

    values, slots = PACK * (ACTIONS + 2 * STATES), 1 + 1 + 8
    for name, i, o in [
        ("frame", values, CONDITION), ("time", 64, CONDITION), ("mix", CONDITION, CONDITION),
        ("first", C, WIDTH), ("recent", PACK * C, WIDTH), ("last", C, WIDTH),
        ("noisy", PACK * C, WIDTH), ("foreseen", PACK * AHEAD, WIDTH),
        ("modulation", CONDITION, 2 * WIDTH),
        ("output", WIDTH, PACK * C),
    ]:
        linear(f"expert.{name}", i, o)
    made["expert.slot_condition"] = torch.randn(slots, CONDITION)
    made["expert.slot"], made["expert.place"] = torch.randn(slots, WIDTH), torch.randn(P, WIDTH)
    for layer in range(LAYERS):
        linear(f"expert.instruction.{layer}", INSTRUCTION, 2 * WIDTH)
        block = f"expert.blocks.{layer}"
        for name, i, o in [
            ("modulation", CONDITION, 6 * WIDTH), ("qkv", WIDTH, 3 * WIDTH),
            ("output", WIDTH, WIDTH), ("up", WIDTH, EXPANSION * WIDTH),
            ("down", EXPANSION * WIDTH, WIDTH),
        ]:
            linear(f"{block}.{name}", i, o)
    linear("gru.input", 2 * STATES + ACTIONS + SCENE, 3 * MEMORY)
    linear("gru.hidden", MEMORY, 3 * MEMORY)
    linear("gru.output", MEMORY, STATES)
    linear("forecast.hidden", MEMORY + SCENE, MEMORY + SCENE)
    linear("forecast.picture", MEMORY + SCENE, P * AHEAD)
    made["basis"], made["mean"] = torch.randn(P, C, D), torch.zeros(P, 1, D)
    return made


def chunk(made, batch):
    w = twin.Weights(made)
    expert = twin.Expert(w.pp("expert"), {"layers": LAYERS, "heads": HEADS})
    values = PACK * (ACTIONS + 2 * STATES)
    first, last = torch.randn(batch, P, C), torch.randn(batch, P, C)
    recent = torch.randn(batch, 1, P, PACK * C)
    known, conditions = torch.randn(batch, 2, values), torch.randn(batch, 2, values)
    words = torch.randn(batch, WORDS, INSTRUCTION)
    points = twin.schedule(4, 2.0)

    def run():
        h = torch.zeros(batch, MEMORY)
        for _ in range(8):
            x = torch.zeros(batch, 2 * STATES + ACTIONS + SCENE)
            a = twin.linear(w.pp("gru.input"), x).chunk(3, -1)
            b = twin.linear(w.pp("gru.hidden"), h).chunk(3, -1)
            reset, update = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
            fresh = torch.tanh(a[2] + reset * b[2])
            h = (1 - update) * fresh + update * h
            twin.linear(w.pp("gru.output"), h)
        memory = torch.zeros(batch, 8, MEMORY + SCENE)
        hidden = twin.gelu(twin.linear(w.pp("forecast.hidden"), memory))
        picture = twin.linear(w.pp("forecast.picture"), hidden).unflatten(2, (P, AHEAD))
        ahead = twin.pack(picture, PACK)
        context = expert.context(first, recent, last, known, words, conditions, ahead)
        noise = torch.randn(batch, 2, P, PACK * C)
        x = twin.integrate(noise, points, lambda x, k: expert.velocity(x, k, context))
        latents = twin.unpack(x, PACK).reshape(batch * 8, P, C).transpose(0, 1)
        return latents @ made["basis"] + made["mean"]

    return run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    made = tensors()
    with torch.inference_mode():
        for batch in (1, 16):
            run = chunk(made, batch)
            if args.compile:
                run = torch.compile(run)
            for _ in range(5):
                run()
            times = []
            while sum(times) < 3.0:
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            middle = sorted(times)[len(times) // 2]
            print(json.dumps({
                "batch": batch, "mode": "compile" if args.compile else "eager",
                "threads": args.threads, "ms": round(1000 * middle, 3),
                "frames_per_s": round(8 * batch / middle, 1),
            }))


if __name__ == "__main__":
    main()
