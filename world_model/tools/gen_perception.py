"""Writes tests/fixtures/{lpips,i3d}.safetensors: narrow networks with drawn weights, in the layout
of the published ones, and what they make of frames that a formula draws (`case.*`), in double
precision rounded to f32.

    pip install --no-deps lpips scipy tqdm
    python world_model/tools/gen_perception.py

LPIPS is computed by the `lpips` package itself, its layers replaced by narrow ones. I3D is written
here by its published architecture, with the names of piergiaj/pytorch-i3d (`InceptionI3d`).
"""

import pathlib

import lpips
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"


def drawn(frames, height, width, factor):
    """(frames, 3, height, width) in [-1, 1], of numbers that f32 holds exactly."""
    n, c, y, x = torch.meshgrid(
        *(torch.arange(size) for size in (frames, 3, height, width)), indexing="ij"
    )
    return ((3 * x + 5 * y + 7 * n + 13 * c + factor * x * y + n * x) % 17).double() / 8 - 1


def round_weights(network):
    """Both sides compute with exactly these numbers."""
    network.double().eval()
    for tensor in list(network.parameters()) + list(network.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.float().double()
    return network


def store(name, weights, cases):
    tensors = {key: value.detach() for key, value in weights.items()}
    tensors |= {f"case.{key}": value.detach() for key, value in cases.items()}
    rounded = {
        key: (value.float() if value.is_floating_point() else value).contiguous()
        for key, value in tensors.items()
    }
    save_file(rounded, FIXTURE / name)


def narrow_lpips():
    network = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    widths = [3, 5, 6, 5, 4, 3]
    layers = [("slice1", "0"), ("slice2", "3"), ("slice3", "6"), ("slice4", "8"), ("slice5", "10")]
    weights = {}
    for place, (slice_, index) in enumerate(layers):
        modules = getattr(network.net, slice_)._modules
        old = modules[index]
        modules[index] = nn.Conv2d(
            *widths[place : place + 2], old.kernel_size, old.stride, old.padding
        )
        # Larger than drawn by default, so that all layers see something.
        modules[index].weight.data *= 3
        importance = nn.Conv2d(widths[place + 1], 1, 1, bias=False)
        importance.weight.data.abs_()
        network.lins[place].model[1] = importance
    round_weights(network)
    for place, (slice_, index) in enumerate(layers):
        convolution = getattr(network.net, slice_)._modules[index]
        weights[f"features.{index}.weight"] = convolution.weight
        weights[f"features.{index}.bias"] = convolution.bias
        weights[f"lin{place}.model.1.weight"] = network.lins[place].model[1].weight
    recorded, imagined = drawn(3, 37, 45, 1), drawn(3, 37, 45, 2)
    seen = network.net(network.scaling_layer(recorded))
    cases = {f"layer{place}": layer for place, layer in enumerate(seen)}
    cases["distances"] = network(recorded, imagined).flatten()
    print("LPIPS", cases["distances"].tolist())
    store("lpips.safetensors", weights, cases)


def same(x, kernel, stride):
    """TensorFlow's SAME padding of the last three axes."""
    pad = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride)):
        zeros = max(k - (s if size % s == 0 else size % s), 0)
        pad += [zeros // 2, zeros - zeros // 2]
    return F.pad(x, pad)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=1)

    def forward(self, x):
        x = same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(x)))


class Pool(nn.Module):
    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        return F.max_pool3d(same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    def __init__(self, inputs, widths):
        super().__init__()
        self.b0 = Unit(inputs, widths[0], 1)
        self.b1a, self.b1b = Unit(inputs, widths[1], 1), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(inputs, widths[3], 1), Unit(widths[3], widths[4], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(inputs, widths[5], 1)

    def forward(self, x):
        small, large = self.b1b(self.b1a(x)), self.b2b(self.b2a(x))
        return torch.cat([self.b0(x), small, large, self.b3b(self.b3a(x))], 1)


class I3d(nn.Module):
    def __init__(self, stem, mixed, classes):
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, stem[0], 7, 2)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(stem[0], stem[1], 1)
        self.Conv3d_2c_3x3 = Unit(stem[1], stem[2], 3)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        width = stem[2]
        for name, widths in zip(["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"], mixed):
            if name == "4b":
                self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
            if name == "5b":
                self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
            self.add_module(f"Mixed_{name}", Mixed(width, widths))
            width = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = nn.ModuleDict({"conv3d": nn.Conv3d(width, classes, 1)})

    def forward(self, clips):
        """(clips, 3, frames, height, width) to (clips, classes)."""
        x = clips
        for name, module in self.named_children():
            if name != "logits":
                x = module(x)
        x = self.logits["conv3d"](F.avg_pool3d(x, (2, 7, 7), 1))
        return x.squeeze(4).squeeze(3).mean(2)


def resized(clip):
    return F.interpolate(clip, size=(224, 224), mode="bilinear", align_corners=False)


def narrow_i3d():
    network = I3d([2, 2, 3], [[2, 1, 2, 1, 2, 1], [1, 2, 2, 1, 1, 2]] * 4 + [[2, 2, 1, 1, 2, 2]], 7)
    # One that grows and shrinks on its way to 224x224.
    clips = [drawn(16, 12, 20, 1), drawn(16, 12, 20, 2), drawn(16, 9, 301, 1)]
    clips = [resized(clip).transpose(0, 1) for clip in clips]
    for name, tensor in network.named_parameters():
        if "bn.weight" in name:
            tensor.data = 0.8 + 0.4 * torch.rand_like(tensor)
        if "bn.bias" in name:
            tensor.data = 0.3 * torch.randn_like(tensor)
    # The statistics of these clips, without which nothing of the clips would reach the end.
    with torch.no_grad():
        network.double().train()(torch.stack(clips))
    round_weights(network)
    logits = torch.cat([network(clip[None]) for clip in clips])
    print("logits", logits.tolist())
    store("i3d.safetensors", network.state_dict(), {"logits": logits})


if __name__ == "__main__":
    torch.manual_seed(11)
    narrow_lpips()
    narrow_i3d()
