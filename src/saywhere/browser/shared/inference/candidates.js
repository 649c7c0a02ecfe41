// Which candidate masks are offered: those that differ when the prompt is given (saywhere.annotate.inference.candidates).

import { NOTHING } from './box_fit.js';
import { sigmoid } from './decoding.js';
import { resample } from './resize.js';

const NEARLY_EQUAL = 0.97;       // IoU from which on a person would see no difference
export const NO_CANDIDATES = { indices: [], position: 0 };

/** { indices, position }: of masks that are nearly equal only one, and the chosen one stands for all that equal it. */
export function differing(masks, chosen, limit) {
  if (masks.length < 2) return NO_CANDIDATES;
  const inside = masks.map((mask) => Uint8Array.from(resample(mask.logits, mask.crop, chosen.crop, NOTHING), (value) => value > limit));
  const at = masks.indexOf(chosen), indices = [at];
  inside.forEach((region, i) => {
    if (region.includes(1) && indices.every((other) => iou(region, inside[other]) <= NEARLY_EQUAL)) indices.push(i);
  });
  indices.sort((a, b) => a - b);
  return indices.length > 1 ? { indices, position: indices.indexOf(at) } : NO_CANDIDATES;
}

/** The candidates that were offered before one of them was chosen, in the same order, by their indices now. */
export function same(offered, before, masks, chosen, limit) {
  const outputs = (offered?.indices ?? []).filter((index) => index < before.length).map((index) => before[index].candidate);
  if (outputs.length < (offered?.indices.length ?? 0) || !outputs.includes(chosen.candidate)) return differing(masks, chosen, limit);
  const now = masks.map((mask) => mask.candidate);
  return { indices: outputs.map((output) => now.indexOf(output)), position: outputs.indexOf(chosen.candidate) };
}

/** IoU of two masks of one size, of 0 and 1. */
export function iou(first, second) {
  let both = 0, any = 0;
  for (let i = 0; i < first.length; i++) {
    both += first[i] & second[i];
    any += first[i] | second[i];
  }
  return any && first.length === second.length ? both / any : 0;
}

/** The expected IoU of the mask above a limit with the true one, if the probabilities are right. */
export function expectedIou(logits, limit) {
  let inside = 0, outside = 0, area = 0;
  for (const value of logits) {
    const probability = sigmoid(value);
    if (value > limit) { area++; inside += probability; } else outside += probability;
  }
  const union = area + outside;
  return union > 0 ? inside / union : 0;
}
