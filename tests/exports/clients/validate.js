// node validate.js FILE: what the Khronos validator finds, as JSON.
import { readFileSync } from "fs";
import { createRequire } from "module";
const validator = createRequire(process.env.CLIENTS + "/node_modules/")("gltf-validator");
const report = await validator.validateBytes(new Uint8Array(readFileSync(process.argv[2])));
console.log(JSON.stringify(report.issues));
