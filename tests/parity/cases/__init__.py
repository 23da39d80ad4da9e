"""The areas of the parity fixtures, one module each."""

from . import injection, omni_id, projections, vision

AREAS = [vision, projections, omni_id, injection]
