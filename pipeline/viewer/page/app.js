// What is shown at the moment, and the drawing of it.

const VIDEO_WIDENING = 0.3; // square pixels of the video: rasterization's eps2d, with which the Gaussians were fitted
const SLOW = 45; // ms between pictures above which they get fewer pixels (a computer without a graphics card)
const LEAST_PIXELS = 0.5;

class App {
  constructor(blob, canvas, overlay) {
    const {tables, text} = blob;
    Object.assign(this, {text, canvas, overlay});
    this.skeleton = new Skeleton(tables.rest.values(), text.parents);
    this.splats = new Splats(tables, text.parents);
    this.stage = new Stage(canvas, this.splats, tables);
    this.movements = text.movements.map((movement, index) => new Movement(tables, index, movement));
    const heights = tables.vertices.values().filter((_, i) => i % 3 === 1);
    this.orbit = new Orbit(heights.reduce((a, b) => Math.max(a, b)) - heights.reduce((a, b) => Math.min(a, b)));
    this.clipCamera = new ClipCamera(tables.camera, text.camera);
    this.show = {splats: true, mesh: false, bones: false, coloured: false, ground: true, unseen: false};
    this.view = "orbit";
    this.chosen = 16;
    this.playing = false;
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.pixels = 1; // share of the screen's, along a side, while it plays
    this.took = 0; // ms of script for the last picture, without the graphics card's part
    this.places = [];
    this.listeners = [];
    this.waiting = false;
    this.choose(0);
    const {seen} = this.splats;
    this.unseenShare = seen && seen.reduce((sum, value) => sum + 1 - value, 0) / seen.length;
    const eye = this.clipCamera.view(0, 1, 1).eye;
    this.orbit.front = Math.atan2(eye[0] - this.skeleton.places[0], eye[2] - this.skeleton.places[2]) + 0.3;
    this.orbit.reset();
    this.choose(text.first);
  }

  get movement() { return this.movements[this.index]; }

  // Before and after share their frames: from one to the other the moment stays.
  choose(index) {
    const same = this.index !== undefined && this.movement.kind !== "new" && this.movements[index].kind !== "new";
    this.index = index;
    if (!same) this.frame = 0;
    if (this.movement.kind === "new") this.view = "orbit";
    const path = this.movement.pelvis;
    this.stage.setPath(Array.from(this.movement.moments, (when, i) => [path[3 * i], path[3 * i + 2], when]));
    this.skeleton.pose(this.movement, this.frame);
    this.orbit.follow(this.skeleton.places[0], this.skeleton.places[2], 1);
    this.changed();
  }

  seek(frame) { this.frame = Math.max(0, Math.min(this.movement.frames - 1, frame)); this.changed(); }

  changed() {
    this.listeners.forEach(listener => listener());
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(now => this._next(now));
  }

  _next(now) {
    this.waiting = false;
    const passed = now - (this.last ?? now);
    this.last = this.playing ? now : undefined;
    if (this.playing) {
      this.frame += Math.min(passed, 100) / 1000 * this.movement.fps;
      if (this.frame > this.movement.frames - 1) this.frame = 0;
      this.slowness = 0.9 * (this.slowness ?? 0) + 0.1 * Math.min(passed, 200);
      if (this.slowness > SLOW && this.pixels > LEAST_PIXELS) { this.pixels = Math.max(LEAST_PIXELS, this.pixels * 0.8); this.slowness = 0; }
    }
    this.draw();
    if (this.playing) this.changed();
  }

  // Colours of the page, for what is drawn on it.
  theme() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return dark
      ? {background: [0.105, 0.11, 0.125], ink: [0.85, 0.87, 0.9], accent: [0.43, 0.66, 1], clay: [0.66, 0.67, 0.7], stripe: [0.93, 0.6, 0.1], shadow: 0.75}
      : {background: [0.925, 0.927, 0.935], ink: [0.12, 0.13, 0.15], accent: [0.12, 0.43, 0.92], clay: [0.8, 0.79, 0.78], stripe: [0.85, 0.45, 0], shadow: 0.55};
  }

  draw() {
    const scale = Math.min(devicePixelRatio || 1, 2) * (this.playing ? this.pixels : 1), canvas = this.canvas;
    const width = Math.max(1, Math.round(canvas.clientWidth * scale)), height = Math.max(1, Math.round(canvas.clientHeight * scale));
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const start = performance.now();
    this.skeleton.pose(this.movement, this.frame);
    const [x, , z] = this.skeleton.places;
    this.orbit.follow(x, z, this.still || !this.playing ? 1 : 0.08);
    const clip = this.view === "clip", key = this._key(), view = this.current = clip ? this.clipCamera.view(key, width, height) : this.orbit.view(width, height);
    if (this.show.splats) this.splats.project(this.skeleton.bones, view, this._widening(view));
    this.took = performance.now() - start;
    this.stage.draw(view, this.skeleton, {...this.show, ...this.theme(), frame: this.frame, hatch: 12 * scale, picture: clip && this._picture()});
    this._drawOverlay(scale);
  }

  _key() {
    const [a, b, u] = this.movements[0].around(this.frame);
    return u < 0.5 ? a : b;
  }

  // As wide as in the video; enlarged, in proportion (see pipeline/render/performer.py).
  _widening(view) {
    if (view.scale) return VIDEO_WIDENING * Math.max(1, view.scale ** 2);
    const {V} = view, [x, y, z] = this.skeleton.places, depth = V[2] * x + V[6] * y + V[10] * z + V[14];
    return VIDEO_WIDENING * Math.max(1, (view.fy / Math.max(depth, 0.3) / this.text.pixels_per_metre) ** 2);
  }

  // The frame of the clip's picture that is nearest in time.
  nearestPicture() {
    return this.text.camera.frames.reduce((best, frame) => Math.abs(frame - this.frame) < Math.abs(best - this.frame) ? frame : best);
  }

  // That picture, fainter the farther away it is.
  _picture() {
    const frame = this.nearestPicture(), index = this.text.camera.frames.indexOf(frame);
    if (index >= this.stage.pictures.length) return null;
    return {index, opacity: 1 - 0.7 * Math.min(1, Math.abs(frame - this.frame) / (0.1 * this.movement.fps))};
  }

  _drawOverlay(scale) {
    const {canvas, overlay} = this, context = overlay.getContext("2d");
    if (overlay.width !== canvas.width || overlay.height !== canvas.height) { overlay.width = canvas.width; overlay.height = canvas.height; }
    context.clearRect(0, 0, overlay.width, overlay.height);
    if (!this.show.bones) return;
    this.places = Array.from({length: JOINTS}, (_, j) => onCanvas(this.current, canvas.height, this.skeleton.place(j)));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    drawHandles(context, this.places, this.skeleton, this.current, canvas.height, this.chosen, scale, dark ? "#6ea8fe" : "#1f6feb", dark ? "#15171b" : "#ffffff");
  }

  // The avatar alone over white as the clip's camera sees it, in the video's pixels: what the tests compare.
  picture(frame) {
    const {canvas, text} = this;
    canvas.width = text.camera.width;
    canvas.height = text.camera.height;
    this.skeleton.pose(this.movement, frame);
    this.frame = frame;
    const view = this.clipCamera.view(this._key(), canvas.width, canvas.height);
    this.splats.project(this.skeleton.bones, view, VIDEO_WIDENING);
    this.stage.draw(view, this.skeleton, {...this.theme(), background: [1, 1, 1], splats: true});
    const url = canvas.toDataURL("image/png");
    this.changed();
    return url;
  }
}
