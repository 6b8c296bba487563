// Gaussians on the CPU: skinned, projected, sorted from far to near. What is drawn is pipeline/splatting's picture:
// centres by the blended matrix, orientations by the mean quaternion, the same harmonics, widening and cut-offs.

const PER_ROW = 256; // Gaussians in a row of the texture, three texels each
const BUCKETS = 65536;

class Splats {
  constructor(tables, parents) {
    const count = this.count = tables.means.rows;
    this.means = tables.means.values();
    this.quats = tables.quats.values();
    this.scales = tables.scales.values().map(Math.exp);
    this.opacities = tables.opacities.values();
    this.seen = tables.seen ? tables.seen.values() : null; // null: the avatar's file does not say
    this.reach = this.opacities.map(o => Math.sqrt(2 * Math.log(Math.max(255 * o, 1.001)))); // where alpha is 1/255
    this.colours = new Float32Array(12 * count); // degree 0, then the three of degree 1, each r g b
    const flat = tables.colours.values(), slopes = tables.slopes && tables.slopes.values();
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < 3; c++) this.colours[12 * i + c] = 0.5 + 0.28209479177387814 * flat[3 * i + c];
      if (slopes) for (let k = 0; k < 9; k++) this.colours[12 * i + 3 + k] = 0.4886025119029199 * slopes[9 * i + k];
    }
    // Joints that move each Gaussian: from first[i] to first[i + 1].
    const {q, step} = tables.weights, joints = [], weights = [];
    this.first = new Uint32Array(count + 1);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < JOINTS; j++) if (q[JOINTS * i + j]) { joints.push(16 * j); weights.push(step * q[JOINTS * i + j]); }
      this.first[i + 1] = joints.length;
    }
    this.joints = Uint16Array.from(joints);
    this.weights = Float32Array.from(weights);
    this.cloth = tables.cloth_axes ? new Cloth(tables, parents) : null;
    this.rows = Math.ceil(count / PER_ROW);
    this.shown = 0;
    this.items = new Float32Array(12 * count);
    this.sorted = new Float32Array(12 * PER_ROW * this.rows); // centre, two axes in pixels, reach, unseen; colour, alpha
    this.depths = new Float32Array(count);
    this.keys = new Uint16Array(count);
    this.starts = new Uint32Array(BUCKETS + 1);
  }

  // view: {V (world to camera, by columns; the camera's y is down, z forward), fx, fy, cx, cy, width, height}; widening in square pixels.
  project(bones, view, widening) {
    const {means, quats, scales, colours, first, joints, weights, reach, items, depths} = this;
    const {V, fx, fy, cx, cy, width, height} = view;
    const V0 = V[0], V1 = V[1], V2 = V[2], V4 = V[4], V5 = V[5], V6 = V[6], V8 = V[8], V9 = V[9], V10 = V[10], V12 = V[12], V13 = V[13], V14 = V[14];
    const cloth = this.cloth, K = cloth ? cloth.count : 0, features = cloth && cloth.of(bones);
    let near = Infinity, far = -Infinity;
    for (let i = 0, n = this.count; i < n; i++) {
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0, c0 = 0, c1 = 0, c2 = 0, c3 = 0, pw = 0, px = 0, py = 0, pz = 0;
      for (let k = first[i], end = first[i + 1]; k < end; k++) {
        const w = weights[k], j = joints[k];
        a0 += w * bones[j]; a1 += w * bones[j + 1]; a2 += w * bones[j + 2]; a3 += w * bones[j + 3];
        b0 += w * bones[j + 4]; b1 += w * bones[j + 5]; b2 += w * bones[j + 6]; b3 += w * bones[j + 7];
        c0 += w * bones[j + 8]; c1 += w * bones[j + 9]; c2 += w * bones[j + 10]; c3 += w * bones[j + 11];
        pw += w * bones[j + 12]; px += w * bones[j + 13]; py += w * bones[j + 14]; pz += w * bones[j + 15];
      }
      let mx = means[3 * i], my = means[3 * i + 1], mz = means[3 * i + 2], red = 0, green = 0, blue = 0;
      for (let f = 0, o = 3 * K * i; f < K; f++, o += 3) {
        let share = 0;
        for (let k = first[i], end = first[i + 1]; k < end; k++) share += weights[k] * features[joints[k] / 16 * K + f];
        mx += share * cloth.offsets[o]; my += share * cloth.offsets[o + 1]; mz += share * cloth.offsets[o + 2];
        red += share * cloth.colours[o]; green += share * cloth.colours[o + 1]; blue += share * cloth.colours[o + 2];
      }
      const x = a0 * mx + a1 * my + a2 * mz + a3, y = b0 * mx + b1 * my + b2 * mz + b3, z = c0 * mx + c1 * my + c2 * mz + c3;
      const vz = V2 * x + V6 * y + V10 * z + V14;
      depths[i] = -1;
      if (vz < 0.05) continue;
      const vx = V0 * x + V4 * y + V8 * z + V12, vy = V1 * x + V5 * y + V9 * z + V13, iz = 1 / vz;
      const u = cx + fx * vx * iz, v = cy + fy * vy * iz;
      // Orientation: the mean turn of the joints, then the Gaussian's own.
      let qa = quats[4 * i], qb = quats[4 * i + 1], qc = quats[4 * i + 2], qd = quats[4 * i + 3];
      const n = 1 / Math.sqrt((pw * pw + px * px + py * py + pz * pz) * (qa * qa + qb * qb + qc * qc + qd * qd));
      pw *= n; px *= n; py *= n; pz *= n;
      const w = pw * qa - px * qb - py * qc - pz * qd, X = pw * qb + px * qa + py * qd - pz * qc, Y = pw * qc - px * qd + py * qa + pz * qb, Z = pw * qd + px * qc - py * qb + pz * qa;
      const s0 = scales[3 * i], s1 = scales[3 * i + 1], s2 = scales[3 * i + 2];
      const r00 = (1 - 2 * (Y * Y + Z * Z)) * s0, r10 = 2 * (X * Y + w * Z) * s0, r20 = 2 * (X * Z - w * Y) * s0;
      const r01 = 2 * (X * Y - w * Z) * s1, r11 = (1 - 2 * (X * X + Z * Z)) * s1, r21 = 2 * (Y * Z + w * X) * s1;
      const r02 = 2 * (X * Z + w * Y) * s2, r12 = 2 * (Y * Z - w * X) * s2, r22 = (1 - 2 * (X * X + Y * Y)) * s2;
      // Rows of the projection's Jacobian times the camera's rotation, then the covariance in the image.
      const jx = fx * iz, kx = -fx * vx * iz * iz, jy = fy * iz, ky = -fy * vy * iz * iz;
      const u0 = jx * V0 + kx * V2, u1 = jx * V4 + kx * V6, u2 = jx * V8 + kx * V10, t0 = jy * V1 + ky * V2, t1 = jy * V5 + ky * V6, t2 = jy * V9 + ky * V10;
      const ua = u0 * r00 + u1 * r10 + u2 * r20, ub = u0 * r01 + u1 * r11 + u2 * r21, uc = u0 * r02 + u1 * r12 + u2 * r22;
      const ta = t0 * r00 + t1 * r10 + t2 * r20, tb = t0 * r01 + t1 * r11 + t2 * r21, tc = t0 * r02 + t1 * r12 + t2 * r22;
      const xx = ua * ua + ub * ub + uc * uc + widening, yy = ta * ta + tb * tb + tc * tc + widening, xy = ua * ta + ub * tb + uc * tc;
      const middle = 0.5 * (xx + yy), radius = Math.sqrt(0.25 * (xx - yy) * (xx - yy) + xy * xy);
      const long = Math.sqrt(middle + radius), short = Math.sqrt(Math.max(middle - radius, 0.01)), R = reach[i] * long;
      if (u + R < 0 || u - R > width || v + R < 0 || v - R > height) continue;
      let ax = xy, ay = long * long - xx;
      if (Math.abs(xy) < 1e-6) { ax = xx >= yy ? 1 : 0; ay = 1 - ax; }
      const l = 1 / Math.sqrt(ax * ax + ay * ay);
      ax *= l; ay *= l;
      const o = 12 * i;
      items[o] = u; items[o + 1] = v; items[o + 2] = ax * long; items[o + 3] = ay * long; items[o + 4] = -ay * short; items[o + 5] = ax * short;
      items[o + 6] = reach[i]; items[o + 7] = this.seen ? 1 - this.seen[i] : 0;
      // The harmonics were fitted in the frame of the camera: wherever that is, the direction is as it sees it.
      const g = 1 / Math.sqrt(vx * vx + vy * vy + vz * vz), gx = vx * g, gy = vy * g, gz = vz * g;
      items[o + 8] = Math.max(0, red + colours[o] - gy * colours[o + 3] + gz * colours[o + 6] - gx * colours[o + 9]);
      items[o + 9] = Math.max(0, green + colours[o + 1] - gy * colours[o + 4] + gz * colours[o + 7] - gx * colours[o + 10]);
      items[o + 10] = Math.max(0, blue + colours[o + 2] - gy * colours[o + 5] + gz * colours[o + 8] - gx * colours[o + 11]);
      items[o + 11] = this.opacities[i];
      depths[i] = vz;
      if (vz < near) near = vz;
      if (vz > far) far = vz;
    }
    this._sort(near, far);
  }

  _sort(near, far) {
    const {items, depths, keys, starts, sorted} = this, scale = (BUCKETS - 1) / (far - near + 1e-9);
    starts.fill(0);
    this.shown = 0;
    for (let i = 0; i < this.count; i++) {
      if (depths[i] < 0) continue;
      const key = BUCKETS - 1 - ((depths[i] - near) * scale | 0);
      keys[i] = key;
      starts[key + 1]++;
      this.shown++;
    }
    for (let k = 0; k < BUCKETS; k++) starts[k + 1] += starts[k];
    for (let i = 0; i < this.count; i++) {
      if (depths[i] < 0) continue;
      for (let to = 12 * starts[keys[i]]++, from = 12 * i, end = from + 12; from < end;) sorted[to++] = items[from++];
    }
  }
}
