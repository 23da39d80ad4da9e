"""PuLID from the photo to the tokens: crop for the face network, its embedding, aligned face, labels, grey face on white,
image encoder, tokens. All networks are small and random; crops are OpenCV's, the resize is PyTorch's with antialiasing,
as torchvision calls it (PuLID `get_id_embedding`).

Where the last digits of scores decide whether a pixel is background, another implementation may see another pixel: of
several parsers the one is taken whose closest decision is the clearest, and the test allows for one pixel.
"""

import cv2
import numpy as np
import torch
from timm.models.eva import Eva
from torch import nn
from torch.nn.functional import interpolate

from .common import randomise, save, start
from .identity_encoders import IdFormer, PulidV1
from .parsing import BiSeNet
from .recogniser import IResNet, calibrate, iresnet_graph, run
from .recogniser import randomise as randomise_face
from .vision_families import original_names, rope_tables

NAME = "pulid"
FACE, CLASS, SIDE, WIDTH, CONTEXT = 12, 12, 28, 16, 20
WHITE = [0, 7, 8, 9, 14, 15, 16, 18]
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
#: ArcFace's template for 112 x 112 pixels, and FFHQ's for 512 x 512.
ARCFACE = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
FFHQ = [[192.98138, 239.94708], [318.90277, 240.1936], [256.63416, 314.01935], [201.26117, 371.41043], [313.08905, 371.15118]]
LANDMARKS = [
    [[60.5, 70.25], [100.0, 68.5], [81.0, 92.0], [64.75, 112.0], [98.0, 111.5]],
    [[90.0, 60.0], [131.5, 71.0], [106.0, 88.25], [84.5, 103.0], [119.0, 113.0]],
]


def add_options(group):
    group.add_argument("--pulid-layers", type=int, default=6, help="layers of the image encoder")
    group.add_argument("--pulid-attempts", type=int, default=80, help="parsers that are tried")


def photo(index):
    """A photo [160, 176, 3] that the Rust test makes by the same formula."""
    y, x, c = np.meshgrid(np.arange(160), np.arange(176), np.arange(3), indexing="ij")
    wave = lambda place: np.abs(place % 510 - 255)
    return ((wave(x * (5 + index) + c * 60) + wave(y * 6 + c * 90 + x)) // 2).astype(np.uint8)


def mask():
    """A host's mask [160, 176], 1 where the face is: a disc."""
    y, x = np.meshgrid(np.arange(160), np.arange(176), indexing="ij")
    return (((x - 82) ** 2 + (y - 90) ** 2) < 40**2).astype(np.uint8)


def similarity(points, template):
    """The similarity with the least squares (Umeyama 1991), which insightface takes from scikit-image."""
    a, b = np.array(points, np.float64), np.array(template, np.float64)
    x, y = a - a.mean(0), b - b.mean(0)
    u, s, vt = np.linalg.svd(y.T @ x)
    sign = np.diag([1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt * (s * np.diag(sign)).sum() / (x**2).sum()
    return np.hstack([rotation, (b.mean(0) - rotation @ a.mean(0))[:, None]])


def crop(picture, landmarks):
    return cv2.warpAffine(picture, similarity(landmarks, ARCFACE), (112, 112), borderValue=0)


def align(picture, landmarks, border=(132, 133, 135)):
    place = cv2.estimateAffinePartial2D(np.array(landmarks), np.array(FFHQ), method=cv2.LMEDS)[0]
    return cv2.warpAffine(picture, place, (512, 512), borderMode=cv2.BORDER_CONSTANT, borderValue=border)


def planes(picture):
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def parse(parser, face):
    """Where the background is [1, 1, 512, 512], and by how much the closest of these decisions was taken."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    scores = parser((face - mean[:, None, None]) / std[:, None, None])[0]
    white = torch.isin(scores.argmax(1, keepdim=True), torch.tensor(WHITE))
    others = [label for label in range(scores.shape[1]) if label not in WHITE]
    margin = (scores[:, WHITE].amax(1) - scores[:, others].amax(1)).abs().min()
    return white, margin.item()


def grey(face, is_face):
    red, green, blue = face.split(1, 1)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue).repeat(1, 3, 1, 1)
    return torch.where(is_face, luma, torch.ones_like(face))


def pixels(face):
    """What the image encoder gets [1, 3, side, side]."""
    small = interpolate(face, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
    return (small - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def image_encoder(layers):
    model = Eva(
        img_size=SIDE,
        patch_size=7,
        embed_dim=WIDTH,
        depth=layers,
        num_heads=1,
        mlp_ratio=8 / 3,
        qkv_fused=False,
        swiglu_mlp=True,
        scale_mlp=True,
        scale_attn_inner=True,
        use_rot_pos_emb=True,
        ref_feat_shape=(16, 16),
        global_pool="token",
        num_classes=CLASS,
    )
    model = randomise(model)
    tables = rope_tables(SIDE, model)
    table = torch.cat([tables["freqs_sin"], tables["freqs_cos"]], -1).float()
    model.rope.get_embed = lambda *_, **__: table
    tensors = {f"visual.{original_names(name)}": tensor for name, tensor in model.state_dict().items()}
    for name, values in tables.items():
        tensors[f"visual.rope.{name}"] = values
        tensors[f"visual.blocks.0.attn.rope.{name}"] = values
    return model, tensors


def look(model, layers, pixels):
    """The inputs of the blocks that begin the second to sixth part, and the class embedding of length 1."""
    states = []
    hooks = [block.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0])) for block in model.blocks]
    embedding = model.forward_head(model.forward_features(pixels))
    for hook in hooks:
        hook.remove()
    return [states[level * layers // 6] for level in range(1, 6)], embedding / embedding.norm(dim=1, keepdim=True)


def generate(folder, options):
    start(NAME, "models", options)
    layers = options.pulid_layers
    network = randomise_face(IResNet(100, (4, 4, 4, 4, 6), FACE))
    encoder, tensors = image_encoder(layers)
    save(folder / "eva02.safetensors", tensors)
    pictures = [photo(index) for index in range(2)]
    faces = [planes(align(picture, points)) for picture, points in zip(pictures, LANDMARKS)]
    expected = {}
    crops = np.stack([crop(picture, points) for picture, points in zip(pictures, LANDMARKS)])
    inputs = np.ascontiguousarray(((crops.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2))
    iresnet_graph(calibrate(network, torch.from_numpy(inputs)), folder / "glintr100.onnx", FACE, data="half")
    embeddings = run(folder / "glintr100.onnx", inputs)
    expected["embeddings"] = embeddings
    with torch.no_grad():
        best = None
        for attempt in range(options.pulid_attempts):
            start(NAME, f"parser {attempt}", options)
            parser = randomise_face(BiSeNet((4, 4, 4, 6), context=4, fusion=8, hidden=16))
            calibrate(parser, torch.cat(faces) * 4 - 2)
            parsed = [parse(parser, face) for face in faces]
            shares = [float(white.float().mean()) for white, _ in parsed]
            margin = min(margin for _, margin in parsed)
            if all(0.2 < share < 0.8 for share in shares) and (best is None or margin > best[0]):
                best = margin, parser, [white for white, _ in parsed]
        margin, parser, background = best
        print(f"{NAME}: the closest pixel is background by {margin:.1e}")
        save(folder / "parsing_bisenet.safetensors", {k: v for k, v in parser.state_dict().items() if "num_batches" not in k})
        disc = torch.from_numpy(align(mask() * 255, LANDMARKS[0], 0) >= 128)[None, None]
        seen = {
            "white": [pixels(grey(face, ~white)) for face, white in zip(faces, background)],
            "masked": [pixels(grey(faces[0], disc))],
            "plain": [pixels(face) for face in faces],
        }
        for case, several in seen.items():
            for index, picture in enumerate(several):
                levels, _ = look(encoder, layers, picture)
                expected[f"{case}.features.{index}"] = torch.cat(levels, 1)[0]
        for case, build in {
            "pulid_v1": lambda: PulidV1(FACE + CLASS, WIDTH, CONTEXT),
            "id_former": lambda: IdFormer(FACE + CLASS, WIDTH, CONTEXT),
        }.items():
            start(NAME, case, options)
            model = randomise(build())
            flat = {f"id_adapter.{name}": tensor for name, tensor in model.state_dict().items()}
            for side in "kv":
                flat[f"id_adapter_attn_layers.1.id_to_{side}.weight"] = torch.randn(8, CONTEXT)
            save(folder / f"{case}.safetensors", flat)
            looked = [look(encoder, layers, picture) for picture in seen["white"]]
            both = torch.cat([embeddings, torch.cat([embedding for _, embedding in looked])], 1)
            levels = [torch.cat(states) for states in zip(*(states for states, _ in looked))]
            tokens = model(both, levels)
            expected[f"{case}.tokens"] = tokens if tokens.dim() == 2 else tokens.flatten(0, 1)
    save(folder / "expected.safetensors", expected)
