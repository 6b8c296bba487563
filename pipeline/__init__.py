"""From a raw video of a person to refined SMPL motion and an animatable Gaussian avatar."""
