"""The areas of the parity fixtures, one module each."""

from . import faceid, flux, identity_encoders, injection, keypoints, minihost, omni_id, parsing, projections
from . import pulid, pulid_injection, recogniser, sd35, vision, vision_families

AREAS = [
    vision,
    vision_families,
    projections,
    faceid,
    omni_id,
    identity_encoders,
    injection,
    flux,
    keypoints,
    minihost,
    pulid,
    pulid_injection,
    recogniser,
    parsing,
    sd35,
]
