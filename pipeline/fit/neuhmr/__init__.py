"""NeuHMR (section 3.3): the pose refined against a frozen avatar, which anchor frames make."""

from pipeline.fit.neuhmr.refine import NeuHMRFit

__all__ = ["NeuHMRFit"]
