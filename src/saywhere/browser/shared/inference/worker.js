// The network and the objects of the present image, away from the page, which stays responsive. Answers { id, method,
// values } with { id, result } or { id, error }, one at a time, in order.

import { differing, expectedIou, NO_CANDIDATES, same } from './candidates.js';
import { logit } from './decoding.js';
import { Network } from './network.js';
import { compress, measure, runsOf } from './rle.js';
import { EncodedImage, Segmenter } from './segmenter.js';
import { checkAgainst } from './verify.js';

const MAX_THREADS = 4, MAX_OBJECTS = 32;
let network = null, encoded = null, objects = new Map(), queue = Promise.resolve();

const fetched = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return answer;
};

const methods = {
  /**
   * Load the network for "wasm" or "webgpu"; `base` is the address of the folder with model.json and onnxruntime/. With
   * `verify` it fails where its masks are not those of WebAssembly, or come later.
   */
  async load({ backend, base, verify }) {
    const webgpu = backend === 'webgpu', threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MAX_THREADS) : 1;
    const ort = await import(`${base}onnxruntime/${webgpu ? 'ort.webgpu.min.mjs' : 'ort.wasm.min.mjs'}`);
    ort.env.wasm.wasmPaths = `${base}onnxruntime/`;
    ort.env.wasm.numThreads = threads;
    const facts = await (await fetched(`${base}model.json`)).json();
    const bytes = async (name) => [name, new Uint8Array(await (await fetched(base + name)).arrayBuffer())];
    const models = Object.fromEntries(await Promise.all(Object.keys(facts.files).map(bytes)));
    const loaded = await Network.load(ort, facts, models, webgpu ? ['webgpu', 'wasm'] : ['wasm']);
    if (verify) await checkAgainst(loaded, await Network.load(ort, facts, models, ['wasm']));
    network = loaded;
    if (encoded) await methods.open({ picture: encoded.picture });
    return { backend, threads, settings: facts.settings, boxes: facts.boxes, precision: facts.precision, weights: facts.sha256_of_weights };
  },

  /** Encode an image, a bitmap; the objects of the image before are forgotten. */
  async open({ bitmap, picture }) {
    if (!network) throw new Error('no network is loaded');
    picture ??= pixelsOf(bitmap);
    const opened = new EncodedImage(network, picture), started = performance.now();
    await opened.features(opened.fullCrop);
    [encoded, objects] = [opened, new Map()];
    return { size: opened.size, encodeMs: performance.now() - started };
  },

  /**
   * The mask of an object after its actions, which are of the kinds "click", "box" and "choose". The segmenter of the
   * object, which its first action names, is taken a step on or back; only where that does not lead to these actions are
   * all of them repeated. `offered` are the candidates that were offered before the last action, `threshold` is the
   * probability from which on a pixel is inside.
   */
  async segment({ actions, threshold, offered }) {
    const started = performance.now(), last = actions.at(-1);
    let known = await reached(actions), before = null;
    if (known.actions.length < actions.length) {
      if (last.kind === 'choose') before = known.segmenter.candidates;
      known = await performed(known, last);
    }
    remember(known);
    return { ...shown(known.segmenter, threshold ?? network.settings.threshold, before, offered), ms: performance.now() - started };
  },

  /** How often the encoder ran, and the milliseconds of encoder and decoder, since the last call. */
  times() {
    const { encodeMs, decodeMs, encodings } = network;
    Object.assign(network, { encodeMs: 0, decodeMs: 0, encodings: 0 });
    return { encodeMs, decodeMs, encodings };
  },
};

function pixelsOf(bitmap) {
  const { width, height } = bitmap, context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.fillStyle = '#fff';  // behind what is transparent
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

const keyOf = (action) => JSON.stringify(action);

/** An object's segmenter after all of its actions but the last, or after all of them where it has been there. */
async function reached(actions) {
  const requested = actions.map(keyOf), fresh = { actions: [], segmenter: new Segmenter(network, encoded) };
  let known = objects.get(requested[0]) ?? fresh;
  objects.delete(requested[0]);  // until it has got there: a fault on the way leaves a segmenter that is repeated from the start
  const done = known.actions.map(keyOf), agrees = (count) => done.slice(0, count).every((key, i) => key === requested[i]);
  if (done.length === requested.length + 1 && agrees(requested.length)) {
    known.segmenter.undo();
    return { ...known, actions };
  }
  if (done.length > requested.length || !agrees(done.length)) known = fresh;
  for (const action of actions.slice(known.actions.length, -1)) known = await performed(known, action);
  return known;
}

async function performed({ actions, segmenter }, action) {
  if (action.kind === 'click') await segmenter.click(action);
  else if (action.kind === 'box') await segmenter.box(action.box);
  else if (action.kind === 'choose') await segmenter.choose(action.index ?? stepped(segmenter, action.step));
  return { actions: [...actions, action], segmenter };
}

/** Keep the objects that were worked on last. */
function remember(known) {
  if (!known.actions.length) return;
  objects.set(keyOf(known.actions[0]), known);
  if (objects.size > MAX_OBJECTS) objects.delete(objects.keys().next().value);
}

/** The index of the candidate that is `step` larger ones on, around the ends. */
function stepped({ candidates, mask }, step) {
  return (candidates.indexOf(mask) + step + candidates.length) % candidates.length;
}

/** The mask of an object with its run lengths, its expected IoU, and which candidates can be chosen. */
function shown(segmenter, threshold, before, offered) {
  const { mask, candidates } = segmenter;
  if (!mask) return { counts: null, score: null, count: 0, offered: NO_CANDIDATES };
  const part = segmenter.part(threshold), measures = measure(part), limit = logit(segmenter.settings.threshold);
  return {
    part: measures && part, ...measures, counts: compress(runsOf(part, encoded.size)), score: expectedIou(mask.logits, limit),
    count: candidates.length, offered: before ? same(offered, before, candidates, mask, limit) : differing(candidates, mask, limit),
  };
}

self.onmessage = ({ data: { id, method, values } }) => {
  queue = queue.then(async () => {
    try {
      const result = await methods[method](values);
      self.postMessage({ id, result }, result?.part ? [result.part.inside.buffer] : []);
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) });
    }
  });
};
