"""Face recognition networks in the layouts of the public files: IResNet and SFace as ONNX, IResNet and IR-SE50 as PyTorch
files, with random weights; the embeddings that ONNX Runtime and PyTorch compute of the same crops; and crops by OpenCV.

The networks are written here from the published descriptions (ArcFace; `iresnet.py` of insightface; MobileNet with PReLU
of SFace; squeeze-and-excitation). `python -m cases.recogniser DIR` writes R50 and R100 at full width.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from .common import save, start

NAME = "recogniser"
SIDE = 112
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 200: (6, 26, 60, 6)}
#: Strides of the depthwise convolutions of SFace.
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
CROPS = 2


def add_options(group):
    group.add_argument("--recogniser-layers", type=int, default=18)
    group.add_argument("--recogniser-dimension", type=int, default=16)


class Block(nn.Module):
    """A residual block of IResNet, under the names of its training code."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    def __init__(self, layers, widths, dimension):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.prelu = nn.PReLU(widths[0])
        for stage, count in enumerate(BLOCKS[layers]):
            inputs, outputs = widths[stage], widths[stage + 1]
            blocks = [Block(outputs if i else inputs, outputs, 1 if i else 2) for i in range(count)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(widths[4])
        self.fc = nn.Linear(widths[4] * 49, dimension)
        self.features = nn.BatchNorm1d(dimension)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.bn2(x).flatten(1)))


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x):
        factors = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(factors)


class SqueezeBlock(nn.Module):
    """A block of IR-SE50, under the names of facexlib's file."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.stride = stride
        self.shortcut_layer = None
        if inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs),
        )

    def forward(self, x):
        shortcut = x[:, :, :: self.stride, :: self.stride] if self.shortcut_layer is None else self.shortcut_layer(x)
        return self.res_layer(x) + shortcut


class IrSe50(nn.Module):
    def __init__(self, widths, dimension):
        super().__init__()
        stem = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.input_layer = nn.Sequential(stem, nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0]))
        blocks = []
        for stage, count in enumerate(BLOCKS[50]):
            for i in range(count):
                blocks.append(SqueezeBlock(widths[stage + (i > 0)], widths[stage + 1], 1 if i else 2))
        self.body = nn.Sequential(*blocks)
        matrix = nn.Linear(widths[4] * 49, dimension)
        norms = nn.BatchNorm2d(widths[4]), nn.BatchNorm1d(dimension)
        self.output_layer = nn.Sequential(norms[0], nn.Dropout(0.6), nn.Flatten(), matrix, norms[1])

    def forward(self, x):
        """The raw embedding; the public network divides it by its length."""
        return self.output_layer(self.body(self.input_layer(x)))


class SFace(nn.Module):
    """MobileNet with PReLU: depthwise and pointwise convolutions in turn. Takes pixels as they are."""

    def __init__(self, widths, dimension):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)])
        for inputs, outputs, stride in zip(widths, widths[1:], STRIDES):
            self.layers.append(nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False))
            self.layers.append(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.norms = nn.ModuleList([nn.BatchNorm2d(layer.out_channels, eps=1e-3) for layer in self.layers])
        self.slopes = nn.ModuleList([nn.PReLU(layer.out_channels) for layer in self.layers])
        self.bn1 = nn.BatchNorm2d(widths[-1], eps=2e-5)
        self.pre_fc1 = nn.Linear(widths[-1] * 49, dimension)
        self.fc1 = nn.BatchNorm1d(dimension, eps=2e-5)

    def forward(self, x):
        x = (x - 127.5) * 0.0078125
        for layer, norm, slope in zip(self.layers, self.norms, self.slopes):
            x = slope(norm(layer(x)))
        return self.fc1(self.pre_fc1(self.bn1(x).flatten(1)))


def randomise(module):
    """Random values for every parameter and running statistic; activations stay near 1."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
                layer.weight.copy_(1 + 0.2 * torch.randn_like(layer.weight))
                layer.bias.copy_(0.2 * torch.randn_like(layer.bias))
                layer.running_mean.copy_(0.2 * torch.randn_like(layer.running_mean))
                layer.running_var.copy_(0.5 + torch.rand_like(layer.running_var))
            elif isinstance(layer, nn.PReLU):
                layer.weight.copy_(0.25 + 0.2 * torch.randn_like(layer.weight))
            elif isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.weight.copy_(torch.randn_like(layer.weight) * (1.5 / layer.weight[0].numel()) ** 0.5)
                if layer.bias is not None:
                    layer.bias.copy_(0.2 * torch.randn_like(layer.bias))
    return module.eval()


def calibrate(module, pixels):
    """Gives the batch normalisations of pictures the statistics that they see, so that little depends on biases alone."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        module(pixels)
    return module.eval()


class Graph:
    """An ONNX graph that is written node by node.

    `fold`: batch normalisations behind convolutions become part of them, as exporters do. `numbers`: weights have
    numbers for names. `data`: where the weights lie: `raw`, `float` or `half` (16-bit floats, cast in the graph).
    """

    def __init__(self, fold=True, numbers=False, data="raw", transposed=True):
        self.fold, self.numbers, self.data, self.transposed = fold, numbers, data, transposed
        self.nodes, self.weights = [], []

    def weight(self, name, values):
        values = np.asarray(values.detach() if isinstance(values, torch.Tensor) else values, dtype=np.float32)
        name = str(700 + 3 * len(self.weights)) if self.numbers else name
        if self.data == "float":
            tensor = helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.flatten().tolist())
        elif self.data == "half":
            tensor = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
            self.nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        else:
            tensor = numpy_helper.from_array(values, name)
        self.weights.append(tensor)
        return name

    def node(self, operation, inputs, **attributes):
        output = f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [output], name=f"{operation}_{len(self.nodes)}", **attributes))
        return output

    def norm(self, x, norm, name):
        parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        names = [self.weight(f"{name}.{i}", part) for i, part in enumerate(parts)]
        return self.node("BatchNormalization", [x, *names], epsilon=norm.eps)

    def convolution(self, x, layer, norm, name):
        attributes = {
            "kernel_shape": list(layer.kernel_size),
            "strides": list(layer.stride),
            "pads": [layer.padding[0]] * 4,
            "dilations": [1, 1],
            "group": layer.groups,
        }
        if norm is None or not self.fold:
            x = self.node("Conv", [x, self.weight(f"{name}.weight", layer.weight)], **attributes)
            return x if norm is None else self.norm(x, norm, f"{name}.norm")
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        bias = norm.bias - norm.running_mean * factor
        weights = [layer.weight * factor[:, None, None, None], bias]
        names = [self.weight(f"{name}.{part}", value) for part, value in zip(("weight", "bias"), weights)]
        return self.node("Conv", [x, *names], **attributes)

    def slope(self, x, layer, name):
        return self.node("PRelu", [x, self.weight(f"{name}.slope", layer.weight[:, None, None])])

    def matrix(self, x, layer):
        x = self.node("Flatten", [x], axis=1)
        weight = layer.weight if self.transposed else layer.weight.T
        names = [self.weight("fc.weight", weight), self.weight("fc.bias", layer.bias)]
        return self.node("Gemm", [x, *names], transB=int(self.transposed))

    def save(self, path, output, dimension):
        self.nodes.append(helper.make_node("Identity", [output], ["embedding"]))
        shape = ["batch", 3, SIDE, SIDE]
        inputs = [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)]
        outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dimension])]
        graph = helper.make_graph(self.nodes, "face", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)


def iresnet_graph(module, path, dimension, scaled=False, **how):
    graph = Graph(**how)
    x = "input.1"
    if scaled:
        x = graph.node("Sub", [x, graph.weight("mean", np.float32(127.5))])
        x = graph.node("Mul", [x, graph.weight("std", np.float32(0.0078125))])
    x = graph.slope(graph.convolution(x, module.conv1, module.bn1, "stem"), module.prelu, "stem")
    for stage in (1, 2, 3, 4):
        for i, block in enumerate(getattr(module, f"layer{stage}")):
            name = f"layer{stage}.{i}"
            y = graph.norm(x, block.bn1, f"{name}.bn1")
            y = graph.slope(graph.convolution(y, block.conv1, block.bn2, f"{name}.conv1"), block.prelu, name)
            y = graph.convolution(y, block.conv2, block.bn3, f"{name}.conv2")
            if block.downsample is not None:
                x = graph.convolution(x, block.downsample[0], block.downsample[1], f"{name}.downsample")
            # Both orders are in use.
            x = graph.node("Add", [y, x] if i % 2 == 0 else [x, y])
    x = graph.matrix(graph.norm(x, module.bn2, "bn2"), module.fc)
    graph.save(path, graph.norm(x, module.features, "features"), dimension)


def sface_graph(module, path, dimension, **how):
    graph = Graph(**how)
    x = graph.node("Sub", ["input.1", graph.weight("mean", np.float32(127.5))])
    x = graph.node("Mul", [x, graph.weight("std", np.float32(0.0078125))])
    for i, layer in enumerate(module.layers):
        x = graph.slope(graph.convolution(x, layer, module.norms[i], f"conv_{i}"), module.slopes[i], f"conv_{i}")
    x = graph.node("Dropout", [graph.norm(x, module.bn1, "bn1")])
    graph.save(path, graph.norm(graph.matrix(x, module.pre_fc1), module.fc1, "fc1"), dimension)


def crops():
    """Pictures [crops, 112, 112, 3] that the Rust test makes by the same formula."""
    n, y, x, c = np.meshgrid(*(np.arange(count) for count in (CROPS, SIDE, SIDE, 3)), indexing="ij")
    return ((x * (7 + n) + y * 13 + c * 50 + x * y // 5 + n * 31) % 256).astype(np.uint8)


def planes(mean=127.5, std=127.5, order=(0, 1, 2)):
    """The crops as a network's input [crops, 3, 112, 112]."""
    pictures = (crops().astype(np.float32) - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(pictures[..., list(order)].transpose(0, 3, 1, 2))


def run(path, pixels):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: pixels})[0])


def generate(folder, options):
    norm_crops(folder / "crops")
    layers, dimension = options.recogniser_layers, options.recogniser_dimension
    widths = (4, 4, 6, 8, 10)
    graphs = {
        "folded": {"numbers": True},
        "plain": {"fold": False, "data": "float", "transposed": False},
        "half": {"data": "half"},
        "scaled": {"fold": False, "scaled": True},
    }
    for case, how in graphs.items():
        start(NAME, case, options)
        module = randomise(IResNet(layers, widths, dimension))
        path = folder / case / "model.onnx"
        iresnet_graph(module, path, dimension, **how)
        pixels = planes(0, 1) if "scaled" in how else planes()
        save(folder / case / "expected.safetensors", {"embeddings": run(path, pixels)})
    start(NAME, "exported", options)
    module = randomise(IResNet(layers, widths, dimension))
    path = folder / "exported" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(module, (torch.from_numpy(planes()),), path, dynamo=False)
    save(folder / "exported" / "expected.safetensors", {"embeddings": run(path, planes())})
    start(NAME, "sface", options)
    module = randomise(SFace((4, 6, 6, 6, 8, 8, 8, 10, 10, 10, 10, 10, 12, 12), dimension))
    module = calibrate(module, torch.from_numpy(planes(0, 1)))
    path = folder / "sface" / "model.onnx"
    sface_graph(module, path, dimension, fold=False)
    save(folder / "sface" / "expected.safetensors", {"embeddings": run(path, planes(0, 1))})
    start(NAME, "training", options)
    module = randomise(IResNet(layers, widths, dimension))
    (folder / "training").mkdir(parents=True, exist_ok=True)
    torch.save({f"module.{name}": value for name, value in module.state_dict().items()}, folder / "training" / "model.pth")
    with torch.no_grad():
        save(folder / "training" / "expected.safetensors", {"embeddings": module(torch.from_numpy(planes()))})
    start(NAME, "ir_se50", options)
    # Its weights are stored as 16-bit floats, to keep the fixture small.
    module = randomise(IrSe50((16, 16, 16, 16, 32), dimension)).half().float()
    (folder / "ir_se50").mkdir(parents=True, exist_ok=True)
    half = {name: value.half() if value.is_floating_point() else value for name, value in module.state_dict().items()}
    torch.save(half, folder / "ir_se50" / "model.pth")
    with torch.no_grad():
        pixels = torch.from_numpy(planes(order=(2, 1, 0)))
        save(folder / "ir_se50" / "expected.safetensors", {"embeddings": module(pixels)})


def similarity(landmarks):
    """The similarity that takes the landmarks to ArcFace's template (Umeyama 1991), by singular values."""
    template = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
    source, target = landmarks - landmarks.mean(0), template - template.mean(0)
    u, values, v = np.linalg.svd(target.T @ source / 5)
    signs = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ np.diag(signs) @ v
    scale = (values * signs).sum() / source.var(0).sum()
    return np.hstack([scale * rotation, (template.mean(0) - scale * rotation @ landmarks.mean(0))[:, None]])


#: Landmarks in a photo of 300 x 200 pixels: turned, large, and reaching beyond the border.
LANDMARKS = (
    ((120.5, 60.25), (170.0, 75.5), (140.0, 100.0), (105.75, 120.0), (150.0, 135.0)),
    ((60.0, 40.0), (220.0, 50.0), (140.0, 110.0), (80.0, 160.0), (210.0, 165.0)),
    ((262.0, 20.0), (290.0, 22.0), (276.0, 38.0), (265.0, 52.0), (287.0, 53.0)),
)


def photo():
    """A smooth picture [200, 300, 3] that the Rust test makes by the same formula."""
    y, x, c = np.meshgrid(np.arange(200), np.arange(300), np.arange(3), indexing="ij")
    return (x * (4 + c) // 6 + y * (5 - c) // 8 + (x * y // 97) % 16).clip(0, 255).astype(np.uint8)


def norm_crops(folder):
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for i, landmarks in enumerate(LANDMARKS):
        crop = cv2.warpAffine(photo(), similarity(np.array(landmarks)), (SIDE, SIDE), borderValue=0.0)
        cv2.imwrite(str(folder / f"{i}.png"), crop[..., ::-1])


def full_width(folder):
    """R50 and R100 in the structure and size of the public files."""
    torch.manual_seed(5)
    for layers in (50, 100):
        module = randomise(IResNet(layers, (64, 64, 128, 256, 512), 512))
        path = folder / f"r{layers}" / "model.onnx"
        iresnet_graph(module, path, 512, numbers=True)
        save(path.with_name("expected.safetensors"), {"embeddings": run(path, planes())})


if __name__ == "__main__":
    full_width(Path(sys.argv[1]))
