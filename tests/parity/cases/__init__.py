"""The areas of the parity fixtures, one module each."""

from . import injection, minihost, omni_id, projections, vision

AREAS = [vision, projections, omni_id, injection, minihost]
