// node vrm.js FILE: how many bones three-vrm finds, and where hand and knee go when arm and thigh are turned, as JSON.
import { readFileSync } from "fs";
import { pathToFileURL } from "url";
const from = (name) => import(pathToFileURL(`${process.env.CLIENTS}/node_modules/${name}`).href);
globalThis.self = globalThis;
const { GLTFLoader } = await from("three/examples/jsm/loaders/GLTFLoader.js");
const THREE = await from("three/build/three.module.js");
const { VRMLoaderPlugin } = await from("@pixiv/three-vrm/lib/three-vrm.module.js");
const loader = new GLTFLoader();
loader.register((parser) => new VRMLoaderPlugin(parser));
const data = readFileSync(process.argv[2]);
const gltf = await loader.parseAsync(data.buffer.slice(data.byteOffset, data.byteOffset + data.length), "");
const vrm = gltf.userData.vrm;
const place = (bone) => {
  gltf.scene.updateMatrixWorld(true);
  return vrm.humanoid.getRawBoneNode(bone).getWorldPosition(new THREE.Vector3()).toArray();
};
const rest = { hand: place("leftHand"), knee: place("leftLowerLeg"), shoulder: place("leftUpperArm"), hip: place("leftUpperLeg") };
vrm.humanoid.getNormalizedBoneNode("leftUpperArm").rotation.set(0, 0, -Math.PI / 2);
vrm.humanoid.getNormalizedBoneNode("leftUpperLeg").rotation.set(-Math.PI / 2, 0, 0);
vrm.update(0);
const turned = { hand: place("leftHand"), knee: place("leftLowerLeg") };
console.log(JSON.stringify({ version: vrm.meta.metaVersion, bones: Object.keys(vrm.humanoid.humanBones).length, rest, turned }));
