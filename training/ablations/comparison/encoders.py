"""The encoders that are compared: what each of them learns from.

All have the same network, people and number of optimiser steps. What differs is a few values of the run, and for some
that the steps are divided between two stages.
"""

from dataclasses import dataclass

MASKED, FLOW = "masked", "flow"


@dataclass(frozen=True)
class Stage:
    """A part of an encoder's training."""

    kind: str
    # Part of the encoder's steps; None takes what the setting gives to this stage of two.
    share: float | None
    # Values that differ from the setting's run of this kind, as a function of the numbers of that run's sampler.
    changes: callable


@dataclass(frozen=True)
class Encoder:
    """An encoder of the comparison."""

    name: str
    title: str
    stages: tuple


@dataclass(frozen=True)
class Batch:
    """The pictures of a step, as few-to-many reconstruction has them."""

    people: int
    inputs: int
    targets: int

    @property
    def pictures(self):
        """Pictures that are read or drawn."""
        return self.people * (self.inputs + self.targets)


def few_to_many(_batch):
    """A few photos are read, others are drawn: the run as the setting has it."""
    return {}


def flow_alone(_batch):
    """Without a first stage the encoder starts at random, so that it learns at the full rate."""
    return {"optimiser": {"encoder_rate": 1.0}}


def one_to_one(batch):
    """One photo in, one other out; more people make up for the pictures."""
    people = batch.pictures // 2
    return {"sampler": {"people": people, "fewest_inputs": 1, "most_inputs": 1, "targets": 1}}


def same_pictures(_batch):
    """What is drawn is what was read."""
    return {"sampler": {"pairing": "same"}}


def contrastive(batch):
    """Two sets of photos of a person against everybody else's; no picture is drawn."""
    people = max(2, batch.pictures // (2 * batch.inputs))
    return {"sampler": {"people": people}, "loss": {"reconstruction": 0.0, "contrastive": 1.0}}


def classifier(batch):
    """Who of the training people it is, with a margin on the angle; no picture is drawn."""
    people = max(2, batch.pictures // batch.inputs)
    return {"sampler": {"people": people}, "loss": {"reconstruction": 0.0, "classifier": 1.0}}


OMNI_ID = "omni-id"

ENCODERS = (
    Encoder(OMNI_ID, "Omni-ID (masked, then flow)", (Stage(MASKED, None, few_to_many), Stage(FLOW, None, few_to_many))),
    Encoder("masked", "masked decoder alone", (Stage(MASKED, 1.0, few_to_many),)),
    Encoder("flow", "flow decoder alone", (Stage(FLOW, 1.0, flow_alone),)),
    Encoder(
        "without-few-to-many",
        "both decoders, 1→1 instead of few-to-many",
        (Stage(MASKED, None, one_to_one), Stage(FLOW, None, one_to_one)),
    ),
    Encoder("one-to-one", "masked decoder, 1→1", (Stage(MASKED, 1.0, one_to_one),)),
    Encoder("auto-encoder", "masked decoder, targets among the inputs", (Stage(MASKED, 1.0, same_pictures),)),
    Encoder("contrastive", "contrastive (as CLIP)", (Stage(MASKED, 1.0, contrastive),)),
    Encoder("classifier", "angular-margin classifier (as ArcFace)", (Stage(MASKED, 1.0, classifier),)),
)

# No encoder of its own: Omni-ID's identities of single photos, averaged.
AVERAGED = ("averaged", "Omni-ID, tokens of single photos averaged")
