"""The camera: its intrinsics, its motion, gravity and the ground under the person."""
