"""The areas of the parity fixtures, one module each."""

from . import faceid, injection, minihost, omni_id, projections, pulid_injection, vision, vision_families

AREAS = [vision, vision_families, projections, faceid, omni_id, injection, minihost, pulid_injection]
