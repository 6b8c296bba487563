"""Kernels that project 3D Gaussians to the image, and the same backwards. One camera a call, float32.

A Gaussian with rotation R (from its quaternion) and scales S has covariance R S S^T R^T. EWA splatting (Zwicker et al.
2001; as used by 3D Gaussian Splatting, Kerbl et al. 2023, eq. 5-6) linearises the perspective projection at the
Gaussian's centre, with Jacobian J, and takes J W R S (J W R S)^T as the covariance in the image, W being the rotation
of the camera. Clamping, culling and blur are those of gsplat 1.5.3 (`fully_fused_projection`); the gradients follow
"Mathematical supplement for the gsplat library" (Ye and Kanazawa 2023). Colour is a spherical harmonic of degree 0 or 1
in the viewing direction, as in 3DGS: max(0, c + 1/2).

Written in scalars: a compiled loop keeps them in registers. Names: `v..` view matrix, `r..` rotation of the Gaussian,
`a..` = J W, `n..` = J W R, `m..` = J W R S; two digits are row and column. `g_x` is the derivative of the loss by `x`.
"""

import math

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4 = np.float32  # a bare Python float would turn the arithmetic into float64
ZERO, HALF, ONE, TWO = f4(0), f4(0.5), f4(1), f4(2)
SH_C0, SH_C1 = f4(0.28209479177387814), f4(0.48860251190292)  # real spherical harmonics, as in 3DGS
FIELD_MARGIN = f4(0.15)  # the Jacobian's centre may leave the image by this share of its size (gsplat: 0.3 tan(fov/2))
LARGEST_RADIUS = f4(1e8)  # pixels; more is an overflow
SMALLEST_DETERMINANT = f4(1e-30)  # pixels^4, of a covariance: below it the inverse is an overflow
# A Gaussian with a number beyond LARGEST, or with a quaternion that is shorter than SHORTEST, is not drawn.
LARGEST, SHORTEST = f4(1e10), f4(1e-10)


@inline
def _to_camera(viewmat, x, y, z):
    return (
        viewmat[0, 0] * x + viewmat[0, 1] * y + viewmat[0, 2] * z + viewmat[0, 3],
        viewmat[1, 0] * x + viewmat[1, 1] * y + viewmat[1, 2] * z + viewmat[1, 3],
        viewmat[2, 0] * x + viewmat[2, 1] * y + viewmat[2, 2] * z + viewmat[2, 3],
    )


@inline
def _rotation(w, x, y, z):
    return (
        ONE - TWO * (y * y + z * z),
        TWO * (x * y - w * z),
        TWO * (x * z + w * y),
        TWO * (x * y + w * z),
        ONE - TWO * (x * x + z * z),
        TWO * (y * z - w * x),
        TWO * (x * z - w * y),
        TWO * (y * z + w * x),
        ONE - TWO * (x * x + y * y),
    )


@inline
def _field_of_view(K, width, height):
    """Range of x/z and y/z in which the projection is linearised: the image and a margin."""
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    margin_x, margin_y = FIELD_MARGIN * width / fx, FIELD_MARGIN * height / fy
    return -cx / fx - margin_x, (width - cx) / fx + margin_x, -cy / fy - margin_y, (height - cy) / fy + margin_y


@inline
def _jacobian_times_view(viewmat, fx, fy, inv_z, ux, uy):
    j00, j02, j11, j12 = fx * inv_z, -fx * ux * inv_z, fy * inv_z, -fy * uy * inv_z
    return (
        j00 * viewmat[0, 0] + j02 * viewmat[2, 0],
        j00 * viewmat[0, 1] + j02 * viewmat[2, 1],
        j00 * viewmat[0, 2] + j02 * viewmat[2, 2],
        j11 * viewmat[1, 0] + j12 * viewmat[2, 0],
        j11 * viewmat[1, 1] + j12 * viewmat[2, 1],
        j11 * viewmat[1, 2] + j12 * viewmat[2, 2],
    )


@inline
def _direction(camera, x, y, z):
    """Unit vector from the camera to the point, and one over their distance."""
    dx, dy, dz = x - camera[0], y - camera[1], z - camera[2]
    inv = ONE / math.sqrt(dx * dx + dy * dy + dz * dz)
    return dx * inv, dy * inv, dz * inv, inv


@inline
def _is_drawable_color(colors, i, coefficients):
    for k in range(coefficients):
        for c in range(3):
            if not (abs(colors[i, k, c]) <= LARGEST):  # nor is NaN
                return False
    return True


@kernel()
def project_forward(
    start,
    end,
    means,  # [N, 3]
    quats,  # [N, 4] wxyz, any length
    scales,  # [N, 3]
    opacities,  # [N]
    colors,  # [N, 3 or more coefficients, 3]
    sh_degree,  # -1: colors[:, 0] is RGB
    viewmat,  # [4, 4] world to camera
    K,  # [3, 3]
    camera,  # [3] its centre in the world
    width,
    height,
    eps2d,
    near,
    far,
    radius_clip,
    alpha_min,
    means2d,  # out [N, 2] pixels
    conics,  # out [N, 3] inverse covariance: xx, xy, yy
    depths,  # out [N]
    rgb,  # out [N, 3]
    extents,  # out [N, 2] half sides of the box in which alpha >= alpha_min, pixels
    radii,  # out [N, 2] the same, rounded up; 0: not drawn
):
    """Project Gaussians start..end. What is not drawn (outside, too faint, NaN) gets zeros, and radius 0."""
    coefficients = 4 if sh_degree > 0 else 1
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    ux_min, ux_max, uy_min, uy_max = _field_of_view(K, width, height)
    for i in range(start, end):
        x, y, z = means[i, 0], means[i, 1], means[i, 2]
        tx, ty, tz = _to_camera(viewmat, x, y, z)
        for c in range(2):
            means2d[i, c] = ZERO
            extents[i, c] = ZERO
            radii[i, c] = 0
        for c in range(3):
            conics[i, c] = ZERO
            rgb[i, c] = ZERO
        depths[i] = tz
        opacity = opacities[i]
        # Each condition is the one to go on, so that a NaN, which fulfils none, is left out.
        if not (tz >= near and tz <= far and opacity >= alpha_min and opacity <= LARGEST):
            continue
        qw, qx, qy, qz = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        inv_norm = ONE / math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(
            qw * inv_norm, qx * inv_norm, qy * inv_norm, qz * inv_norm
        )
        inv_z = ONE / tz
        ux, uy = min(max(tx * inv_z, ux_min), ux_max), min(max(ty * inv_z, uy_min), uy_max)
        a00, a01, a02, a10, a11, a12 = _jacobian_times_view(viewmat, fx, fy, inv_z, ux, uy)
        sx, sy, sz = scales[i, 0], scales[i, 1], scales[i, 2]
        m00 = (a00 * r00 + a01 * r10 + a02 * r20) * sx
        m01 = (a00 * r01 + a01 * r11 + a02 * r21) * sy
        m02 = (a00 * r02 + a01 * r12 + a02 * r22) * sz
        m10 = (a10 * r00 + a11 * r10 + a12 * r20) * sx
        m11 = (a10 * r01 + a11 * r11 + a12 * r21) * sy
        m12 = (a10 * r02 + a11 * r12 + a12 * r22) * sz
        cov_xx = m00 * m00 + m01 * m01 + m02 * m02 + eps2d
        cov_yy = m10 * m10 + m11 * m11 + m12 * m12 + eps2d
        cov_xy = m00 * m10 + m01 * m11 + m02 * m12
        determinant = cov_xx * cov_yy - cov_xy * cov_xy
        if not (determinant > SMALLEST_DETERMINANT):
            continue
        # opacity * exp(-sigma^2 / 2) = alpha_min at this many sigmas; at most 3.33, as in gsplat
        reach = math.sqrt(TWO * math.log(opacity / alpha_min))
        extent_x, extent_y = reach * math.sqrt(cov_xx), reach * math.sqrt(cov_yy)
        radius_x, radius_y = math.ceil(extent_x), math.ceil(extent_y)
        px, py = fx * tx * inv_z + cx, fy * ty * inv_z + cy
        inside = px + radius_x > ZERO and px - radius_x < width and py + radius_y > ZERO and py - radius_y < height
        large_enough = radius_x > radius_clip or radius_y > radius_clip
        if not (inside and large_enough and radius_x < LARGEST_RADIUS and radius_y < LARGEST_RADIUS):
            continue
        # Not earlier: a branch between the rotation and the covariance would change how they are rounded
        if not (inv_norm <= LARGEST and inv_norm >= SHORTEST and _is_drawable_color(colors, i, coefficients)):
            continue
        radii[i, 0], radii[i, 1] = np.int32(radius_x), np.int32(radius_y)
        extents[i, 0], extents[i, 1] = extent_x, extent_y
        means2d[i, 0], means2d[i, 1] = px, py
        inv_determinant = ONE / determinant
        conics[i, 0] = cov_yy * inv_determinant
        conics[i, 1] = -cov_xy * inv_determinant
        conics[i, 2] = cov_xx * inv_determinant
        if sh_degree < 0:
            for c in range(3):
                rgb[i, c] = colors[i, 0, c]
            continue
        dx, dy, dz, _ = _direction(camera, x, y, z)
        for c in range(3):
            value = SH_C0 * colors[i, 0, c] + HALF
            if sh_degree > 0:
                value += SH_C1 * (dz * colors[i, 2, c] - dy * colors[i, 1, c] - dx * colors[i, 3, c])
            rgb[i, c] = max(value, ZERO)


@kernel()
def project_backward(
    start,
    end,
    means,
    quats,
    scales,
    colors,
    sh_degree,
    viewmat,
    K,
    camera,
    width,
    height,
    conics,
    rgb,
    radii,
    g_means2d,
    g_conics,
    g_depths,
    g_rgb,
    g_means,  # in and out, like the three below: the gradient is added
    g_quats,
    g_scales,
    g_colors,
):
    """Add the gradients of Gaussians start..end by what `project_forward` took, from those by what it returned."""
    fx, fy = K[0, 0], K[1, 1]
    ux_min, ux_max, uy_min, uy_max = _field_of_view(K, width, height)
    for i in range(start, end):
        if radii[i, 0] <= 0:
            continue
        x, y, z = means[i, 0], means[i, 1], means[i, 2]
        tx, ty, tz = _to_camera(viewmat, x, y, z)
        qw, qx, qy, qz = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        inv_norm = ONE / math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw * inv_norm, qx * inv_norm, qy * inv_norm, qz * inv_norm
        r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(qw, qx, qy, qz)
        inv_z = ONE / tz
        vx, vy = tx * inv_z, ty * inv_z
        ux, uy = min(max(vx, ux_min), ux_max), min(max(vy, uy_min), uy_max)
        a00, a01, a02, a10, a11, a12 = _jacobian_times_view(viewmat, fx, fy, inv_z, ux, uy)
        n00, n01, n02 = (
            a00 * r00 + a01 * r10 + a02 * r20,
            a00 * r01 + a01 * r11 + a02 * r21,
            a00 * r02 + a01 * r12 + a02 * r22,
        )
        n10, n11, n12 = (
            a10 * r00 + a11 * r10 + a12 * r20,
            a10 * r01 + a11 * r11 + a12 * r21,
            a10 * r02 + a11 * r12 + a12 * r22,
        )
        sx, sy, sz = scales[i, 0], scales[i, 1], scales[i, 2]
        m00, m01, m02, m10, m11, m12 = n00 * sx, n01 * sy, n02 * sz, n10 * sx, n11 * sy, n12 * sz

        # conic Q = cov^-1, so g_cov = -Q g_Q Q (symmetric; the xy entry stands for two)
        q0, q1, q2 = conics[i, 0], conics[i, 1], conics[i, 2]
        gq0, gq1, gq2 = g_conics[i, 0], HALF * g_conics[i, 1], g_conics[i, 2]
        p00, p01, p10, p11 = q0 * gq0 + q1 * gq1, q0 * gq1 + q1 * gq2, q1 * gq0 + q2 * gq1, q1 * gq1 + q2 * gq2
        g_xx, g_xy, g_yy = -(p00 * q0 + p01 * q1), -(p00 * q1 + p01 * q2), -(p10 * q1 + p11 * q2)
        # cov = M M^T, so g_M = 2 g_cov M
        gm00, gm01, gm02 = (
            TWO * (g_xx * m00 + g_xy * m10),
            TWO * (g_xx * m01 + g_xy * m11),
            TWO * (g_xx * m02 + g_xy * m12),
        )
        gm10, gm11, gm12 = (
            TWO * (g_xy * m00 + g_yy * m10),
            TWO * (g_xy * m01 + g_yy * m11),
            TWO * (g_xy * m02 + g_yy * m12),
        )
        g_scales[i, 0] += gm00 * n00 + gm10 * n10
        g_scales[i, 1] += gm01 * n01 + gm11 * n11
        g_scales[i, 2] += gm02 * n02 + gm12 * n12
        gn00, gn01, gn02, gn10, gn11, gn12 = gm00 * sx, gm01 * sy, gm02 * sz, gm10 * sx, gm11 * sy, gm12 * sz

        # N = A R, so g_R = A^T g_N, and through R(q) and q = q / |q| to the quaternion
        gr00, gr01, gr02 = a00 * gn00 + a10 * gn10, a00 * gn01 + a10 * gn11, a00 * gn02 + a10 * gn12
        gr10, gr11, gr12 = a01 * gn00 + a11 * gn10, a01 * gn01 + a11 * gn11, a01 * gn02 + a11 * gn12
        gr20, gr21, gr22 = a02 * gn00 + a12 * gn10, a02 * gn01 + a12 * gn11, a02 * gn02 + a12 * gn12
        gw = TWO * (qx * (gr21 - gr12) + qy * (gr02 - gr20) + qz * (gr10 - gr01))
        gx = TWO * (-TWO * qx * (gr11 + gr22) + qy * (gr01 + gr10) + qz * (gr02 + gr20) + qw * (gr21 - gr12))
        gy = TWO * (qx * (gr01 + gr10) - TWO * qy * (gr00 + gr22) + qz * (gr12 + gr21) + qw * (gr02 - gr20))
        gz = TWO * (qx * (gr02 + gr20) + qy * (gr12 + gr21) - TWO * qz * (gr00 + gr11) + qw * (gr10 - gr01))
        along = gw * qw + gx * qx + gy * qy + gz * qz
        g_quats[i, 0] += (gw - along * qw) * inv_norm
        g_quats[i, 1] += (gx - along * qx) * inv_norm
        g_quats[i, 2] += (gy - along * qy) * inv_norm
        g_quats[i, 3] += (gz - along * qz) * inv_norm

        # ... and g_A = g_N R^T, A = J W, J a function of 1/z and the clamped slopes ux, uy
        ga00, ga01, ga02 = (
            gn00 * r00 + gn01 * r01 + gn02 * r02,
            gn00 * r10 + gn01 * r11 + gn02 * r12,
            gn00 * r20 + gn01 * r21 + gn02 * r22,
        )
        ga10, ga11, ga12 = (
            gn10 * r00 + gn11 * r01 + gn12 * r02,
            gn10 * r10 + gn11 * r11 + gn12 * r12,
            gn10 * r20 + gn11 * r21 + gn12 * r22,
        )
        gj00 = ga00 * viewmat[0, 0] + ga01 * viewmat[0, 1] + ga02 * viewmat[0, 2]
        gj02 = ga00 * viewmat[2, 0] + ga01 * viewmat[2, 1] + ga02 * viewmat[2, 2]
        gj11 = ga10 * viewmat[1, 0] + ga11 * viewmat[1, 1] + ga12 * viewmat[1, 2]
        gj12 = ga10 * viewmat[2, 0] + ga11 * viewmat[2, 1] + ga12 * viewmat[2, 2]
        g_px, g_py = g_means2d[i, 0], g_means2d[i, 1]
        g_tx, g_ty = fx * inv_z * g_px, fy * inv_z * g_py
        g_tz = (
            g_depths[i]
            - inv_z * (fx * vx * g_px + fy * vy * g_py)
            - inv_z * inv_z * (fx * gj00 + fy * gj11 - fx * ux * gj02 - fy * uy * gj12)
        )
        if vx > ux_min and vx < ux_max:
            g_tx -= fx * inv_z * inv_z * gj02
            g_tz += fx * inv_z * inv_z * gj02 * vx
        if vy > uy_min and vy < uy_max:
            g_ty -= fy * inv_z * inv_z * gj12
            g_tz += fy * inv_z * inv_z * gj12 * vy
        g_x = viewmat[0, 0] * g_tx + viewmat[1, 0] * g_ty + viewmat[2, 0] * g_tz
        g_y = viewmat[0, 1] * g_tx + viewmat[1, 1] * g_ty + viewmat[2, 1] * g_tz
        g_z = viewmat[0, 2] * g_tx + viewmat[1, 2] * g_ty + viewmat[2, 2] * g_tz

        if sh_degree < 0:
            for c in range(3):
                g_colors[i, 0, c] += g_rgb[i, c]
        else:
            dx, dy, dz, inv_distance = _direction(camera, x, y, z)
            g_dx, g_dy, g_dz = ZERO, ZERO, ZERO
            for c in range(3):
                g_value = g_rgb[i, c] if rgb[i, c] > ZERO else ZERO
                g_colors[i, 0, c] += SH_C0 * g_value
                if sh_degree > 0:
                    g_linear = SH_C1 * g_value
                    g_colors[i, 1, c] -= g_linear * dy
                    g_colors[i, 2, c] += g_linear * dz
                    g_colors[i, 3, c] -= g_linear * dx
                    g_dx -= g_linear * colors[i, 3, c]
                    g_dy -= g_linear * colors[i, 1, c]
                    g_dz += g_linear * colors[i, 2, c]
            if sh_degree > 0:
                along = g_dx * dx + g_dy * dy + g_dz * dz
                g_x += (g_dx - along * dx) * inv_distance
                g_y += (g_dy - along * dy) * inv_distance
                g_z += (g_dz - along * dz) * inv_distance
        g_means[i, 0] += g_x
        g_means[i, 1] += g_y
        g_means[i, 2] += g_z
