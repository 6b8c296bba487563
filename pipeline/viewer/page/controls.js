// What the buttons, keys and fingers do.

const SWITCHES = ["splats", "mesh", "bones", "coloured", "ground", "unseen"];
const KEYS_OF_SWITCHES = {s: "splats", m: "mesh", k: "bones", g: "ground", u: "unseen"};
const LETTERS = ["x", "y", "z"];
const byId = id => document.getElementById(id);
const words = name => name.replace(/_/g, " ").replace(/(\d)/, " $1");

class Controls {
  constructor(app) {
    this.app = app;
    this.fingers = new Map();
    this.grabbed = -1;
    for (const [j, name] of app.text.joints.entries()) byId("joint").append(new Option(words(name), j));
    byId("unseen").disabled = app.unseenShare === null;
    byId("unseen-hint").textContent = app.unseenShare === null
      ? "What was never filmed is not known: the avatar is of an older version."
      : `${Math.round(100 * app.unseenShare)} % of the avatar was never filmed: its colours there are guessed from what is around.`;
    const frames = app.movements[0].frames;
    for (const frame of app.text.camera.frames) {
      const mark = document.createElement("i");
      mark.style.left = `${100 * frame / Math.max(1, frames - 1)}%`;
      byId("marks").append(mark);
    }
    this._buttons();
    this._keys();
    this._pointer();
    app.listeners.push(() => this.update());
    this.update();
  }

  // Shows on the controls what the app is at.
  update() {
    const {app} = this, {movement} = app, frame = Math.round(app.frame), clip = movement.kind !== "new";
    const time = byId("time"), seconds = app.frame / movement.fps;
    time.max = movement.frames - 1;
    time.value = frame;
    time.setAttribute("aria-valuetext", `frame ${frame}, ${seconds.toFixed(2)} seconds`);
    byId("clock").textContent = `${seconds.toFixed(2)} s · frame ${frame}`;
    byId("marks").hidden = app.view !== "clip";
    byId("play").classList.toggle("playing", app.playing);
    byId("play").setAttribute("aria-label", app.playing ? "Pause" : "Play");
    byId("back").setAttribute("aria-label", app.view === "clip" ? "To the picture before" : "One frame back");
    byId("on").setAttribute("aria-label", app.view === "clip" ? "To the next picture" : "One frame on");
    for (const input of document.getElementsByName("movement")) input.checked = Number(input.value) === app.index;
    for (const input of document.getElementsByName("view")) {
      input.checked = input.value === app.view;
      if (input.value === "clip") input.disabled = !clip;
    }
    for (const name of SWITCHES) byId(name).checked = app.show[name];
    byId("coloured").disabled = !app.show.mesh;
    byId("front").disabled = app.view === "clip";
    byId("joint").value = app.chosen;
    const turned = app.skeleton.turned, status = [clip ? `The clip, ${movement.kind} the refinement` : `${movement.name}, never done by this person`];
    turned[app.chosen].forEach((angle, axis) => {
      const degrees = Math.round(angle * 180 / Math.PI);
      byId(`turn-${LETTERS[axis]}`).value = degrees;
      byId(`degrees-${LETTERS[axis]}`).textContent = `${degrees}°`;
    });
    if (app.view === "clip") status.push("the clip's camera");
    if (turned.some(angles => angles.some(angle => angle))) status.push("posed by hand");
    const line = status.join(" · ");
    if (byId("status").textContent !== line) byId("status").textContent = line;
  }

  play(playing) { this.app.playing = playing; this.app.changed(); }

  // One frame; in the clip's camera to the next of its pictures.
  step(by) {
    const {app} = this, now = Math.round(app.frame), pictures = app.text.camera.frames;
    app.playing = false;
    const next = app.view !== "clip" ? now + by : by > 0 ? pictures.find(frame => frame > now) : pictures.findLast(frame => frame < now);
    app.seek(next ?? app.frame);
  }


  look(view) {
    const {app} = this;
    if (app.movement.kind === "new") return;
    app.view = view;
    if (view === "clip" && !app.playing) app.frame = app.nearestPicture();
    app.changed();
  }

  flip(name) {
    if (byId(name).disabled) return;
    this.app.show[name] = !this.app.show[name];
    this.app.changed();
  }
  front() { this.app.orbit.reset(); this.app.changed(); }
  select(joint) { this.app.chosen = joint; this.app.show.bones = true; this.app.changed(); }

  _buttons() {
    const {app} = this;
    byId("play").onclick = () => this.play(!app.playing);
    byId("back").onclick = () => this.step(-1);
    byId("on").onclick = () => this.step(1);
    byId("time").oninput = event => { app.playing = false; app.seek(Number(event.target.value)); };
    for (const input of document.getElementsByName("movement")) input.onchange = () => app.choose(Number(input.value));
    for (const input of document.getElementsByName("view")) input.onchange = () => this.look(input.value);
    for (const name of SWITCHES) byId(name).onchange = () => this.flip(name);
    byId("front").onclick = () => this.front();
    byId("joint").onchange = event => this.select(Number(event.target.value));
    LETTERS.forEach((letter, axis) => {
      byId(`turn-${letter}`).oninput = event => {
        app.show.bones = true;
        app.skeleton.turned[app.chosen][axis] = Number(event.target.value) * Math.PI / 180;
        app.changed();
      };
    });
    byId("reset-joint").onclick = () => { app.skeleton.turned[app.chosen].fill(0); app.changed(); };
    byId("reset-all").onclick = () => { app.skeleton.turned.forEach(angles => angles.fill(0)); app.changed(); };
    byId("more").onclick = () => {
      const open = byId("panel").classList.toggle("open");
      byId("more").setAttribute("aria-expanded", open);
      app.changed();
    };
    byId("panel").onsubmit = event => event.preventDefault();
    new ResizeObserver(() => app.changed()).observe(app.canvas);
    matchMedia("(prefers-color-scheme: dark)").onchange = () => app.changed();
  }

  _keys() {
    document.addEventListener("keydown", event => {
      const {app} = this, key = event.key;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const on = event.target.tagName, slider = on === "SELECT" || (on === "INPUT");
      const arrows = {ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.08], ArrowDown: [0, -0.08]}[key];
      if (arrows && !slider) { app.orbit.turn(...arrows); app.changed(); }
      else if (key === " " && !slider && on !== "BUTTON" && on !== "SUMMARY") this.play(!app.playing);
      else if (key === "," || key === ".") this.step(key === "," ? -1 : 1);
      else if (on === "SELECT") return; // letters choose from a list
      else if (key === "+" || key === "=" || key === "-") { app.orbit.scale(key === "-" ? 1 / 1.15 : 1.15); app.changed(); }
      else if (key === "b") app.choose(app.index === 0 ? 1 : 0);
      else if (key === "c") this.look(app.view === "clip" ? "orbit" : "clip");
      else if (key === "r") this.front();
      else if (key === "[" || key === "]") this.select((app.chosen + (key === "]" ? 1 : JOINTS - 1)) % JOINTS);
      else if (KEYS_OF_SWITCHES[key]) this.flip(KEYS_OF_SWITCHES[key]);
      else return;
      event.preventDefault();
    });
  }

  // One finger turns the view, or swings the bone whose end it takes; two zoom.
  _pointer() {
    const {app, fingers} = this, canvas = app.canvas;
    const at = event => { const box = canvas.getBoundingClientRect(), k = canvas.width / box.width; return [(event.clientX - box.left) * k, (event.clientY - box.top) * k, k]; };
    canvas.onpointerdown = event => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      this.grabbed = fingers.size === 1 && app.show.bones ? jointAt(app.places, ...at(event)) : -1;
      if (this.grabbed >= 0) { app.playing = false; app.chosen = this.grabbed; app.changed(); }
    };
    canvas.onpointerup = canvas.onpointercancel = event => { fingers.delete(event.pointerId); this.grabbed = -1; };
    canvas.onpointermove = event => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const dx = event.clientX - last[0], dy = event.clientY - last[1];
      if (this.grabbed >= 0) this._drag(...at(event), dx, dy);
      else if (fingers.size === 1) app.orbit.turn(dx * 0.008, dy * 0.006);
      else {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
        app.orbit.scale(Math.max(1, Math.hypot(event.clientX - other[0], event.clientY - other[1])) / Math.max(1, Math.hypot(last[0] - other[0], last[1] - other[1])));
      }
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      app.changed();
    };
    canvas.addEventListener("wheel", event => { event.preventDefault(); app.orbit.scale(Math.exp(-event.deltaY * 0.001)); app.changed(); }, {passive: false});
  }

  _drag(x, y, ratio, dx, dy) {
    const {app} = this;
    if (this.grabbed > 0) app.chosen = swing(app.skeleton, this.grabbed, app.current, app.canvas.height, x, y);
    else { // the pelvis has no bone: it turns the whole person, about the upright and about the picture's axis
      const {V} = app.current, right = [V[0], V[4], V[8]];
      app.skeleton.turn(0, quatFromVector(right.map((value, c) => value * -dy * 0.008 + (c === 1 ? dx * 0.008 : 0))));
    }
  }
}
