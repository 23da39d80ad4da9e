"""The areas of the parity fixtures, one module each."""

from . import injection, minihost, omni_id, projections, vision, vision_families

AREAS = [vision, vision_families, projections, omni_id, injection, minihost]
