// Whether a network that another part of the machine computes gives the masks of WebAssembly, and no later.

import { iou } from './candidates.js';
import { EncodedImage, Segmenter } from './segmenter.js';

const SIDE = 320, LEAST = 0.95;  // pixels of the image that is tried; IoU of the masks

/** Fail where one network disagrees with another about a disc on a ground with gradients, or takes longer. */
export async function checkAgainst(network, reference) {
  const ours = await timedMask(network), theirs = await timedMask(reference);
  const agreement = iou(ours.mask, theirs.mask);
  if (!(agreement >= LEAST)) throw new Error(`its mask agrees with that of WebAssembly by ${agreement.toFixed(2)}`);
  if (ours.ms > theirs.ms) throw new Error(`it takes ${Math.round(ours.ms)} ms, WebAssembly ${Math.round(theirs.ms)} ms`);
}

/** The mask of a click, and the time that it takes the second time: the first time includes compilation. */
async function timedMask(network) {
  let result = null;
  for (let i = 0; i < 2; i++) {
    const started = performance.now(), segmenter = new Segmenter(network, new EncodedImage(network, disc()));
    await segmenter.click({ x: SIDE / 2, y: SIDE / 2, positive: true, radius: null });
    const { logits } = segmenter.mask;
    result = { mask: Uint8Array.from(logits, (value) => value > 0), ms: performance.now() - started };
  }
  return result;
}

function disc() {
  const data = new Uint8ClampedArray(SIDE * SIDE * 4);
  for (let y = 0, i = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++, i += 4) {
      const inside = Math.hypot(x - SIDE / 2, y - SIDE / 2) < SIDE / 4;
      data.set(inside ? [220, 60 + (x >> 3), 40, 255] : [x >> 2, 90, y >> 2, 255], i);
    }
  }
  return { width: SIDE, height: SIDE, data };
}
