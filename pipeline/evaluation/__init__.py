"""What the refinement changed: metrics of poses and pictures, with and without ground truth. Nothing here changes a
result; methods are compared in accuracy/."""
