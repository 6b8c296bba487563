// The programs of the graphics card. Positions on the screen come from the camera as in the video: y down, z forward.

const PROJECT = `
uniform mat4 V; uniform vec2 F, C, S;
vec4 onScreen(vec3 world) {
  vec3 v = (V * vec4(world, 1)).xyz;
  vec2 ndc = (F * v.xy + C * v.z) / S * 2. - v.z;
  return vec4(ndc.x, -ndc.y, v.z - .1, v.z);
}`;

const SHADERS = {
  // 128 quads an instance: many instances of one quad each are slow in some drivers.
  splats: [`
uniform sampler2D tex; uniform int shown; uniform vec2 S;
in vec3 corner; out vec2 p; out vec4 colour; out float unseen;
void main() {
  int i = gl_InstanceID * 128 + int(corner.z);
  if (i >= shown) { gl_Position = vec4(0, 0, 2, 1); return; }
  ivec2 t = ivec2(3 * (i & 255), i >> 8);
  vec4 a = texelFetch(tex, t, 0), b = texelFetch(tex, t + ivec2(1, 0), 0);
  colour = texelFetch(tex, t + ivec2(2, 0), 0);
  unseen = b.w;
  p = corner.xy * b.z;
  vec2 px = a.xy + p.x * a.zw + p.y * b.xy;
  gl_Position = vec4(px.x / S.x * 2. - 1., 1. - px.y / S.y * 2., 0, 1);
}`, `
uniform float hatch; uniform vec3 stripe;
in vec2 p; in vec4 colour; in float unseen; out vec4 o;
void main() {
  float a = min(.999, colour.a * exp(-.5 * dot(p, p)));
  if (a < 1. / 255.) discard;
  vec3 c = colour.rgb;
  if (hatch > 0.) {
    float line = smoothstep(.3, .42, abs(fract((gl_FragCoord.x + gl_FragCoord.y) / hatch) - .5) * 2.);
    vec3 faded = mix(c, vec3(.55 + .2 * dot(c, vec3(.3, .6, .1))), .75);
    c = mix(c, mix(stripe, faded, line), smoothstep(.5, .8, unseen));
  }
  o = vec4(c * a, a);
}`],
  grid: [`
${PROJECT} uniform vec3 middle; in vec2 g; out vec2 w;
void main() { w = middle.xz + g * 7.; gl_Position = onScreen(vec3(w.x, 0, w.y)); }`, `
uniform vec3 middle, ink; in vec2 w; out vec4 o;
float lines(vec2 at) { vec2 d = fwidth(at), l = abs(fract(at - .5) - .5) / (d + 1e-6); return 1. - min(min(l.x, l.y), 1.); }
void main() {
  float fade = 1. - smoothstep(1.5, 6.5, length(w - middle.xz));
  float a = max(.10 * lines(w * 2.), .22 * lines(w)) * fade;
  o = vec4(ink * a, a);
}`],
  // Each bone keeps a part of the sky's light from the ground: less and softer, the higher it is.
  shadow: [`
${PROJECT} uniform vec3 middle; in vec2 g; out vec2 w;
void main() { w = middle.xz + g * 1.7; gl_Position = onScreen(vec3(w.x, 0, w.y)); }`, `
uniform vec4 bones[48]; uniform float dark; in vec2 w; out vec4 o;
void main() {
  float light = 1.;
  for (int i = 0; i < 48; i += 2) {
    vec4 a = bones[i], b = bones[i + 1];
    vec2 d = b.xz - a.xz;
    float t = clamp(dot(w - a.xz, d) / max(dot(d, d), 1e-6), 0., 1.), h = max(mix(a.y, b.y, t), 0.), r = a.w;
    float blur = r * .75 + .3 * h;
    vec2 off = w - a.xz - t * d;
    light *= 1. - .8 * min(1., r / (blur + .3 * h)) * exp(-dot(off, off) / (blur * blur)) * exp(-1.5 * h);
  }
  o = vec4(0, 0, 0, dark * (1. - light));
}`],
  path: [`
${PROJECT} in vec3 at; out float when; void main() { when = at.z; gl_Position = onScreen(vec3(at.x, 0, at.y)); }`, `
uniform vec3 ink; uniform float now; in float when; out vec4 o;
void main() { float a = when <= now ? .85 : .28; o = vec4(ink * a, a); }`],
  mesh: [`
${PROJECT} uniform vec4 bones[72]; uniform mat3 rotation;
in vec3 position, normal, colour; in vec4 joint, weight; out vec3 n, c;
void main() {
  vec4 r0 = vec4(0), r1 = vec4(0), r2 = vec4(0);
  for (int k = 0; k < 4; k++) { int j = 3 * int(joint[k]); r0 += weight[k] * bones[j]; r1 += weight[k] * bones[j + 1]; r2 += weight[k] * bones[j + 2]; }
  vec4 x = vec4(position, 1);
  vec3 m = vec3(dot(r0.xyz, normal), dot(r1.xyz, normal), dot(r2.xyz, normal));
  n = rotation * m; c = colour;
  gl_Position = onScreen(vec3(dot(r0, x), dot(r1, x), dot(r2, x)));
}`, `
uniform float coloured, opacity; uniform vec3 clay; in vec3 n, c; out vec4 o;
void main() {
  vec3 m = normalize(n);
  float key = max(dot(m, normalize(vec3(-.5, -.7, -.6))), 0.), rim = pow(1. - abs(m.z), 3.);
  vec3 base = mix(clay, c, coloured);
  vec3 lit = base * mix(.42 + .62 * key, .8 + .25 * key, coloured) + .10 * rim;
  o = vec4(lit * opacity, opacity);
}`],
  picture: [`
in vec2 g; out vec2 uv; void main() { uv = vec2(.5 + .5 * g.x, .5 - .5 * g.y); gl_Position = vec4(g, 0, 1); }`, `
uniform sampler2D tex; uniform float opacity; in vec2 uv; out vec4 o;
void main() { o = vec4(texture(tex, uv).rgb * opacity, opacity); }`],
};
