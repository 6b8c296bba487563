// Starts the page, or says in words why it cannot.

const fail = error => {
  byId("loading").hidden = true;
  byId("message").textContent = error.message;
};

try {
  const blob = await readBlob(byId("data").textContent);
  const app = new App(blob, byId("canvas"), byId("overlay"));
  window.viewer = app; // for the tests
  new Controls(app);
  byId("canvas").addEventListener("webglcontextlost", () => fail(new Error("The graphics card was reset. Load the page again.")));
  byId("loading").remove();
  app.playing = !app.still;
  app.changed();
  const {frames, bytes} = blob.text.camera;
  await app.stage.loadPictures(blob.tables.pictures.q, bytes);
  app.changed();
  app.loaded = frames.length;
} catch (error) {
  fail(error);
}
