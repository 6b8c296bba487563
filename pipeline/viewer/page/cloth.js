// Cloth that moves: what a pose changes of places and colours beyond the skinning. The model is that of
// pipeline/avatar/cloth.py: features of the pose around each joint, and so many offsets and colours a Gaussian.

const FADES = 0.4; // its _FADES
const ENTRIES = 9; // of a rotation matrix

class Cloth {
  constructor(tables, parents) {
    this.parents = parents;
    this.mean = tables.cloth_mean.values();
    this.axes = tables.cloth_axes.values(); // (24 K, 207)
    this.ranges = tables.cloth_ranges.values(); // (24 K, 2): low, high
    this.joints = tables.cloth_joints.values(); // (24, 2): unit, slack
    this.offsets = tables.cloth_offsets.values(); // (N, 3 K)
    this.colours = tables.cloth_colours.values().map(c => 0.28209479177387814 * c); // (N, 3 K)
    this.count = tables.cloth_axes.rows / JOINTS; // K
    this.features = new Float64Array(JOINTS * this.count);
    this.bends = new Float64Array(this.mean.length);
  }

  // The features (24, K) of the pose in which the skeleton's bones are.
  of(bones) {
    const {parents, mean, axes, ranges, joints, count, features, bends} = this, columns = mean.length;
    for (let j = 1; j < JOINTS; j++) {
      for (let r = 0; r < 3; r++) for (let c = 0; c < 3; c++) {
        let turn = r === c ? -1 : 0;
        for (let k = 0; k < 3; k++) turn += bones[16 * parents[j] + 4 * k + r] * bones[16 * j + 4 * k + c];
        const at = ENTRIES * (j - 1) + 3 * r + c;
        bends[at] = turn - mean[at];
      }
    }
    const told = new Float64Array(columns);
    for (let j = 0; j < JOINTS; j++) {
      const unit = joints[2 * j], slack = joints[2 * j + 1];
      told.fill(0);
      for (let f = j * count; f < (j + 1) * count; f++) {
        let value = 0;
        for (let c = 0; c < columns; c++) value += axes[f * columns + c] * bends[c];
        features[f] = Math.max(ranges[2 * f], Math.min(ranges[2 * f + 1], value / unit));
        for (let c = 0; c < columns; c++) told[c] += axes[f * columns + c] * features[f] * unit;
      }
      let apart = 0;
      for (let o = 1; o < JOINTS; o++) {
        if (o !== j && parents[o] !== j && parents[j] !== o) continue;
        for (let c = ENTRIES * (o - 1); c < ENTRIES * o; c++) apart += (bends[c] - told[c]) ** 2;
      }
      const beyond = Math.max(0, Math.sqrt(apart) - slack) / FADES, left = Math.exp(-beyond * beyond);
      for (let f = j * count; f < (j + 1) * count; f++) features[f] *= left;
    }
    return features;
  }
}
