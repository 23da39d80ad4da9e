"""The sections of a run's TOML file, with the names of `omniid train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .. import errors


def need(sound: bool, name: str, value: object, right: str) -> None:
    """Raises FormatError for a value that is not sound."""
    if not sound:
        raise errors.FormatError(f"{name} is {value!r}; it must be {right}")


@dataclass(frozen=True)
class DataConfig:
    """Whose photos."""

    photos: tuple[str, ...] = ()
    """Folders with one folder per person (the layout of MFHQ), relative to the current folder."""
    shards: tuple[str, ...] = ()
    """WebDataset shards as `python -m omniid.training shards` writes them; braces and wildcards
    are expanded."""
    validation: float = 0.05
    """Fraction of the people for validation, by a hash of their name."""
    test: float = 0.05
    """Fraction of the people kept away from the run."""
    split_seed: int = 0
    """Seed of the split. Kept apart from the run's seed, so that runs with several seeds share their test people."""
    most_people: int = 0
    """Train on at most this many people; 0 takes all."""
    crop: str = "face"
    """"face": faces are found and cut out by the plugin when photos are read from folders; "none": photos are faces cut
    out already."""
    workers: int = 2
    """Processes that read and decode photos, for each training process."""

    def check(self) -> None:
        for name in ("validation", "test"):
            need(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "at least 0 and below 1")
        need(self.validation + self.test < 1.0, "validation + test", self.validation + self.test, "below 1")
        need(self.crop in ("face", "none"), "crop", self.crop, "'face' or 'none'")
        need(self.workers >= 0, "workers", self.workers, "0 or more")
        need(self.most_people >= 0, "most_people", self.most_people, "0 or more")


@dataclass(frozen=True)
class SamplerConfig:
    """Which pictures make a step. The default is the paper's 3 inputs and 8 targets."""

    people: int = 32
    """People of a step over all processes, all different."""
    fewest_inputs: int = 3
    """Fewest inputs of a person. Every step draws one number for all its people."""
    most_inputs: int = 3
    targets: int = 8
    """Targets of a person."""
    pairing: str = "disjoint"
    """"disjoint": targets are other pictures than the inputs; "same": among the inputs (auto-encoding)."""
    grey_fraction: float = 0.2
    """Fraction of people whose inputs and targets are grey in a step."""
    gain_std: float = 0.1
    """Standard deviation of the logarithm of an input photo's gain."""
    offset_std: float = 0.06
    """Standard deviation of an input photo's offset, on the scale −1 to 1."""
    mirror: bool = True
    """Mirrors half of the people, inputs and targets together."""

    def check(self) -> None:
        for name in ("people", "fewest_inputs", "targets"):
            need(1 <= getattr(self, name) <= 65536, name, getattr(self, name), "1 to 65536")
        need(self.most_inputs >= self.fewest_inputs, "most_inputs", self.most_inputs, "at least fewest_inputs")
        need(self.pairing in ("disjoint", "same"), "pairing", self.pairing, "'disjoint' or 'same'")
        need(0.0 <= self.grey_fraction <= 1.0, "grey_fraction", self.grey_fraction, "0 to 1")
        for name in ("gain_std", "offset_std"):
            need(0.0 <= getattr(self, name) <= 2.0, name, getattr(self, name), "0 to 2")


@dataclass(frozen=True)
class ModelConfig:
    """Image encoder and identity encoder."""

    encoder: str = "omni_id"
    """"omni_id"; or what it is compared with in the same host: "features", the image encoder's own tokens, averaged
    over the photos, or "embedding", the mean embedding of a face recogniser. The two are for evaluation: they are
    trained and judged like the first, and not exported."""
    recogniser: str = ""
    """Of "embedding": the file of a face recognition network that the library opens. Its licence is the user's
    affair."""
    queries: int = 256
    """Identity queries, which is the number of identity tokens."""
    encoder_width: int = 1280
    encoder_depth: int = 4
    encoder_heads: int = 20
    token_width: int = 1280
    """Width of an identity token."""
    class_token: bool = True
    """Whether the identity encoder reads the class token besides the patches."""
    anchored_queries: bool = True
    """Queries start with the code of a place, and the same code is added to the keys."""
    backbone: Optional[str] = None
    """Name or folder of an image encoder that transformers opens (CLIP, SigLIP, DINOv2), or a native checkpoint
    (`.safetensors`), of which the image encoder alone is taken. None: a plain ViT of the sizes below, as in
    `omniid train`."""
    image_size: int = 224
    """Side of a picture in pixels. With `backbone` its own size."""
    patch_size: int = 14
    width: int = 1280
    blocks: int = 31
    """Blocks that run. A checkpoint names one more: hidden state −2 is what is read."""
    heads: int = 16
    feed_forward: int = 4
    """Width inside the feed-forward parts, in multiples of `width`."""
    activation: str = "gelu"
    train_positions: bool = False
    """Trains the patch positions of a plain ViT; otherwise they stay the codes that they start with."""
    freeze_backbone: bool = False
    """Keeps the image encoder as it starts."""
    gradient_checkpointing: bool = False

    def check(self) -> None:
        need(self.encoder in ("omni_id", "features", "embedding"), "encoder", self.encoder,
             "'omni_id', 'features' or 'embedding'")  # fmt: skip
        need((self.encoder == "embedding") == bool(self.recogniser), "recogniser", self.recogniser,
             "the file of a face recognition network for encoder 'embedding', and empty for others")  # fmt: skip
        for name in ("queries", "encoder_width", "encoder_depth", "encoder_heads", "token_width", "image_size",
                     "patch_size", "width", "blocks", "heads", "feed_forward"):  # fmt: skip
            need(1 <= getattr(self, name) <= 65536, name, getattr(self, name), "1 to 65536")
        need(self.image_size % self.patch_size == 0, "image_size", self.image_size, "a multiple of patch_size")
        need(self.width % self.heads == 0, "width", self.width, "a multiple of heads")
        need(self.encoder_width % self.encoder_heads == 0, "encoder_width", self.encoder_width,
              "a multiple of encoder_heads")  # fmt: skip


@dataclass(frozen=True)
class MaskedConfig:
    """The Masked Transformer Decoder of stage 1."""

    width: int = 128
    depth: int = 2
    heads: int = 4
    masked_fraction: float = 0.95
    """Fraction of a target's patches that the decoder does not see."""
    decoded_fraction: float = 0.25
    """Fraction of a target's patches that are decoded in a step, drawn among the masked ones."""
    condition: str = "pose"
    """What the decoder is told about a target: "none", "pose": three angles and five points, or "view": the exact view
    of rendered people."""
    token_dropout: float = 0.0
    """Probability that an identity token is hidden from the decoder."""

    def check(self) -> None:
        for name in ("width", "depth", "heads"):
            need(1 <= getattr(self, name) <= 65536, name, getattr(self, name), "1 to 65536")
        need(self.width % self.heads == 0, "width", self.width, "a multiple of heads")
        for name in ("masked_fraction", "decoded_fraction"):
            need(0.0 < getattr(self, name) <= 1.0, name, getattr(self, name), "above 0 and at most 1")
        need(self.condition in ("none", "pose", "view"), "condition", self.condition, "'none', 'pose' or 'view'")
        need(0.0 <= self.token_dropout < 1.0, "token_dropout", self.token_dropout, "at least 0 and below 1")

    def visible(self, patches: int) -> int:
        """Visible patches of a target with `patches` patches."""
        return min(_round((1.0 - self.masked_fraction) * patches), patches - 1)

    def decoded(self, patches: int) -> int:
        """Decoded patches of a target with `patches` patches."""
        masked = patches - self.visible(patches)
        return min(max(_round(self.decoded_fraction * patches), 1), max(masked, 1))


def _round(value: float) -> int:
    """Halves away from zero."""
    return int(value + 0.5)


@dataclass(frozen=True)
class HostConfig:
    """Stage 2: the frozen host that the identity is trained against. With this section a run trains against it,
    without it by masked reconstruction."""

    model: str = ""
    """Folder or name of a diffusers pipeline; or a `.safetensors` file of our own small generator."""
    precision: str = "bf16"
    """Number type of the host's weights: "f32", "f16" or "bf16"."""
    size: int = 512
    """Side of a generated picture in pixels."""
    prediction: str = "auto"
    """What the host predicts: "epsilon", "v", "flow", "sample"; "auto" asks its scheduler."""
    min_snr_gamma: float = 0.0
    """Weights of the loss as min-SNR-γ (Hang et al. 2023), for "epsilon" and "v"; 0 weighs all times alike."""
    time_mean: float = 0.0
    """Flow matching: mean of the normal distribution whose logistic is the time."""
    time_std: float = 1.0
    time_shift: float = 1.0
    """Flow matching: times are moved towards noise as by the host's scheduler, t·s / (1 + (s − 1)·t)."""
    guidance: float = 1.0
    """Value of the guidance embedding of a guidance-distilled host such as FLUX.1-dev. 1 is no guidance."""
    identity_dropout: float = 0.1
    """Probability that a person's pictures see the running mean of everybody's tokens instead of their own: what
    guidance pushes away from."""
    prompt_dropout: float = 0.1
    """Probability that a picture sees the empty prompt."""
    caption: str = "a photo of a person"
    """Prompt of every picture. "{name}" is replaced by the person's folder name."""
    captions: bool = False
    """Whether a picture's own caption is used instead, where it has one: a text file beside it, or `txt` in a shard."""
    background_weight: float = 1.0
    """Weight of what lies outside the face in the loss, where the face is known; the face weighs 1."""
    scale: float = 1.0
    """Multiplies what the identity adds to a layer."""
    start_from_text: bool = True
    """Keys and values start as copies of the host's own for text, where the shapes allow."""
    controlnet: Optional[str] = None
    """Folder or name of a ControlNet of the host that gets the pose of the target, so that pose need not be guessed
    from the identity."""
    gradient_checkpointing: bool = False
    cache: Optional[str] = None
    """Folder for latents and prompt embeddings, which are computed once. None: beside the run."""

    def check(self) -> None:
        need(bool(self.model), "model", self.model, "the name or folder of a diffusers model")
        need(self.precision in ("f32", "f16", "bf16"), "precision", self.precision, "'f32', 'f16' or 'bf16'")
        need(self.prediction in ("auto", "epsilon", "v", "flow", "sample"), "prediction", self.prediction,
              "'auto', 'epsilon', 'v', 'flow' or 'sample'")  # fmt: skip
        need(8 <= self.size <= 8192, "size", self.size, "8 to 8192")
        for name in ("identity_dropout", "prompt_dropout"):
            need(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "at least 0 and below 1")
        need(0.0 < self.background_weight <= 1.0, "background_weight", self.background_weight,
              "above 0 and at most 1")  # fmt: skip
        need(self.min_snr_gamma >= 0.0, "min_snr_gamma", self.min_snr_gamma, "0 or more")
        need(self.time_std >= 0.0, "time_std", self.time_std, "0 or more")
        need(self.time_shift > 0.0, "time_shift", self.time_shift, "above 0")


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW: Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.05
    """Weight decay of matrices. Vectors, norms, positions and queries do not decay."""
    clip: float = 1.0
    """Longest gradient over all weights; a longer one is scaled down. 0 does not clip."""
    encoder_rate: float = 1.0
    """Multiplies the learning rate of the image encoder and the identity encoder."""
    most_skipped: int = 20
    """A step whose loss or gradient is not finite is skipped; after this many in a row the run ends with an error."""
    accumulate: int = 1
    """Parts that the people of a step are divided into, one after the other."""

    def check(self) -> None:
        need(0.0 < self.learning_rate < 10.0, "learning_rate", self.learning_rate, "above 0 and below 10")
        for name in ("beta1", "beta2"):
            need(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "at least 0 and below 1")
        need(0.0 < self.epsilon < 1.0, "epsilon", self.epsilon, "above 0 and below 1")
        for name in ("weight_decay", "clip", "encoder_rate"):
            need(getattr(self, name) >= 0.0, name, getattr(self, name), "0 or more")
        need(self.most_skipped > 0, "most_skipped", self.most_skipped, "at least 1")
        need(self.accumulate > 0, "accumulate", self.accumulate, "at least 1")


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate over time: linear warm-up, then half a cosine down to a fraction."""

    warm_up: int = 100
    final_fraction: float = 0.05
    """Fraction of the learning rate at the end."""
    length: int = 0
    """Steps until the end of the cosine; 0 takes the steps of the run."""

    def check(self) -> None:
        need(self.warm_up >= 0, "warm_up", self.warm_up, "0 or more")
        need(0.0 <= self.final_fraction <= 1.0, "final_fraction", self.final_fraction, "0 to 1")


@dataclass(frozen=True)
class AverageConfig:
    """Exponential moving average of the weights, which is what is judged and exported."""

    decay: float = 0.998
    """Decay per step once warm; 0 follows the weights exactly."""

    def check(self) -> None:
        need(0.0 <= self.decay < 1.0, "decay", self.decay, "at least 0 and below 1")


@dataclass(frozen=True)
class EvaluationConfig:
    """Judging on validation people during the run, always on the same pictures and noise."""

    every: int = 200
    """Steps between evaluations; 0 evaluates at the end only."""
    people: int = 200
    """Most people judged on."""
    inputs: int = 3
    targets: int = 4

    def check(self) -> None:
        for name in ("people", "inputs", "targets"):
            need(1 <= getattr(self, name) <= 65536, name, getattr(self, name), "1 to 65536")


@dataclass(frozen=True)
class ReportConfig:
    """How often something is written."""

    metrics_every: int = 10
    preview_every: int = 500
    """Steps between sample grids; 0 draws one at the end only."""
    state_every: int = 200
    """Steps between saved states; one is always saved at the end."""
    tracker: str = ""
    """A tracker of accelerate besides the JSON lines: "tensorboard", "wandb", …; empty for none."""

    def check(self) -> None:
        for name in ("metrics_every", "state_every"):
            need(getattr(self, name) > 0, name, getattr(self, name), "at least 1")
