"""A PyTorch twin of the world model: the same tensors by the same names, the same numbers.

Weights lie (in, out), as in the checkpoint. Used by gen_parity.py, which writes the fixtures of
the parity test, and by compare_torch.py, which times it beside the Rust model.
"""

import math

import torch
import torch.nn.functional as F

BASE = 8
LENGTHS = 4
WAVES = 32
EPS = 1e-6


class Weights:
    """Tensors by name below a prefix."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def pp(self, name):
        return Weights(self.tensors, f"{self.prefix}{name}.")

    def __getitem__(self, name):
        return self.tensors[self.prefix + name]


def linear(w, x):
    return x @ w["weight"] + w["bias"]


def norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


def gelu(x):
    return F.gelu(x, approximate="tanh")


def attention(q, k, v, heads):
    b, t, w = q.shape
    split = lambda x: x.view(b, -1, heads, w // heads).transpose(1, 2)
    out = F.scaled_dot_product_attention(split(q), split(k), split(v))
    return out.transpose(1, 2).reshape(b, t, w)


def modulated_norm(x, shift, scale):
    return norm(x) * (1 + scale[:, :, None]) + shift[:, :, None]


def own_tokens(w, x, m):
    """An array's own queries, keys and values in a block that m modulates."""
    return linear(w.pp("qkv"), modulated_norm(x, m[0], m[1]).flatten(1, 2)).chunk(3, dim=-1)


def modulation(w, condition):
    return linear(w.pp("modulation"), condition).chunk(6, dim=-1)


def block(w, x, condition, context, heads):
    """One block; returns the tokens and this array's keys and values."""
    b, g, p, width = x.shape
    m = modulation(w, condition)
    q, k, v = own_tokens(w, x, m)
    out = attention(q, torch.cat([context[0], k], 1), torch.cat([context[1], v], 1), heads)
    x = x + m[2][:, :, None] * linear(w.pp("output"), out).view(b, g, p, width)
    hidden = gelu(linear(w.pp("up"), modulated_norm(x, m[3], m[4])))
    return x + m[5][:, :, None] * linear(w.pp("down"), hidden), (k, v)


def time_waves(k):
    part = torch.arange(WAVES, dtype=k.dtype) / WAVES
    angles = k[:, None] * (1000.0 * torch.exp(-part * math.log(10_000.0)))
    return torch.cat([angles.cos(), angles.sin()], 1)


class Expert:
    def __init__(self, weights, shape):
        self.w, self.s = weights, shape

    def placed(self, x, start):
        g = x.shape[1]
        return x + self.w["slot"][start : start + g, None] + self.w["place"]

    def embed(self, conditions, start):
        g = conditions.shape[1]
        return linear(self.w.pp("frame"), conditions) + self.w["slot_condition"][start : start + g]

    def condition(self, embedded, k):
        mixed = F.silu(embedded + linear(self.w.pp("time"), time_waves(k))[:, None])
        return F.silu(linear(self.w.pp("mix"), mixed))

    def context(self, first, recent, last, known_conditions, instruction, conditions, foreseen):
        w, s = self.w, self.s
        x = torch.cat([linear(w.pp("first"), first)[:, None], linear(w.pp("recent"), recent)], 1)
        x = self.placed(x, 0)
        clean = torch.ones(x.shape[0], dtype=x.dtype)
        condition = self.condition(self.embed(known_conditions, 0), clean)
        caches = []
        for layer in range(s["layers"]):
            words = linear(w.pp(f"instruction.{layer}"), instruction).chunk(2, dim=-1)
            here = w.pp(f"blocks.{layer}")
            if layer + 1 < s["layers"]:
                x, own = block(here, x, condition, words, s["heads"])
            else:
                # Nothing reads the context's tokens after the last block's keys and values.
                own = own_tokens(here, x, modulation(here, condition))[1:]
            caches.append(tuple(torch.cat([a, b], 1) for a, b in zip(words, own)))
        known = known_conditions.shape[1]
        b, g = conditions.shape[:2]
        last = linear(w.pp("last"), last)[:, None].expand(b, g, -1, -1)
        base = self.placed(last, known) + linear(w.pp("foreseen"), foreseen)
        return caches, base, self.embed(conditions, known)

    def velocity(self, x, k, context):
        caches, base, embedded = context
        w = self.w
        condition = self.condition(embedded, k)
        x = linear(w.pp("noisy"), x) + base
        for layer, cache in enumerate(caches):
            x, _ = block(w.pp(f"blocks.{layer}"), x, condition, cache, self.s["heads"])
        shift, scale = linear(w.pp("modulation"), condition).chunk(2, dim=-1)
        return linear(w.pp("output"), modulated_norm(x, shift, scale))


def schedule(steps, shift):
    points = [i / steps for i in range(steps + 1)]
    return [u / (u + shift * (1 - u)) for u in points]


def integrate(x, points, velocity):
    for a, b in zip(points, points[1:]):
        x = x + (b - a) * velocity(x, torch.full((x.shape[0],), a, dtype=x.dtype))
    return x


def pack(latents, n):
    b, f, p, c = latents.shape
    return latents.view(b, f // n, n, p, c).transpose(2, 3).reshape(b, f // n, p, n * c)


def unpack(tokens, n):
    b, g, p, wide = tokens.shape
    return tokens.view(b, g, p, n, wide // n).transpose(2, 3).reshape(b, g * n, p, wide // n)


def hashes(word):
    letters = "<" + word + ">"
    groups = [letters[i : i + n] for n in (3, 4, 5) for i in range(len(letters) - n + 1)]
    out = []
    for group in [letters, *groups]:
        value = 0xCBF29CE484222325
        for letter in group:
            for byte in ord(letter).to_bytes(4, "little"):
                value = ((value ^ byte) * 0x0100000001B3) & 0xFFFFFFFFFFFFFFFF
        out.append(value)
    return out


def encode_instruction(w, text, dtype):
    buckets, words = w["table"].shape[0], w["position"].shape[0] - 1
    split = "".join(c if c.isalnum() else " " for c in text.lower()).split()[:words]
    bags = torch.zeros(words + 1, buckets, dtype=dtype)
    for place, word in enumerate(split):
        values = hashes(word)
        for value in values:
            bags[place + 1, value % buckets] += 1 / math.sqrt(len(values))
            bags[0, value % buckets] += 1 / math.sqrt(len(values)) / math.sqrt(len(split))
    x = bags @ w["table"] + w["position"]
    return x + linear(w.pp("down"), gelu(linear(w.pp("up"), norm(x))))


def pool(tokens):
    return norm(tokens.mean(-2))


class StateModel:
    def __init__(self, weights, statistics):
        self.w, self.st = weights, statistics

    def normal(self, state):
        return (state - self.st["state_mean"]) / self.st["state_scale"]

    def begin(self, state, first, texts):
        scene = self.w.pp("scene")
        kept = scene.pp("image")["weight"].shape[0] // first.shape[1]
        image = gelu(linear(scene.pp("image"), first[:, :, :kept].flatten(1)))
        words = torch.stack([encode_instruction(scene.pp("words"), t, state.dtype) for t in texts])
        scene = torch.tanh(
            linear(scene.pp("summary"), image) + linear(scene.pp("instruction"), pool(words))
        )
        hidden = torch.tanh(linear(self.w.pp("start"), torch.cat([self.normal(state), scene], 1)))
        return hidden, state, state, scene

    def roll(self, memory, actions):
        st, states, memories = self.st, [], []
        normal = (actions - st["action_mean"]) / st["action_scale"]
        h, state, commanded, scene = memory
        for step in range(actions.shape[1]):
            asked = actions[:, step] @ st["commanded.weight"]
            moved = (commanded + asked).clamp(st["commanded.low"], st["commanded.high"])
            target = asked + st["commanded.bias"]
            commanded = target + (moved - target) * st["commanded.delta"]
            lead = (commanded - state) / (4 * st["step_scale"])
            x = torch.cat([self.normal(state), normal[:, step], lead, scene], 1)
            gru = self.w.pp("gru")
            a, b = linear(gru.pp("input"), x).chunk(3, -1), linear(gru.pp("hidden"), h).chunk(3, -1)
            reset, update = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
            fresh = torch.tanh(a[2] + reset * b[2])
            h = (1 - update) * fresh + update * h
            state = state + linear(self.w.pp("output"), h) * st["step_scale"]
            states.append(state)
            memories.append((h, state, commanded, scene))
        return torch.stack(states, 1), memories

    def foresee(self, memories):
        """Change of the leading coefficients since the first frame, and log odds of success."""
        w = self.w.pp("forecast")
        x = torch.stack([torch.cat([h, scene], 1) for h, _, _, scene in memories], 1)
        x = gelu(linear(w.pp("hidden"), x))
        patches = self.st["flow_scale"].shape[0]
        change = linear(w.pp("picture"), x).unflatten(2, (patches, -1))
        change = change * self.st["flow_scale"][:, : change.shape[3]]
        return change, linear(w.pp("success"), x)[..., 0]


def conditions(st, n, actions, states, anchor):
    normal = (states - st["state_mean"]) / st["state_scale"]
    moved = (states - anchor[:, None]) / (4 * st["step_scale"])
    frame = torch.cat([actions, normal, moved], 2)
    b, f, v = frame.shape
    return frame.reshape(b, f // n, n * v)


def route(w, last, instruction, pending, heads):
    queries = linear(w.pp("pending"), pending) + w["place"]
    frame = linear(w.pp("frame"), last) + w["patch"]
    seen = norm(torch.cat([queries, frame, linear(w.pp("instruction"), instruction)], 1))
    k, v = linear(w.pp("key_value"), seen).chunk(2, -1)
    q = linear(w.pp("query"), norm(queries))
    x = queries + linear(w.pp("output"), attention(q, k, v, heads))
    x = norm(x + linear(w.pp("down"), gelu(linear(w.pp("up"), norm(x)))))
    return linear(w.pp("head"), x.flatten(1))


def judge(w, st, frame, first, state, first_state, instruction, foreseen=None):
    frames = torch.cat([frame.flatten(1), (frame - first).flatten(1)], 1)
    normal = lambda s: (s - st["state_mean"]) / st["state_scale"]
    states = torch.cat([normal(state), normal(state) - normal(first_state)], 1)
    x = linear(w.pp("frame"), frames) + linear(w.pp("state"), states)
    x = gelu(x + linear(w.pp("instruction"), instruction))
    score = linear(w.pp("head"), gelu(linear(w.pp("hidden"), x)))[:, 0]
    if foreseen is None:
        return torch.sigmoid(score * w["platt.slope"] + w["platt.offset"])
    w = w.pp("imagined")
    return torch.sigmoid(score * w["slope"] + foreseen * w["foreseen"] + w["offset"])


def grip_bits(action, grippers, middle):
    return sum(int(action[c] > middle[c]) << bit for bit, c in enumerate(grippers))


def pending_features(st, motion, grippers, now, before, actions, predicted, valid):
    middle = st["action_middle"]
    grips = [grip_bits(actions[i], grippers, middle) for i in range(valid)]
    rows = []
    for n in range(LENGTHS):
        values, start, end = [], n * BASE, (n + 1) * BASE
        there = end <= valid or (n == 0 and valid > 0)
        for step in range(start, end):
            if step < valid:
                values += ((actions[step] - st["action_mean"]) / st["action_scale"]).tolist()
                values += ((predicted[step] - now) / (8 * st["step_scale"])).tolist()
            else:
                values += [0.0] * (actions.shape[1] + now.shape[0])
        until = min(end, valid)
        for channel, amplitude in zip(motion, st["amplitude"]):
            seen = predicted[:until, channel]
            span = float(seen.max() - seen.min()) if there else 0.0
            values.append(4.0 * span / max(float(amplitude), 1e-6))
        changes = False
        for step in range(start, until):
            previous = before if step == 0 else grips[step - 1]
            changes |= previous is not None and previous != grips[step]
        values += [float(there and changes), float(there)]
        rows.append(values)
    return torch.tensor(rows, dtype=now.dtype)


class WorldModel:
    """Rolls out with the noise weighed by temperature and context noise, zero if not stated."""

    def __init__(self, tensors, config):
        self.w, self.c = Weights(tensors), config
        self.st = self.w.pp("statistics")
        self.state = StateModel(self.w.pp("state"), self.st)
        self.experts = [Expert(self.w.pp(f"experts.{i}"), config) for i in range(LENGTHS)]

    def context_conditions(self, recent_actions, recent_states, first_state):
        n = self.c["pack"]
        anchor = recent_states[:, -1]
        none = torch.zeros(len(anchor), n, recent_actions.shape[2], dtype=anchor.dtype)
        first = conditions(self.st, n, none, first_state[:, None].expand(-1, n, -1), anchor)
        rest = conditions(self.st, n, recent_actions, recent_states, anchor)
        return torch.cat([first, rest], 1)

    def begin(self, first, state, text, actions):
        """What is known of trials (B, P, C), (B, S) before the first of their actions."""
        still = lambda x: x[:, None].expand(-1, self.c["context"], *x.shape[1:])
        words = encode_instruction(self.w.pp("instruction"), text, state.dtype)
        known = {
            "first": first, "first_state": state, "words": words.expand(len(first), -1, -1),
            "recent": still(first), "recent_states": still(state),
            "recent_actions": state.new_zeros(len(first), self.c["context"], actions),
        }
        return known, self.state.begin(state, first, [text] * len(first))

    def foresee(self, memory, actions):
        """What the state model says of actions (B, F, A)."""
        predicted, memories = self.state.roll(memory, actions)
        return predicted, memories, *self.state.foresee(memories)

    def normal(self, actions):
        return (actions - self.st["action_mean"]) / self.st["action_scale"]

    def chunk(self, expert, known, normal, predicted, change):
        """Latents (B, F, P, C) of the chunk that normalised actions (B, F, A) lead to."""
        c, st, n = self.c, self.st, self.c["pack"]
        first, recent, anchor = known["first"], known["recent"], known["recent_states"][:, -1]
        last, kept = recent[:, -1], change.shape[3]
        states = [known[name] for name in ("recent_actions", "recent_states", "first_state")]
        ahead = (first[:, None, :, :kept] + change - last[:, None, :, :kept])
        level = c.get("context_noise", 0.0)
        noised = lambda x: (1 - level) * x + level * torch.randn_like(x)
        noisy = noised(recent)
        context = self.experts[expert].context(
            noised(first), pack(noisy, n), noisy[:, -1], self.context_conditions(*states),
            known["words"], conditions(st, n, normal, predicted, anchor),
            pack(ahead / st["flow_scale"][:, :kept], n),
        )
        groups = predicted.shape[1] // n
        noise = torch.randn(len(first), groups, first.shape[1], n * first.shape[2]).to(first)
        points = schedule(c["steps"], c["shift"])
        velocity = lambda x, k: self.experts[expert].velocity(x, k, context)
        end = integrate(c.get("temperature", 0.0) * noise, points, velocity)
        return unpack(end, n) * st["flow_scale"] + last[:, None]

    def judge(self, known, latents, states, odds):
        """Probability of success (B, F) in imagined frames (B, F, P, C)."""
        over = lambda x: x[:, None].expand(-1, latents.shape[1], *x.shape[1:]).flatten(0, 1)
        first, words = over(known["first"]), over(pool(known["words"]))
        seen = [latents.flatten(0, 1), first, states.flatten(0, 1), over(known["first_state"])]
        out = judge(self.w.pp("judge"), self.st, *seen, words, odds.flatten())
        return out.view(odds.shape)

    def decode(self, latents):
        """Latents (F, P, C) to pixels (F, P, D)."""
        w = self.w.pp("tokenizer")
        x = (latents.transpose(0, 1) * w["scale"][:, None]) @ w["basis"] + w["mean"][:, None]
        return x.transpose(0, 1).contiguous()

    def rollout(self, first, state, text, actions):
        """first (1, P, C), state (1, S), actions (T, A): latents, states, success, experts."""
        c, st = self.c, self.st
        known, memory = self.begin(first, state, text, actions.shape[1])
        before, done = None, 0
        latents, states, chosen, odds = [], [], [], []
        while done < len(actions):
            left = len(actions) - done
            horizon = -(-min(left, LENGTHS * BASE) // BASE) * BASE
            pending = torch.stack([actions[done + min(i, left - 1)] for i in range(horizon)])
            predicted, memories, change, success = self.foresee(memory, pending[None])
            allowed = max(1, min(LENGTHS, left // BASE))
            expert = 0
            if allowed > 1:
                features = pending_features(
                    st, c["motion"], c["grippers"], memory[1][0], before, pending, predicted[0],
                    min(left, horizon),
                )
                w, last = self.w.pp("router"), known["recent"][:, -1]
                scores = route(w, last, known["words"], features[None], c["router_heads"])
                expert = int(scores[0, :allowed].argmax())
            frames = (expert + 1) * BASE
            normal = self.normal(pending[None, :frames])
            made = self.chunk(expert, known, normal, predicted[:, :frames], change[:, :frames])
            used = min(frames, left)
            new = {"recent": made, "recent_states": predicted, "recent_actions": normal}
            for name, value in new.items():
                known[name] = torch.cat([known[name], value[:, :used]], 1)[:, -c["context"] :]
            memory = memories[used - 1]
            before = grip_bits(pending[used - 1], c["grippers"], st["action_middle"])
            latents.append(made[:, :used])
            states.append(predicted[:, :used])
            odds.append(success[:, :used])
            chosen.append(expert)
            done += used
        latents, states, odds = (torch.cat(parts, 1) for parts in (latents, states, odds))
        return latents[0], states[0], self.judge(known, latents, states, odds)[0], chosen
