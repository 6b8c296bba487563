// The blob that pipeline/viewer/blob.py packs; the layout stands there.

const VERSION = 2;

async function readBlob(base64) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old to unpack the page: it has no DecompressionStream. Use one of 2023 or later.");
  }
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return unpack(await new Response(stream).arrayBuffer());
}

// {tables: {name: {q (rows x columns, row by row), low, step, rows, columns, values()}}, text}
function unpack(buffer) {
  const view = new DataView(buffer), ascii = (at, count) => String.fromCharCode(...new Uint8Array(buffer, at, count)).replace(/\0+$/, "");
  if (ascii(0, 4) !== "AVTR") throw new Error("The data of this page is damaged: it does not begin with AVTR. Export it again.");
  const version = view.getUint16(4, true);
  if (version !== VERSION) throw new Error(`The data of this page has version ${version}, its script reads ${VERSION}. Export it again.`);
  const count = view.getUint16(6, true), words = view.getUint32(8, true), tables = {};
  for (let k = 0; k < count; k++) {
    const at = 12 + 48 * k;
    const size = view.getUint8(at + 16), delta = view.getUint8(at + 17);
    const columns = view.getUint16(at + 18, true), rows = view.getUint32(at + 20, true);
    const low = view.getFloat64(at + 24, true), step = view.getFloat64(at + 32, true), start = view.getUint32(at + 40, true);
    const bytes = new Uint8Array(buffer, start, rows * columns * size);
    const q = new (size === 1 ? Uint8Array : Uint16Array)(rows * columns), mask = size === 1 ? 255 : 65535;
    for (let c = 0; c < columns; c++) {
      let last = 0;
      const lower = c * size * rows, higher = lower + rows;
      for (let r = 0; r < rows; r++) {
        let value = bytes[lower + r];
        if (size === 2) value |= bytes[higher + r] << 8;
        if (delta) value = last = (last + value) & mask;
        q[r * columns + c] = value;
      }
    }
    const values = () => Float32Array.from(q, number => low + step * number);
    tables[ascii(at, 16)] = {q, low, step, rows, columns, values};
  }
  const text = new TextDecoder().decode(new Uint8Array(buffer, 12 + 48 * count, words));
  return {tables, text: JSON.parse(text)};
}
