"""Second-order steps of all poses at once: where the joint optimisation starts."""

from pipeline.fit.alignment.alignment import Alignment, align
from pipeline.fit.alignment.footing import Footing

__all__ = ["Alignment", "Footing", "align"]
