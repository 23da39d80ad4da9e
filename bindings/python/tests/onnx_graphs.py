"""Small models as graphs in ONNX Runtime, for the tests of omniid.onnx."""

import diffusers_models as models
import native_model
import onnxruntime
import torch
import torch.nn.functional as F
from omniid import onnx as graphs


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(graph, own, identity=None):
    """The output of a graph, from torch tensors and the arrays of `fill`."""
    inputs = {name: tensor.numpy() for name, tensor in own.items()}
    return torch.from_numpy(graph.run(None, inputs | (identity or {}))[0])


def call(model, own, **more):
    """The same inputs in PyTorch."""
    own = dict(own)
    if "text_embeds" in own:
        own["added_cond_kwargs"] = {name: own.pop(name) for name in ("text_embeds", "time_ids")}
    for name, value in more.items():
        own[name] = {**own[name], **value} if name in own else value
    with torch.no_grad():
        return model(**own).sample


class Case:
    """A small model with an IP-Adapter, its graphs with and without identity inputs, and two people."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.pipe = {"sd": models.sd_pipeline, "sdxl": models.sdxl_pipeline, "flux": models.flux_pipeline}[name]()
        self.model = self.pipe.transformer if name == "flux" else self.pipe.unet
        self.adapter = models.Adapter(folder, self.model)
        self.engine = self.adapter.engine()
        self.identities = [self.engine.encode(native_model.picture(seed), crop="none").identity for seed in (3, 4)]
        self.conditioning = self.engine.condition(self.identities[0])
        self.path = folder / f"{name}.onnx"
        self.manifest = graphs.export(self.pipe, self.path)
        self.graph = session(self.path)
        graphs.export(self.pipe, folder / "plain.onnx", identity=False)
        self.plain = session(folder / "plain.onnx")

    def inputs(self, rows=2, height=16, width=8, seed=6):
        """Random inputs of the model, of sizes that the exporter has not seen."""
        random = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(*shape, generator=random)

        text = draw(rows, 9, models.CONTEXT)
        if self.name == "flux":
            ids = torch.zeros(height * width // 4, 3)
            ids[:, 1], ids[:, 2] = torch.arange(len(ids)) // (width // 2), torch.arange(len(ids)) % (width // 2)
            return dict(
                hidden_states=draw(rows, len(ids), 16), encoder_hidden_states=text, pooled_projections=draw(rows, 8),
                timestep=torch.full((rows,), 0.3), img_ids=ids, txt_ids=torch.zeros(9, 3),
            )  # fmt: skip
        extra = dict(text_embeds=draw(rows, 16), time_ids=draw(rows, 6)) if self.name == "sdxl" else {}
        return dict(sample=draw(rows, 4, height, width), timestep=torch.full((rows,), 300.0),
                    encoder_hidden_states=text, **extra)  # fmt: skip

    def unconditional_tokens(self):
        """What IP-Adapter makes of an image embedding of zeros."""
        parts = self.adapter.projection
        tokens = parts["proj.bias"].reshape(models.TOKENS, models.CONTEXT)
        return F.layer_norm(tokens, (models.CONTEXT,), parts["norm.weight"], parts["norm.bias"])

    def in_diffusers(self, own, tokens, scale, masks=None):
        """The model's output with diffusers' own IP-Adapter, `tokens` `[rows, people, tokens, width]`."""
        with self.adapter.in_diffusers(self.pipe, scale):
            if self.name == "flux":
                return call(self.model, own, joint_attention_kwargs={"ip_hidden_states": [tokens.flatten(1, 2)]})
            self.model.encoder_hid_proj = Ready(tokens)
            more = {} if masks is None else dict(cross_attention_kwargs={"ip_adapter_masks": [masks]})
            return call(self.model, own, added_cond_kwargs={"image_embeds": []}, **more)


class Ready(torch.nn.Module):
    """In the place of diffusers' projection: tokens that are projected already."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens

    def forward(self, _):
        return [self.tokens]
