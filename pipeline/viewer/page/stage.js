// What draws: one canvas with WebGL 2.

const BONE_WIDTHS = [ // metres, of each joint's bone to its parent: for the shadow
  0.13, 0.1, 0.1, 0.13, 0.075, 0.075, 0.13, 0.05, 0.05, 0.13, 0.045, 0.045,
  0.06, 0.07, 0.07, 0.09, 0.06, 0.06, 0.045, 0.045, 0.035, 0.035, 0.035, 0.035,
];

class Stage {
  constructor(canvas, splats, tables) {
    const gl = this.gl = canvas.getContext("webgl2", {antialias: false, alpha: false, preserveDrawingBuffer: true, powerPreference: "high-performance"});
    if (!gl) throw new Error("This page draws with WebGL 2, and this browser has none. Turn on hardware acceleration in its settings, or open the page in a current Firefox, Chrome, Edge or Safari.");
    this.canvas = canvas;
    this.splats = splats;
    this.programs = {};
    for (const name in SHADERS) this.programs[name] = this._program(...SHADERS[name]);
    this.quad = this._array("grid", "g", new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), 2);
    const corners = new Float32Array(128 * 12), order = new Uint16Array(128 * 6);
    for (let i = 0; i < 128; i++) {
      corners.set([-1, -1, i, 1, -1, i, -1, 1, i, 1, 1, i], 12 * i);
      order.set([0, 1, 2, 2, 1, 3].map(k => 4 * i + k), 6 * i);
    }
    this.quads = this._array("splats", "corner", corners, 3);
    this._elements(order);
    this.texture = this._texture(gl.NEAREST);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32F, 3 * PER_ROW, splats.rows);
    this.ribbon = this._array("path", "at", new Float32Array(0), 3);
    this.ribbonLength = 0;
    this.thread = gl.createVertexArray(); // its one side as a line: seen from low, a ribbon is thinner than a pixel
    gl.bindVertexArray(this.thread);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.ribbon.buffer);
    const at = gl.getAttribLocation(this.programs.path.program, "at");
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 24, 0);
    this._mesh(tables);
    this.pictures = [];
  }

  _program(vertex, fragment) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, "#version 300 es\nprecision highp float; precision highp int; precision highp sampler2D;" + source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error("The graphics card refused a program: " + gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    if (["grid", "shadow", "picture"].some(name => SHADERS[name][0] === vertex)) gl.bindAttribLocation(program, 0, "g");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("The graphics card refused a program: " + gl.getProgramInfoLog(program));
    const uniforms = {};
    for (let i = 0, n = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i < n; i++) {
      const name = gl.getActiveUniform(program, i).name;
      uniforms[name.replace("[0]", "")] = gl.getUniformLocation(program, name);
    }
    return {program, uniforms};
  }

  _array(program, name, data, size) {
    const gl = this.gl, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    array.buffer = this._attribute(program, name, data, size);
    return array;
  }

  _attribute(program, name, data, size, normalized = false) {
    const gl = this.gl, buffer = gl.createBuffer(), at = gl.getAttribLocation(this.programs[program].program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, data instanceof Float32Array ? gl.FLOAT : gl.UNSIGNED_BYTE, normalized, 0, 0);
    return buffer;
  }

  _elements(order) {
    const gl = this.gl;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.STATIC_DRAW);
  }

  _texture(filter) {
    const gl = this.gl, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const [key, value] of [["MIN_FILTER", filter], ["MAG_FILTER", filter], ["WRAP_S", gl.CLAMP_TO_EDGE], ["WRAP_T", gl.CLAMP_TO_EDGE]]) {
      gl.texParameteri(gl.TEXTURE_2D, gl["TEXTURE_" + key], value);
    }
    return texture;
  }

  // The body's mesh at rest, four joints a vertex as in a GLB; its normals follow from its triangles.
  _mesh(tables) {
    const gl = this.gl, positions = tables.vertices.values(), count = tables.vertices.rows;
    const corners = new Uint16Array(tables.corners.q.length);
    for (let i = 0, fresh = 0; i < corners.length; i++) { corners[i] = fresh - tables.corners.q[i]; if (corners[i] === fresh) fresh++; }
    const normals = new Float32Array(3 * count);
    for (let i = 0; i < corners.length; i += 3) {
      const [a, b, c] = [0, 1, 2].map(k => 3 * corners[i + k]);
      const u = [0, 1, 2].map(k => positions[b + k] - positions[a + k]), v = [0, 1, 2].map(k => positions[c + k] - positions[a + k]);
      const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (const at of [a, b, c]) for (let k = 0; k < 3; k++) normals[at + k] += n[k];
    }
    const joints = new Uint8Array(4 * count), weights = new Float32Array(4 * count), {q} = tables.vertex_weights;
    for (let i = 0; i < count; i++) {
      const row = Array.from(q.subarray(JOINTS * i, JOINTS * (i + 1)), (w, j) => [w, j]).sort((a, b) => b[0] - a[0]).slice(0, 4);
      const sum = row.reduce((total, [w]) => total + w, 0);
      row.forEach(([w, j], k) => { joints[4 * i + k] = j; weights[4 * i + k] = w / sum; });
    }
    this.mesh = gl.createVertexArray();
    gl.bindVertexArray(this.mesh);
    this._attribute("mesh", "position", positions, 3);
    this._attribute("mesh", "normal", normals, 3);
    this._attribute("mesh", "colour", tables.vertex_colours.values(), 3);
    this._attribute("mesh", "joint", joints, 4);
    this._attribute("mesh", "weight", weights, 4);
    this._elements(corners);
    this.meshCount = corners.length;
  }

  async loadPictures(bytes, lengths) {
    let start = 0;
    for (const length of lengths) {
      const image = await createImageBitmap(new Blob([bytes.subarray(start, start += length)], {type: "image/jpeg"}));
      const gl = this.gl, texture = this._texture(gl.LINEAR);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
      this.pictures.push(texture);
    }
  }

  // points: x, z and frame of each moment; a flat ribbon on the ground goes through them.
  setPath(points) {
    const gl = this.gl, strip = [];
    let side = [0, 0];
    points.forEach(([x, z, when], i) => {
      const [ax, az] = points[Math.max(0, i - 1)], [bx, bz] = points[Math.min(points.length - 1, i + 1)], n = Math.hypot(bx - ax, bz - az);
      if (n > 1e-4) side = [-(bz - az) / n * 0.018, (bx - ax) / n * 0.018];
      strip.push(x + side[0], z + side[1], when, x - side[0], z - side[1], when);
    });
    gl.bindBuffer(gl.ARRAY_BUFFER, this.ribbon.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(strip), gl.STATIC_DRAW);
    this.ribbonLength = points.length * 2;
  }

  _use(name, view, values = {}) {
    const gl = this.gl, {program, uniforms} = this.programs[name];
    gl.useProgram(program);
    if (uniforms.V) gl.uniformMatrix4fv(uniforms.V, false, view.V);
    if (uniforms.F) gl.uniform2f(uniforms.F, view.fx, view.fy);
    if (uniforms.C) gl.uniform2f(uniforms.C, view.cx, view.cy);
    if (uniforms.S) gl.uniform2f(uniforms.S, view.width, view.height);
    for (const name in values) {
      const value = values[name];
      if (typeof value === "number") gl.uniform1f(uniforms[name], value);
      else gl.uniform3fv(uniforms[name], value);
    }
    return uniforms;
  }

  // view: see Splats.project, and left, bottom: of its rectangle on the canvas. show: what is drawn, and in what colours.
  draw(view, skeleton, show) {
    const gl = this.gl;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(...show.background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.viewport(view.left, view.bottom, view.width, view.height);
    gl.scissor(view.left, view.bottom, view.width, view.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.quad);
    if (show.picture) {
      this._use("picture", view, {opacity: show.picture.opacity});
      gl.bindTexture(gl.TEXTURE_2D, this.pictures[show.picture.index]);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    if (show.ground) this._ground(view, skeleton, show);
    if (show.splats) this._splats(view, show);
    if (show.mesh) this._drawMesh(view, skeleton, show);
  }

  _ground(view, skeleton, show) {
    const gl = this.gl, middle = [skeleton.places[0], 0, skeleton.places[2]];
    if (!show.picture) {
      this._use("grid", view, {middle, ink: show.ink});
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    const bones = new Float32Array(4 * 2 * JOINTS);
    for (let j = 0; j < JOINTS; j++) {
      bones.set([...skeleton.place(j), BONE_WIDTHS[j]], 8 * j);
      bones.set([...skeleton.place(Math.max(0, skeleton.parents[j])), BONE_WIDTHS[j]], 8 * j + 4);
    }
    const uniforms = this._use("shadow", view, {middle, dark: show.picture ? 0.35 : show.shadow});
    gl.uniform4fv(uniforms.bones, bones);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    if (this.ribbonLength > 2) {
      gl.bindVertexArray(this.ribbon);
      this._use("path", view, {ink: show.accent, now: show.frame});
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, this.ribbonLength);
      gl.bindVertexArray(this.thread);
      gl.drawArrays(gl.LINE_STRIP, 0, this.ribbonLength / 2);
    }
  }

  _splats(view, show) {
    const gl = this.gl, {sorted, shown} = this.splats;
    gl.bindVertexArray(this.quads);
    const uniforms = this._use("splats", view, {hatch: show.unseen ? show.hatch : 0, stripe: show.stripe});
    gl.uniform1i(uniforms.shown, shown);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 3 * PER_ROW, Math.ceil(shown / PER_ROW), gl.RGBA, gl.FLOAT, sorted);
    gl.drawElementsInstanced(gl.TRIANGLES, 768, gl.UNSIGNED_SHORT, 0, Math.ceil(shown / 128));
  }

  // Alone it is solid. Over the splats one sees through it: its nearest surface is found first, then drawn once.
  _drawMesh(view, skeleton, show) {
    const gl = this.gl, V = view.V, rows = new Float32Array(12 * JOINTS);
    for (let j = 0; j < JOINTS; j++) rows.set(skeleton.bones.subarray(16 * j, 16 * j + 12), 12 * j);
    gl.bindVertexArray(this.mesh);
    const uniforms = this._use("mesh", view, {coloured: show.coloured ? 1 : 0, opacity: show.splats || show.picture ? 0.5 : 1, clay: show.clay});
    gl.uniform4fv(uniforms.bones, rows);
    gl.uniformMatrix3fv(uniforms.rotation, false, [V[0], V[1], V[2], V[4], V[5], V[6], V[8], V[9], V[10]]);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.colorMask(false, false, false, false);
    gl.drawElements(gl.TRIANGLES, this.meshCount, gl.UNSIGNED_SHORT, 0);
    gl.colorMask(true, true, true, true);
    gl.drawElements(gl.TRIANGLES, this.meshCount, gl.UNSIGNED_SHORT, 0);
    gl.disable(gl.DEPTH_TEST);
  }
}
