// Cloth that moves: what a pose changes of places and colours beyond the skinning. The model is that of
// pipeline/avatar/cloth.py: features of the pose around each joint, and so many offsets and colours a Gaussian.

const ENTRIES = 9; // of a rotation matrix

class Cloth {
  constructor(tables, parents) {
    this.parents = parents;
    this.mean = tables.cloth_mean.values();
    this.axes = tables.cloth_axes.values(); // (24 K, 207)
    this.seen = tables.cloth_seen.values(); // (S, 207)
    this.joints = tables.cloth_joints.values(); // (24, 3): unit, slack, and over how much more it fades
    this.offsets = tables.cloth_offsets.values(); // (N, 3 K)
    this.colours = tables.cloth_colours.values().map(c => 0.28209479177387814 * c); // (N, 3 K)
    this.count = tables.cloth_axes.rows / JOINTS; // K
    this.features = new Float64Array(JOINTS * this.count);
    this.bends = new Float64Array(this.mean.length);
  }

  // The features (24, K) of the pose in which the skeleton's bones are.
  of(bones) {
    const {parents, mean, axes, seen, joints, count, features, bends} = this, columns = mean.length;
    for (let j = 1; j < JOINTS; j++) {
      for (let r = 0; r < 3; r++) for (let c = 0; c < 3; c++) {
        let turn = r === c ? -1 : 0;
        for (let k = 0; k < 3; k++) turn += bones[16 * parents[j] + 4 * k + r] * bones[16 * j + 4 * k + c];
        bends[ENTRIES * (j - 1) + 3 * r + c] = turn;
      }
    }
    // How far what is around each joint is turned against the nearest pose that was seen.
    const nearest = new Float64Array(JOINTS).fill(Infinity), each = new Float64Array(JOINTS), apart = new Float64Array(JOINTS);
    for (let s = 0; s < seen.length; s += columns) {
      each.fill(0);
      for (let c = 0; c < columns; c++) each[1 + (c / ENTRIES | 0)] += (bends[c] - seen[s + c]) ** 2;
      apart.set(each);
      for (let j = 1; j < JOINTS; j++) { apart[j] += each[parents[j]]; apart[parents[j]] += each[j]; }
      for (let j = 0; j < JOINTS; j++) nearest[j] = Math.min(nearest[j], apart[j]);
    }
    for (let j = 0; j < JOINTS; j++) {
      const [unit, slack, fade] = joints.subarray(3 * j, 3 * j + 3);
      const beyond = Math.max(0, Math.sqrt(nearest[j]) - slack) / fade, share = Math.exp(-beyond * beyond) / unit;
      for (let f = j * count; f < (j + 1) * count; f++) {
        let value = 0;
        for (let c = 0; c < columns; c++) value += axes[f * columns + c] * (bends[c] - mean[c]);
        features[f] = share * value;
      }
    }
    return features;
  }
}
