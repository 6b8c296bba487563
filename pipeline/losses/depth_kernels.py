"""Compiled kernels of the loss against the point cloud of a depth map: value and gradient, and which points count.

The formula is that of `pipeline.losses.depth.depth_3d`, which is the reference. The cloud is searched where it lies in
the image: rings of pixels around the point's own, until no farther ring can hold a nearer point.
"""

import math

import numpy as np

from pipeline.runtime.jit import kernel

f4 = np.float32
CHUNK = 256  # points a partial sum: sums do not depend on the number of threads


@kernel()
def depth_3d(first_chunk, end_chunk, points, visible, depth, K, epsilon, sums, counts, gradient):
    """For each chunk of points the sum [chunks] and number [chunks] over those that are visible, and the gradient of
    the sum [N, 3]. `depth` [h, w] is 0 where the cloud has no point."""
    height, width = depth.shape
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    steep_x = max(abs(cx), abs(f4(width) - cx)) / fx
    steep_y = max(abs(cy), abs(f4(height) - cy)) / fy
    # Least distance between a point at depth 1 and any point that is seen one pixel beside it.
    apart = min(f4(1) / (fx * math.sqrt(f4(1) + steep_x**2)), f4(1) / (fy * math.sqrt(f4(1) + steep_y**2)))
    for chunk in range(first_chunk, end_chunk):
        total, count = 0.0, 0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, points.shape[0])):
            gradient[i, 0] = gradient[i, 1] = gradient[i, 2] = f4(0)
            if not visible[i]:
                continue
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            column = min(max(math.floor(fx * x / z + cx), 0), width - 1)
            row = min(max(math.floor(fy * y / z + cy), 0), height - 1)
            best, dx, dy, dz = f4(np.inf), f4(0), f4(0), f4(0)
            for ring in range(max(width, height)):
                beside = (f4(ring) - f4(0.5)) * apart * z
                if ring > 0 and beside > f4(0) and beside * beside >= best:
                    break
                for r in range(max(0, row - ring), min(height, row + ring + 1)):
                    # Whole rows at the top and bottom of the ring, both ends of those between.
                    step = 1 if abs(r - row) == ring else 2 * ring
                    for c in range(column - ring, column + ring + 1, max(step, 1)):
                        if c < 0 or c >= width or depth[r, c] <= f4(0):
                            continue
                        d = depth[r, c]
                        ax = x - (f4(c) + f4(0.5) - cx) / fx * d
                        ay = y - (f4(r) + f4(0.5) - cy) / fy * d
                        az = z - d
                        squared = ax * ax + ay * ay + az * az
                        if squared < best:
                            best, dx, dy, dz = squared, ax, ay, az
            if best == f4(np.inf):
                continue  # a cloud without points
            root = math.sqrt(best + epsilon * epsilon)
            total += 0.5 * (root - epsilon)
            count += 1
            share = f4(0.5) / root
            gradient[i, 0], gradient[i, 1], gradient[i, 2] = share * dx, share * dy, share * dz
        sums[chunk], counts[chunk] = total, count


@kernel()
def in_sight(places, depths, surface, within, seen):
    """Write for each point whether it is in the image and less than `within` behind the surface; as the function of
    that name in `pipeline.losses.depth`."""
    height, width = surface.shape
    for i in range(depths.shape[0]):
        column, row = math.floor(places[i, 0]), math.floor(places[i, 1])
        inside = column >= 0 and row >= 0 and column < width and row < height
        seen[i] = inside and depths[i] < surface[row, column] + within
