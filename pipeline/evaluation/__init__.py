"""What the refinement changed: metrics of poses and pictures, with and without ground truth."""
