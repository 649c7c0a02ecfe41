// Masks: from COCO run lengths to pixels, from pixels to a coloured picture and an outline.

/** COCO's compressed run lengths to numbers. */
export function decodeRuns(counts) {
  const lengths = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const c = counts.charCodeAt(at++) - 48;
      value |= (c & 31) << shift;
      more = (c & 32) !== 0;
      shift += 5;
      if (!more && c & 16) value |= -1 << shift;
    }
    // From the third on, each is the difference to the one before last.
    lengths.push(lengths.length > 2 ? value + lengths[lengths.length - 2] : value);
  }
  return lengths;
}

/**
 * A mask of the API to { left, top, width, height, step, inside: Uint8Array }; null when it has no pixel.
 * Of each square of `step` pixels one is used; width and height count these squares.
 */
export function decodeMask({ size, counts }, step = 1) {
  const height = size[0], lengths = decodeRuns(counts);
  let at = 0, left = Infinity, right = -1, top = Infinity, bottom = -1;
  for (let i = 0; i < lengths.length; i++) {
    if (i % 2 && lengths[i]) {
      const first = Math.floor(at / height), end = at + lengths[i] - 1, last = Math.floor(end / height);
      if (first < left) left = first;
      if (last > right) right = last;
      top = Math.min(top, first === last ? at - first * height : 0);
      bottom = Math.max(bottom, first === last ? end - first * height : height - 1);
    }
    at += lengths[i];
  }
  if (right < 0) return null;
  const width = Math.ceil((right - left + 1) / step), rows = Math.ceil((bottom - top + 1) / step);
  const inside = new Uint8Array(width * rows);
  at = 0;
  for (let i = 0; i < lengths.length; i++) {
    const end = at + lengths[i];
    while (i % 2 && at < end) {
      // From here to the run's end or its column's, whichever comes first.
      const column = Math.floor(at / height), stop = Math.min(end, (column + 1) * height);
      if ((column - left) % step === 0) {
        const x = (column - left) / step, last = stop - column * height - top;
        for (let y = Math.ceil((at - column * height - top) / step); y * step < last; y++) inside[y * width + x] = 1;
      }
      at = stop;
    }
    at = end;
  }
  return { left, top, width, height: rows, step, inside };
}

/** Call `use(begin, end)` for each run of pixels of the object in a row, by their indices in `inside`. */
function forEachRun({ width, inside }, use) {
  for (let row = 0; row < inside.length; row += width) {
    const pixels = inside.subarray(row, row + width);
    for (let begin = pixels.indexOf(1); begin >= 0;) {
      const found = pixels.indexOf(0, begin), end = found < 0 ? width : found;
      use(row + begin, row + end);
      begin = pixels.indexOf(1, end);
    }
  }
}

/** A pixel of a picture as it lies in memory (little-endian: a, b, g, r), from #rrggbb. */
function opaque(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function pictureOf(width, height, paint) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d');
  const picture = context.createImageData(width, height);
  paint(new Uint32Array(picture.data.buffer));
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** A picture of a mask in one colour (#rrggbb), opaque on the object. */
export function colourMask(region, colour) {
  const pixel = opaque(colour);
  return pictureOf(region.width, region.height, (pixels) => forEachRun(region, (begin, end) => pixels.fill(pixel, begin, end)));
}

/**
 * A picture of the object's own pixels at its edge, in one colour. Where a pixel of it is about one of the screen it looks
 * like the stroked outline, which takes far longer for thousands of corners.
 */
export function colourEdge(region, colour) {
  const { width, inside } = region, pixel = opaque(colour);
  return pictureOf(width, region.height, (pixels) => forEachRun(region, (begin, end) => {
    pixels[begin] = pixels[end - 1] = pixel;
    for (let i = begin; i < end; i++) if (!inside[i - width] || !inside[i + width]) pixels[i] = pixel;
  }));
}

/** The edges between inside and outside as closed lines, in pixels of the image, whose first pixel begins at 0, 0. */
export function outline({ left, top, width, height, step, inside }) {
  const path = new Path2D(), stride = width + 2;
  const padded = new Uint8Array(stride * (height + 2));  // with a border of background, so that every pixel has neighbours
  for (let y = 0; y < height; y++) padded.set(inside.subarray(y * width, (y + 1) * width), (y + 1) * stride + 1);
  // Lines run with the inside on their right: right, down, left, up. A corner at (x, y) is the first of pixel (x, y);
  // going on from it, the pixels ahead are, for each direction, these on the right and on the left.
  const steps = [1, stride, -1, -stride], right = [0, -1, -stride - 1, -stride], ahead = [-stride, 0, -1, -stride - 1];
  const seen = new Uint8Array(padded.length);  // upper edges that are in a line already
  for (let start = stride + 1; start < padded.length; start++) {
    if (!padded[start] || padded[start - stride] || seen[start]) continue;
    let at = start, direction = 0;
    const x = () => left + ((at % stride) - 1) * step, y = () => top + (Math.floor(at / stride) - 1) * step;
    path.moveTo(x(), y());
    do {
      if (direction === 0) seen[at] = 1;
      at += steps[direction];
      const turn = !padded[at + right[direction]] ? 1 : padded[at + ahead[direction]] ? 3 : 0;
      if (turn) path.lineTo(x(), y());
      direction = (direction + turn) % 4;
    } while (at !== start || direction !== 0);
    path.closePath();
  }
  return path;
}

/** The mask of a probability map above a threshold, over its rectangle (at most 1024 pixels wide or high). */
export function thresholdMap(map, threshold) {
  const spanX = map.right - map.left, spanY = map.bottom - map.top;
  const scale = Math.min(1, 1024 / Math.max(spanX, spanY));
  const width = Math.max(1, Math.round(spanX * scale)), height = Math.max(1, Math.round(spanY * scale));
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(map.bitmap, 0, 0, width, height);
  const values = context.getImageData(0, 0, width, height).data, inside = new Uint8Array(width * height);
  for (let i = 0; i < inside.length; i++) inside[i] = values[4 * i] > 255 * threshold ? 1 : 0;
  return { region: { left: 0, top: 0, width, height, step: 1, inside }, scaleX: spanX / width, scaleY: spanY / height };
}

/** A map as a picture, transparent where it is low. `colours` is a list of [r, g, b] from low to high. */
export function colourMap(map, colours) {
  const { width, height } = map.bitmap;
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(map.bitmap, 0, 0);
  const picture = context.getImageData(0, 0, width, height), data = picture.data;
  for (let i = 0; i < data.length; i += 4) {
    const value = data[i] / 255, position = value * (colours.length - 1), low = Math.min(Math.floor(position), colours.length - 2);
    for (let k = 0; k < 3; k++) data[i + k] = colours[low][k] + (position - low) * (colours[low + 1][k] - colours[low][k]);
    data[i + 3] = 235 * Math.min(1, value * 1.35);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

export const RELEVANCE_COLOURS = [[60, 70, 190], [40, 170, 190], [240, 200, 60], [235, 70, 40]];
export const PROPOSAL_COLOURS = [[90, 40, 180], [150, 80, 250], [200, 150, 255]];
