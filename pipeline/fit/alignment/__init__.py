"""Second-order steps of all poses at once: where the joint optimisation starts."""

from pipeline.fit.alignment.alignment import Alignment, align
from pipeline.fit.alignment.footing import Footing
from pipeline.fit.alignment.shape import with_shape

__all__ = ["Alignment", "Footing", "align", "with_shape"]
