// The skeleton: a motion's pose at a moment, turned further by hand, and how it moves what is bound to it.
// Quaternions are x y z w in the tables and here; lengths are metres, y is up.

const JOINTS = 24;

const quatMul = (a, b) => [
  a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
  a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
  a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
  a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
];
const quatInverse = q => [-q[0], -q[1], -q[2], q[3]];

function quatFromVector(v) {
  const angle = Math.hypot(...v), s = angle < 1e-9 ? 0.5 : Math.sin(angle / 2) / angle;
  return [v[0] * s, v[1] * s, v[2] * s, Math.cos(angle / 2)];
}

function vectorFromQuat(q) {
  const sign = q[3] < 0 ? -1 : 1, s = Math.hypot(q[0], q[1], q[2]);
  const k = s < 1e-9 ? 2 : 2 * Math.atan2(s, sign * q[3]) / s;
  return [0, 1, 2].map(c => sign * q[c] * k);
}

// The shortest turn from one direction to another, both of length 1.
function quatBetween(a, b) {
  const w = 1 + a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  if (w < 1e-6) return [0, 0, 0, 1]; // half a turn: about which axis is not known
  const q = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0], w];
  const n = Math.hypot(...q);
  return q.map(x => x / n);
}

class Movement {
  constructor(tables, index, text) {
    Object.assign(this, text); // name, kind, fps
    this.turns = tables[`turns${index}`].values();
    this.pelvis = tables[`pelvis${index}`].values();
    this.moments = tables[`moments${index}`].values();
    this.keys = this.moments.length;
    this.frames = this.moments[this.keys - 1] + 1;
  }

  get seconds() { return (this.frames - 1) / this.fps; }

  // The keys around a frame (which may lie between two), and how far it is from the first to the second.
  around(frame) {
    let low = 0, high = this.keys - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (this.moments[middle] <= frame) low = middle; else high = middle; }
    const length = this.moments[high] - this.moments[low];
    return [low, high, length > 0 ? Math.max(0, Math.min(1, (frame - this.moments[low]) / length)) : 0];
  }
}

class Skeleton {
  constructor(rest, parents) {
    this.rest = rest; // (24, 3)
    this.parents = parents;
    this.turned = Array.from({length: JOINTS}, () => [0, 0, 0]); // by hand, axis-angle, about the joint's own axes
    this.local = Array.from({length: JOINTS}, () => [0, 0, 0, 1]); // each joint in its parent
    this.world = Array.from({length: JOINTS}, () => [0, 0, 0, 1]);
    this.places = new Float64Array(3 * JOINTS);
    // Rest pose to posed, of each joint: 12 numbers of the matrix by rows, and the turn as w x y z.
    this.bones = new Float64Array(16 * JOINTS);
  }

  pose(movement, frame) {
    const [a, b, u] = movement.around(frame), t = movement.turns;
    for (let j = 0; j < JOINTS; j++) {
      const i = 4 * (a * JOINTS + j), k = 4 * (b * JOINTS + j);
      const near = t[i] * t[k] + t[i + 1] * t[k + 1] + t[i + 2] * t[k + 2] + t[i + 3] * t[k + 3] < 0 ? -u : u;
      const q = this.local[j];
      for (let c = 0; c < 4; c++) q[c] = (1 - u) * t[i + c] + near * t[k + c];
      const n = 1 / Math.hypot(q[0], q[1], q[2], q[3]);
      for (let c = 0; c < 4; c++) q[c] *= n;
    }
    for (let c = 0; c < 3; c++) this.places[c] = (1 - u) * movement.pelvis[3 * a + c] + u * movement.pelvis[3 * b + c];
    this._follow();
  }

  _follow() {
    const {rest, places, bones} = this;
    for (let j = 0; j < JOINTS; j++) {
      const p = this.parents[j], v = this.turned[j];
      let q = v[0] || v[1] || v[2] ? quatMul(this.local[j], quatFromVector(v)) : this.local[j];
      if (p >= 0) {
        q = quatMul(this.world[p], q);
        // q and -q are one turn. Of both, the one on the parent's side: the mean of neighbours is then between them.
        const o = this.world[p];
        if (q[0] * o[0] + q[1] * o[1] + q[2] * o[2] + q[3] * o[3] < 0) q = q.map(x => -x);
        const m = 16 * p, d = [0, 1, 2].map(c => rest[3 * j + c] - rest[3 * p + c]);
        for (let r = 0; r < 3; r++) {
          places[3 * j + r] = places[3 * p + r] + bones[m + 4 * r] * d[0] + bones[m + 4 * r + 1] * d[1] + bones[m + 4 * r + 2] * d[2];
        }
      }
      this.world[j] = q;
      const [x, y, z, w] = q, o = 16 * j;
      bones[o] = 1 - 2 * (y * y + z * z); bones[o + 1] = 2 * (x * y - w * z); bones[o + 2] = 2 * (x * z + w * y);
      bones[o + 4] = 2 * (x * y + w * z); bones[o + 5] = 1 - 2 * (x * x + z * z); bones[o + 6] = 2 * (y * z - w * x);
      bones[o + 8] = 2 * (x * z - w * y); bones[o + 9] = 2 * (y * z + w * x); bones[o + 10] = 1 - 2 * (x * x + y * y);
      for (let r = 0; r < 3; r++) {
        bones[o + 4 * r + 3] = places[3 * j + r] - bones[o + 4 * r] * rest[3 * j] - bones[o + 4 * r + 1] * rest[3 * j + 1] - bones[o + 4 * r + 2] * rest[3 * j + 2];
      }
      bones[o + 12] = w; bones[o + 13] = x; bones[o + 14] = y; bones[o + 15] = z;
    }
  }

  place(j) { return [0, 1, 2].map(c => this.places[3 * j + c]); }

  // Turn a joint in the world: what is turned by hand takes it up.
  turn(j, by) {
    const p = this.parents[j];
    const up = p < 0 ? [0, 0, 0, 1] : this.world[p];
    const now = quatMul(quatMul(quatInverse(up), by), this.world[j]);
    this.turned[j] = vectorFromQuat(quatMul(quatInverse(this.local[j]), now));
  }
}
