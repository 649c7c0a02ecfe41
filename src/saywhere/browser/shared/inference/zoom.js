// Which crop of the image the network sees (saywhere.interactive.zoom).

import { Crop } from './crop.js';

const MIN_GAIN = 1.1;            // how much smaller than the full crop another one must be to be worth its encoding
const MAX_SLACK = 1.5;           // how much larger than the best crop the present one may be and still stay

const positive = (prompt) => prompt.clicks.filter((c) => c.positive);

/** A box that holds clicks too. */
function including(box, clicks) {
  const xs = clicks.map((c) => c.x + 0.5), ys = clicks.map((c) => c.y + 0.5);
  return [Math.min(box[0], ...xs), Math.min(box[1], ...ys), Math.max(box[2], ...xs, 0), Math.max(box[3], ...ys, 0)];
}

/** A box that is larger by the same length on all sides. */
function expanded(box, factor) {
  const grow = (factor - 1) * Math.max(box[2] - box[0], box[3] - box[1]) / 2;
  return [box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow];
}

function isWorthIt(encoded, crop, settings, zoomSize) {
  return encoded.fullCrop.longerSide > MIN_GAIN * crop.longerSide || zoomSize > settings.size;
}

/** The crop before there is a mask: the full crop, or a crop around a box or a first drag, which show the size. */
export function firstCrop(encoded, prompt, settings, zoomSize) {
  const first = prompt.clicks[0];
  let box = null;
  if (prompt.box) {
    box = expanded(including(prompt.box, positive(prompt)), settings.zoom_margin);
  } else if (first?.radius && first.positive && settings.drag_margin) {
    const reach = settings.drag_margin * first.radius;
    box = [first.x + 0.5 - reach, first.y + 0.5 - reach, first.x + 0.5 + reach, first.y + 0.5 + reach];
  }
  if (!box || !settings.zoom) return encoded.fullCrop;
  const near = Crop.fromBox(including(box, positive(prompt)), encoded.size, zoomSize);
  if (prompt.box) return isWorthIt(encoded, near, settings, zoomSize) ? near : encoded.fullCrop;
  return encoded.fullCrop.longerSide > MIN_GAIN * near.longerSide ? near : encoded.fullCrop;
}

/** The crop that the object and its positive clicks fill with the margin of the settings. */
export function nextCrop(encoded, prompt, mask, settings, zoomSize) {
  if (prompt.box) return firstCrop(encoded, prompt, settings, zoomSize);
  const full = encoded.fullCrop, present = mask.crop, margin = settings.zoom_margin - 1;
  const objectBox = present.boundingBox(mask.logits);
  if (!objectBox || !settings.zoom) return full;
  const box = including(objectBox, positive(prompt));
  const factor = 1 + (isTruncated(encoded, mask) ? 2 * margin : margin);
  const target = Crop.fromBox(expanded(box, factor), encoded.size, zoomSize);
  if (!present.equals(full)) {
    const least = Crop.fromBox(expanded(box, 1 + margin / 4), encoded.size, zoomSize);
    if (present.contains(least) && present.longerSide < MAX_SLACK * target.longerSide) return present.resized(zoomSize);
  }
  return isWorthIt(encoded, target, settings, zoomSize) ? target : full;
}

/** Whether a mask ends at a side of its crop that is not a side of the image. */
export function isTruncated(encoded, mask) {
  const box = mask.crop.boundingBox(mask.logits);
  return box !== null && !mask.crop.equals(encoded.fullCrop) && mask.crop.isTruncated(box, encoded.size);
}
