// The network and the objects of the present image, away from the page, which stays responsive. Answers { id, method,
// values } with { id, result } or { id, error }, one at a time, in order.

import { Network } from './network.js';
import { compress, measure, runsOf } from './rle.js';
import { EncodedImage, Segmenter } from './segmenter.js';

const MAX_THREADS = 4;
let network = null, encoded = null, objects = new Map(), queue = Promise.resolve();

const fetched = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return answer;
};

const methods = {
  /** Load the network for "wasm" or "webgpu". */
  async load({ backend }) {
    const webgpu = backend === 'webgpu', base = new URL('./', import.meta.url).href;
    const ort = await import(webgpu ? './onnxruntime/ort.webgpu.min.mjs' : './onnxruntime/ort.wasm.min.mjs');
    const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MAX_THREADS) : 1;
    ort.env.wasm.wasmPaths = `${base}onnxruntime/`;
    ort.env.wasm.numThreads = threads;
    const facts = await (await fetched('./model.json')).json();
    const [encoder, decoder] = await Promise.all(['./encoder.onnx', './decoder.onnx'].map(async (path) => new Uint8Array(await (await fetched(path)).arrayBuffer())));
    network = await Network.load(ort, facts, encoder, decoder, webgpu ? ['webgpu', 'wasm'] : ['wasm']);
    if (encoded) await methods.open({ picture: encoded.picture });
    return { backend, threads, settings: facts.settings, boxes: facts.boxes, precision: facts.precision };
  },

  /** Encode an image, a bitmap; the objects of the image before are forgotten. */
  async open({ bitmap, picture }) {
    if (!network) throw new Error('The network could not be loaded; reload the page.');
    picture ??= pixelsOf(bitmap);
    const opened = new EncodedImage(network, picture), started = performance.now();
    await opened.features(opened.fullCrop);
    [encoded, objects] = [opened, new Map()];
    return { size: opened.size, encodeMs: performance.now() - started };
  },

  /** Add one action to an object, after those in `past` if the object is not known here: see `session.js`. */
  async act({ object, past, action }) {
    const started = performance.now();
    const segmenter = objects.get(object) ?? await replayed(past);
    await perform(segmenter, action);
    objects.set(object, segmenter);
    return { ...shown(segmenter), ms: performance.now() - started };
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

async function replayed(past) {
  const segmenter = new Segmenter(network, encoded);
  for (const action of past) await perform(segmenter, action);
  return segmenter;
}

async function perform(segmenter, action) {
  if (action.kind === 'click') await segmenter.click(action);
  else if (action.kind === 'box') await segmenter.box(action.box);
  else if (action.kind === 'choose') await segmenter.choose(action.index ?? stepped(segmenter, action.step));
  else if (action.kind === 'undo') segmenter.undo();
  else if (action.kind === 'redo') segmenter.redo();
}

/** The index of the candidate that is `step` larger ones on, around the ends. */
function stepped({ candidates, mask }, step) {
  return (candidates.indexOf(mask) + step + candidates.length) % candidates.length;
}

/** The mask of an object with its run lengths, and how many candidates there are. */
function shown(segmenter) {
  const part = segmenter.part(), measures = part && measure(part);
  return {
    part: measures && part, ...measures, counts: measures && compress(runsOf(part, encoded.size)),
    score: segmenter.mask?.iou ?? null, candidates: segmenter.mask ? network.facts.candidates : 0,
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
