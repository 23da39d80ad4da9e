"""Face parsing: BiSeNet as PyTorch file and ONNX, with random weights; scores and labels by PyTorch and ONNX Runtime.

The network is written here from its paper (Yu et al. 2018) and the names in facexlib's file.
"""

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn import functional

from .common import save, start
from .recogniser import randomise

NAME = "parsing"
CLASSES = 19
HEIGHT, WIDTH = 64, 96


def add_options(group):
    group.add_argument("--parsing-widths", type=int, nargs=4, default=(8, 8, 12, 16))


class Normed(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inputs = widths[0]
        for stage, outputs in enumerate(widths):
            first = Block(inputs, outputs, 2 if stage else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, Block(outputs, outputs, 1)))
            inputs = outputs

    def forward(self, x):
        x = functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        quarter = self.layer2(self.layer1(x))
        half = self.layer3(quarter)
        return quarter, half, self.layer4(half)


def means(x):
    return functional.avg_pool2d(x, x.shape[2:])


class Refinement(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = Normed(inputs, outputs, 3)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(means(x))))


class Context(nn.Module):
    def __init__(self, widths, context):
        super().__init__()
        self.resnet = ResNet18(widths)
        self.arm16 = Refinement(widths[2], context)
        self.arm32 = Refinement(widths[3], context)
        self.conv_head32 = Normed(context, context, 3)
        self.conv_head16 = Normed(context, context, 3)
        self.conv_avg = Normed(widths[3], context, 1)

    def forward(self, x):
        quarter, half, whole = self.resnet(x)
        mean = functional.interpolate(self.conv_avg(means(whole)), whole.shape[2:], mode="nearest")
        up = functional.interpolate(self.arm32(whole) + mean, half.shape[2:], mode="nearest")
        up32 = self.conv_head32(up)
        up = functional.interpolate(self.arm16(half) + up32, quarter.shape[2:], mode="nearest")
        return quarter, self.conv_head16(up), up32


class Fusion(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.convblk = Normed(inputs, outputs, 1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, a, b):
        x = self.convblk(torch.cat([a, b], dim=1))
        return x * torch.sigmoid(self.conv2(torch.relu(self.conv1(means(x))))) + x


class Labels(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.conv = Normed(inputs, hidden, 3)
        self.conv_out = nn.Conv2d(hidden, CLASSES, 1, bias=False)

    def forward(self, x):
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """`heads`: with the labels at 1/16 and 1/32, as facexlib's file."""

    def __init__(self, widths, context=8, fusion=12, hidden=10, heads=True):
        super().__init__()
        self.cp = Context(widths, context)
        self.ffm = Fusion(widths[1] + context, fusion)
        self.conv_out = Labels(fusion, hidden)
        self.heads = heads
        if heads:
            self.conv_out16 = Labels(context, 8)
            self.conv_out32 = Labels(context, 8)

    def forward(self, x):
        quarter, up16, up32 = self.cp(x)
        outputs = [self.conv_out(self.ffm(quarter, up16))]
        if self.heads:
            outputs += [self.conv_out16(up16), self.conv_out32(up32)]
        size = x.shape[2:]
        return tuple(functional.interpolate(out, size, mode="bilinear", align_corners=True) for out in outputs)


def face():
    """A picture [height, width, 3] that the Rust test makes by the same formula."""
    y, x, c = np.meshgrid(*(np.arange(count) for count in (HEIGHT, WIDTH, 3)), indexing="ij")
    return ((x * 5 + y * 3 + c * 70 + x * y // 7) % 256).astype(np.uint8)


def pixels():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    picture = (torch.from_numpy(face()).float() / 255 - mean) / std
    return picture.permute(2, 0, 1)[None].contiguous()


def expected(path, scores):
    """Every fourth score along both sides, [height / 4, width / 4, classes], and all labels."""
    save(
        path,
        {
            "scores": scores[0, :, ::4, ::4].permute(1, 2, 0),
            "labels": scores[0].argmax(0).to(torch.float32),
        },
    )


def generate(folder, options):
    start(NAME, "training", options)
    module = randomise(BiSeNet(options.parsing_widths))
    (folder / "training").mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), folder / "training" / "model.pth")
    with torch.no_grad():
        expected(folder / "training" / "expected.safetensors", module(pixels())[0])
    for case, heads in (("onnx", True), ("onnx_one_output", False)):
        start(NAME, case, options)
        module = randomise(BiSeNet(options.parsing_widths, heads=heads))
        path = folder / case / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.onnx.export(module, (pixels(),), path, dynamo=False)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: pixels().numpy()})
        expected(folder / case / "expected.safetensors", torch.from_numpy(outputs[0]))
