"""The areas of the parity fixtures, one module each."""

from . import faceid, injection, minihost, omni_id, projections, vision, vision_families

AREAS = [vision, vision_families, projections, faceid, omni_id, injection, minihost]
