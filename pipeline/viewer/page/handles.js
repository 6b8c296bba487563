// The skeleton over the picture: drawn in 2D, and its joints taken by the pointer.

const TOUCH = 22; // px around a joint that belong to it
const AXES = ["#d6453d", "#3f9c35", "#3f7fe0"];

// Draws bones, joints and the axes of the chosen joint. places: of each joint on the canvas, in its pixels.
function drawHandles(context, places, skeleton, view, canvasHeight, chosen, ratio, ink, paper) {
  context.lineCap = "round";
  for (const [width, colour] of [[5, paper], [2.5, ink]]) {
    context.lineWidth = width * ratio;
    context.strokeStyle = colour;
    context.beginPath();
    places.forEach((place, j) => {
      const parent = skeleton.parents[j];
      if (parent < 0) return;
      context.moveTo(places[parent][0], places[parent][1]);
      context.lineTo(place[0], place[1]);
    });
    context.stroke();
  }
  context.lineWidth = 1.5 * ratio;
  places.forEach(([x, y], j) => {
    context.beginPath();
    context.arc(x, y, (j === chosen ? 7 : 4.5) * ratio, 0, 2 * Math.PI);
    context.fillStyle = j === chosen ? ink : paper;
    context.strokeStyle = j === chosen ? paper : ink;
    context.fill();
    context.stroke();
  });
  const at = skeleton.place(chosen), bones = skeleton.bones;
  context.lineWidth = 3 * ratio;
  AXES.forEach((colour, axis) => {
    const tip = onCanvas(view, canvasHeight, [0, 1, 2].map(r => at[r] + 0.14 * bones[16 * chosen + 4 * r + axis]));
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(places[chosen][0], places[chosen][1]);
    context.lineTo(tip[0], tip[1]);
    context.stroke();
  });
}

// The joint under the pointer, or -1.
function jointAt(places, x, y, ratio) {
  let best = -1, least = TOUCH * ratio;
  places.forEach((place, j) => {
    const distance = Math.hypot(place[0] - x, place[1] - y);
    if (distance < least) { best = j; least = distance; }
  });
  return best;
}

// Swings the bone that ends at joint j, so that j comes to lie under the pointer: on the sphere around its parent where
// the ray meets it, on the side on which it is, else at the sphere's edge. Returns the joint that was turned.
function swing(skeleton, j, view, canvasHeight, x, y) {
  const parent = skeleton.parents[j], ray = rayOf(view, canvasHeight, x, y), centre = skeleton.place(parent), end = skeleton.place(j);
  const bone = end.map((value, c) => value - centre[c]), length = Math.hypot(...bone);
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const from = centre.map((value, c) => value - view.eye[c]), along = dot(from, ray), nearest = ray.map((value, c) => view.eye[c] + along * value - centre[c]);
  const off = Math.hypot(...nearest), depth = Math.sqrt(Math.max(0, length * length - off * off)) * (dot(bone, ray) < 0 ? -1 : 1);
  const to = nearest.map((value, c) => value + depth * ray[c]), n = Math.hypot(...to);
  if (n > 1e-6) skeleton.turn(parent, quatBetween(bone.map(value => value / length), to.map(value => value / n)));
  return parent;
}
