"""How fast the rasterizer, the losses, the step and the stages are, as ratios in one run (docs/speed.md)."""
