// Two cameras: one that turns around the person, and the one that filmed the clip. Axes as in the video: y down, z forward.

const LENS = 1.9; // focal length of the orbit, in heights of the picture: a short telephoto, as for portraits

class Orbit {
  constructor(stature) {
    this.stature = stature;
    this.front = 0;
    this.at = [0, 0.52 * stature, 0];
    this.reset();
  }

  reset() { this.azimuth = this.front; this.elevation = 0.14; this.zoom = 1; }

  turn(right, up) {
    this.azimuth -= right;
    this.elevation = Math.max(-0.05, Math.min(1.45, this.elevation + up));
  }

  scale(by) { this.zoom = Math.max(0.3, Math.min(4, this.zoom * by)); }

  // Keeps the person in the middle; `share` of the way at once.
  follow(x, z, share) { this.at[0] += (x - this.at[0]) * share; this.at[2] += (z - this.at[2]) * share; }

  view(width, height) {
    const f = LENS * height, distance = f * this.stature * Math.max(1.36 / height, 0.8 / width) / this.zoom;
    const {azimuth: a, elevation: e, at} = this;
    const back = [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)], eye = at.map((x, i) => x + distance * back[i]);
    const right = [Math.cos(a), 0, -Math.sin(a)], forward = back.map(x => -x);
    const down = [forward[1] * right[2] - forward[2] * right[1], forward[2] * right[0] - forward[0] * right[2], forward[0] * right[1] - forward[1] * right[0]];
    return {V: worldToCamera([right, down, forward], eye), eye, fx: f, fy: f, cx: width / 2, cy: 0.55 * height, width, height, left: 0, bottom: 0};
  }
}

class ClipCamera {
  constructor(table, text) { this.rows = table.values(); this.text = text; }

  // The largest rectangle of the video's shape in the middle of the canvas.
  view(key, width, height) {
    const {K, width: w, height: h} = this.text, scale = Math.min(width / w, height / h), m = this.rows.subarray(12 * key, 12 * key + 12);
    const axes = [0, 1, 2].map(c => [m[c], m[4 + c], m[8 + c]]), eye = [m[3], m[7], m[11]];
    const wide = Math.round(w * scale), tall = Math.round(h * scale);
    return {
      V: worldToCamera(axes, eye), eye, fx: K[0] * scale, fy: K[4] * scale, cx: K[2] * scale, cy: K[5] * scale, width: wide, height: tall,
      left: Math.floor((width - wide) / 2), bottom: Math.floor((height - tall) / 2), scale,
    };
  }
}

function worldToCamera(axes, eye) {
  const V = new Float32Array(16);
  axes.forEach((axis, r) => {
    for (let c = 0; c < 3; c++) V[4 * c + r] = axis[c];
    V[12 + r] = -(axis[0] * eye[0] + axis[1] * eye[1] + axis[2] * eye[2]);
  });
  V[15] = 1;
  return V;
}

// Where a point is on the canvas, and its depth.
function onCanvas(view, canvasHeight, [x, y, z]) {
  const {V} = view, [vx, vy, vz] = [0, 1, 2].map(r => V[r] * x + V[4 + r] * y + V[8 + r] * z + V[12 + r]);
  const top = canvasHeight - view.bottom - view.height;
  return [view.left + view.cx + view.fx * vx / vz, top + view.cy + view.fy * vy / vz, vz];
}

// The direction in the world in which a place on the canvas lies.
function rayOf(view, canvasHeight, x, y) {
  const {V} = view, top = canvasHeight - view.bottom - view.height;
  const d = [(x - view.left - view.cx) / view.fx, (y - top - view.cy) / view.fy, 1], n = Math.hypot(...d);
  return [0, 1, 2].map(c => (V[4 * c] * d[0] + V[4 * c + 1] * d[1] + V[4 * c + 2] * d[2]) / n);
}
