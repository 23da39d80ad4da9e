"""The areas of the parity fixtures, one module each."""

from . import faceid, identity_encoders, injection, minihost, omni_id, projections, pulid_injection, vision
from . import vision_families

AREAS = [
    vision,
    vision_families,
    projections,
    faceid,
    omni_id,
    identity_encoders,
    injection,
    minihost,
    pulid_injection,
]
