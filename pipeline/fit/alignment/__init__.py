"""Second-order steps of all poses at once: where the joint optimisation starts."""

from pipeline.fit.alignment.alignment import Alignment, align

__all__ = ["Alignment", "align"]
