// How a box prompt changes the candidates: they are limited to it, and ranked by their agreement with it
// (saywhere.core.box_fit).

import { boundingBox } from './crop.js';

export const NOTHING = -16;      // the logit of a pixel outside the crop
const TOLERANCE = 0.05;          // of the box's longer side, by which an object may reach beyond a box
const FIT_POWER = 2;

/** Set to NOTHING, in place, what lies outside a box; not if a positive click is outside it. All in pixels of the crop. */
export function confine(candidates, width, height, box, clicks) {
  const reach = TOLERANCE * Math.max(box[2] - box[0], box[3] - box[1]);
  const [left, top, right, bottom] = [box[0] - reach, box[1] - reach, box[2] + reach, box[3] + reach];
  const isInside = (x, y) => x + 0.5 >= left && x + 0.5 <= right && y + 0.5 >= top && y + 0.5 <= bottom;
  if (clicks.some((c) => c.positive && !isInside(c.x, c.y))) return;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) if (!isInside(x, y)) for (const logits of candidates) logits[i] = NOTHING;
  }
}

/** The scores by which a candidate is chosen for a box: predicted IoU times agreement with the box. */
export function boxScores(ious, candidates, width, height, box) {
  return candidates.map((logits, i) => ious[i] * boxIou(boundingBox(logits, width, height), box) ** FIT_POWER);
}

function boxIou(first, second) {
  if (!first) return 0;
  const width = Math.min(first[2], second[2]) - Math.max(first[0], second[0]);
  const height = Math.min(first[3], second[3]) - Math.max(first[1], second[1]);
  const overlap = Math.max(width, 0) * Math.max(height, 0);
  const [a, b] = [first, second].map((box) => (box[2] - box[0]) * (box[3] - box[1]));
  return overlap / (a + b - overlap);
}
