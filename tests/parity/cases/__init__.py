"""The areas of the parity fixtures, one module each."""

from . import faceid, injection, minihost, omni_id, projections, vision

AREAS = [vision, projections, faceid, omni_id, injection, minihost]
