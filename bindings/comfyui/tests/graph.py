"""A MODEL OF COMFYUI'S WORKFLOWS, written from their documented formats; not ComfyUI: the core nodes that the examples
use, an executor for the API format, and the conversion of the UI format into it."""

from __future__ import annotations

import hook_contract
import torch
import transformer_contract

NOTES = {"Note", "MarkdownNote"}
"""Nodes that only the page knows; they say something and do nothing."""

SEED_CONTROL = ["fixed", "increment", "decrement", "randomize"]


class _Core:
    FUNCTION = "run"
    OUTPUT_NODE = False


def _node(required, returns, function, output=False):
    return type(
        "Core", (_Core,),
        {"INPUT_TYPES": classmethod(lambda cls: {"required": required}), "RETURN_TYPES": returns, "OUTPUT_NODE": output,
         "run": staticmethod(function)},
    )  # fmt: skip


def core_nodes(unet, images, shown):
    """ComfyUI's own nodes as far as the examples use them: names and types of inputs and outputs are ComfyUI's, what
    they do is done in miniature. `images` are by the name that LoadImage is given; `shown` gets what reaches the
    user."""
    context = hook_contract.CONTEXT

    def text(clip, text):
        generator = torch.Generator().manual_seed(len(text))
        width = transformer_contract.CONTEXT if clip == "clip of flux" else context
        return (torch.randn(1, 7, width, generator=generator),)

    def load(ckpt_name):
        if ckpt_name.startswith("flux"):
            return transformer_contract.patcher(transformer_contract.Flux()), "clip of flux", "vae"
        return hook_contract.patcher(unet), "clip", "vae"

    def latent(width, height, batch_size):
        return ({"samples": torch.zeros(batch_size, 4, height // 64, width // 64)},)

    def sampler(model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise):
        if isinstance(model.model, transformer_contract.Model):
            noise = torch.randn(latent_image["samples"].shape, generator=torch.Generator().manual_seed(seed))
            contexts = {0: positive, 1: negative}
            return ({"samples": transformer_contract.sample(model, noise, steps, contexts, cfg)},)
        levels = model.get_model_object("model_sampling").sigmas
        sigmas = [float(levels[round(999 * (1 - i / steps))]) for i in range(steps)] + [0.0]
        noise = torch.randn(latent_image["samples"].shape, generator=torch.Generator().manual_seed(seed))
        samples = hook_contract.sample(model, noise * sigmas[0], sigmas, {0: positive, 1: negative}, cfg)
        return ({"samples": samples},)

    def show(**inputs):
        shown.append(inputs)
        return {"ui": {}}

    number = ("INT", {})
    return {
        "CheckpointLoaderSimple": _node(
            {"ckpt_name": (["model.safetensors"],)}, ("MODEL", "CLIP", "VAE"),
            load,
        ),
        "CLIPTextEncode": _node({"text": ("STRING", {}), "clip": ("CLIP",)}, ("CONDITIONING",), text),
        "EmptyLatentImage": _node(
            {"width": number, "height": number, "batch_size": number}, ("LATENT",), latent,
        ),
        "EmptySD3LatentImage": _node(
            {"width": number, "height": number, "batch_size": number}, ("LATENT",), latent,
        ),
        "FluxGuidance": _node(
            {"conditioning": ("CONDITIONING",), "guidance": ("FLOAT", {})}, ("CONDITIONING",),
            lambda conditioning, guidance: (conditioning,),
        ),
        "KSampler": _node(
            {"model": ("MODEL",), "seed": ("INT", {"control_after_generate": True}), "steps": number,
             "cfg": ("FLOAT", {}), "sampler_name": (["euler"],), "scheduler": (["normal", "simple"],),
             "positive": ("CONDITIONING",), "negative": ("CONDITIONING",), "latent_image": ("LATENT",),
             "denoise": ("FLOAT", {})},
            ("LATENT",), sampler,
        ),
        "VAEDecode": _node(
            {"samples": ("LATENT",), "vae": ("VAE",)}, ("IMAGE",),
            lambda samples, vae: (samples["samples"][:, :3].permute(0, 2, 3, 1).sigmoid(),),
        ),
        "SaveImage": _node({"images": ("IMAGE",), "filename_prefix": ("STRING", {})}, (), show, True),
        "PreviewImage": _node({"images": ("IMAGE",)}, (), show, True),
        "LoadImage": _node(
            {"image": (list(images), {"image_upload": True})}, ("IMAGE", "MASK"),
            lambda image: (images[image], torch.zeros(1, 64, 64)),
        ),
        "SolidMask": _node(
            {"value": ("FLOAT", {}), "width": number, "height": number}, ("MASK",),
            lambda value, width, height: (torch.full((1, height, width), value),),
        ),
        "MaskComposite": _node(
            {"destination": ("MASK",), "source": ("MASK",), "x": number, "y": number,
             "operation": (["multiply", "add", "subtract", "and", "or", "xor"],)}, ("MASK",), mask_composite,
        ),
        "InvertMask": _node({"mask": ("MASK",)}, ("MASK",), lambda mask: (1 - mask,)),
    }  # fmt: skip


def mask_composite(destination, source, x, y, operation):
    assert operation == "add"
    result = destination.clone()
    height, width = source.shape[1:]
    result[:, y : y + height, x : x + width] += source
    return (result.clamp(0, 1),)


def widgets(cls):
    """Names of the inputs that are widgets, in order, with what a widget can take."""
    found = []
    known = cls.INPUT_TYPES()
    for group in ("required", "optional"):
        for name, spec in known.get(group, {}).items():
            if isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "STRING", "BOOLEAN"):
                found.append((name, spec))
    return found


def sockets(cls):
    """Names and types of the inputs that are no widgets, in order."""
    known, taken = cls.INPUT_TYPES(), {name for name, _ in widgets(cls)}
    return [
        (name, spec[0])
        for group in ("required", "optional")
        for name, spec in known.get(group, {}).items()
        if name not in taken
    ]


def to_api(workflow, classes):
    """The API format of a workflow in the UI's format, and every inconsistency found on the way."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    assert len(nodes) == len(workflow["nodes"]) and len(links) == len(workflow["links"]), "ids are unique"
    assert workflow["last_node_id"] == max(nodes) and workflow["last_link_id"] == max(links)
    prompt = {}
    for node in (node for node in workflow["nodes"] if node["type"] not in NOTES):
        cls = classes[node["type"]]
        known = widgets(cls)
        values = list(node.get("widgets_values", []))
        inputs = {}
        for name, spec in known:
            inputs[name] = values.pop(0)
            if len(spec) > 1 and spec[1].get("control_after_generate"):
                assert values.pop(0) in SEED_CONTROL
            if len(spec) > 1 and spec[1].get("image_upload"):
                assert values.pop(0) == "image"
        assert not values, f"{node['type']} has widget values too many: {values}"
        assert [(entry["name"], entry["type"]) for entry in node.get("inputs", [])] == sockets(cls), node["type"]
        assert [entry["type"] for entry in node.get("outputs", [])] == list(cls.RETURN_TYPES), node["type"]
        for slot, entry in enumerate(node.get("inputs", [])):
            if entry["link"] is None:
                continue
            _, source, source_slot, target, target_slot, kind = links[entry["link"]]
            assert (target, target_slot, kind) == (node["id"], slot, entry["type"])
            assert nodes[source]["outputs"][source_slot]["type"] == kind
            assert entry["link"] in nodes[source]["outputs"][source_slot]["links"]
            inputs[entry["name"]] = [str(source), source_slot]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    for node in workflow["nodes"]:
        for slot, entry in enumerate(node.get("outputs", [])):
            for link in entry["links"] or []:
                assert links[link][1:3] == [node["id"], slot]
    return prompt


def validate(prompt, classes):
    """What ComfyUI checks before it runs a prompt: names, required inputs, types of links, values of widgets."""
    for number, node in prompt.items():
        cls = classes[node["class_type"]]
        known = cls.INPUT_TYPES()
        specs = {**known.get("required", {}), **known.get("optional", {})}
        assert set(known.get("required", {})) <= set(node["inputs"]) <= set(specs), (number, node["class_type"])
        for name, value in node["inputs"].items():
            kind, settings = specs[name][0], specs[name][1] if len(specs[name]) > 1 else {}
            if isinstance(value, list):
                source, slot = value
                assert classes[prompt[source]["class_type"]].RETURN_TYPES[slot] == kind, (number, name)
            elif isinstance(kind, list):
                assert value in kind or name in _own_validation(cls), (number, name, value)
            elif kind in ("INT", "FLOAT"):
                assert isinstance(value, (int, float)) and not isinstance(value, bool), (number, name)
                assert settings.get("min", value) <= value <= settings.get("max", value), (number, name)
            else:
                assert isinstance(value, {"STRING": str, "BOOLEAN": bool}[kind]), (number, name)
        if hasattr(cls, "VALIDATE_INPUTS"):
            given = {name: node["inputs"][name] for name in _own_validation(cls) if name in node["inputs"]}
            assert cls.VALIDATE_INPUTS(**given) is True, (number, node["class_type"])


def _own_validation(cls):
    if not hasattr(cls, "VALIDATE_INPUTS"):
        return ()
    code = cls.VALIDATE_INPUTS.__func__.__code__
    return code.co_varnames[1 : code.co_argcount]


def execute(prompt, classes, wanted=None):
    """Runs the wanted nodes, by default the output nodes, and all that they need, each once. Gives all results."""
    results = {}

    def run(number):
        if number not in results:
            node = prompt[number]
            cls = classes[node["class_type"]]
            inputs = {
                name: run(value[0])[value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            }
            result = getattr(cls(), cls.FUNCTION)(**inputs)
            results[number] = result.get("result", ()) if isinstance(result, dict) else result
        return results[number]

    for number, node in prompt.items():
        if number in wanted if wanted else getattr(classes[node["class_type"]], "OUTPUT_NODE", False):
            run(number)
    return results
