"""Rotations, boxes, rays and triangles: mathematics of space that knows of no person and no file.

Cameras follow OpenCV, lengths are metres, quaternions are wxyz.
"""
