// Masks: from COCO run lengths to pixels, from pixels to a picture and an outline.

/** COCO's compressed run lengths to numbers. */
export function runs(counts) {
  const found = [];
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
    found.push(found.length > 2 ? value + found[found.length - 2] : value);
  }
  return found;
}

/** A mask of the contract to { left, top, width, height, inside: Uint8Array }; null when it has no pixel. */
export function decode({ size, counts }) {
  const height = size[0], lengths = runs(counts);
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
  const width = right - left + 1, rows = bottom - top + 1, inside = new Uint8Array(width * rows);
  at = 0;
  for (let i = 0; i < lengths.length; i++) {
    if (i % 2) {
      let column = Math.floor(at / height), row = at - column * height;
      for (let k = lengths[i]; k > 0; k--) {
        inside[(row - top) * width + column - left] = 1;
        if (++row === height) { row = 0; column++; }
      }
    }
    at += lengths[i];
  }
  return { left, top, width, height: rows, inside };
}

/** A picture of a region in one colour (#rrggbb), opaque inside. */
export function tinted(region, colour) {
  const canvas = new OffscreenCanvas(region.width, region.height), context = canvas.getContext('2d');
  const picture = context.createImageData(region.width, region.height);
  const words = new Uint32Array(picture.data.buffer);
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const word = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;  // little-endian: a, b, g, r
  for (let i = 0; i < words.length; i++) if (region.inside[i]) words[i] = word;
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** The edges between inside and outside as a path, in pixels of the photograph whose first pixel begins at 0, 0. */
export function outline({ left, top, width, height, inside }) {
  const path = new Path2D(), wide = width + 2;
  const padded = new Uint8Array(wide * (height + 2));  // a rim of outside, so that no neighbour need be asked for
  for (let y = 0; y < height; y++) padded.set(inside.subarray(y * width, (y + 1) * width), (y + 1) * wide + 1);
  for (let y = 1; y <= height + 1; y++) {
    for (let x = 1, i = y * wide + 1; x <= width; x++, i++) {
      if (padded[i] === padded[i - wide]) continue;
      const start = x;
      while (padded[i + 1] !== padded[i + 1 - wide]) { x++; i++; }
      path.moveTo(left + start - 1, top + y - 1);
      path.lineTo(left + x, top + y - 1);
    }
  }
  for (let x = 1; x <= width + 1; x++) {
    for (let y = 1, i = wide + x; y <= height; y++, i += wide) {
      if (padded[i] === padded[i - 1]) continue;
      const start = y;
      while (y < height && padded[i + wide] !== padded[i + wide - 1]) { y++; i += wide; }
      path.moveTo(left + x - 1, top + start - 1);
      path.lineTo(left + x - 1, top + y);
    }
  }
  return path;
}

/** What a map of probabilities gives when cut at a threshold, over its rectangle (at most 1024 pixels wide or high). */
export function cut(map, threshold) {
  const spanX = map.right - map.left, spanY = map.bottom - map.top;
  const scale = Math.min(1, 1024 / Math.max(spanX, spanY));
  const width = Math.max(1, Math.round(spanX * scale)), height = Math.max(1, Math.round(spanY * scale));
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(map.image, 0, 0, width, height);
  const values = context.getImageData(0, 0, width, height).data, inside = new Uint8Array(width * height);
  for (let i = 0; i < inside.length; i++) inside[i] = values[4 * i] > 255 * threshold ? 1 : 0;
  return { region: { left: 0, top: 0, width, height, inside }, scaleX: spanX / width, scaleY: spanY / height };
}

/** A map as a picture: warm where it is high, clear where it is low. `colours` is a list of [r, g, b] from low to high. */
export function heatPicture(map, colours) {
  const { width, height } = map.image;
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(map.image, 0, 0);
  const picture = context.getImageData(0, 0, width, height), data = picture.data;
  for (let i = 0; i < data.length; i += 4) {
    const value = data[i] / 255, place = value * (colours.length - 1), low = Math.min(Math.floor(place), colours.length - 2);
    for (let k = 0; k < 3; k++) data[i + k] = colours[low][k] + (place - low) * (colours[low + 1][k] - colours[low][k]);
    data[i + 3] = 235 * Math.min(1, value * 1.35);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

export const WARM = [[60, 70, 190], [40, 170, 190], [240, 200, 60], [235, 70, 40]];
export const PURPLE = [[90, 40, 180], [150, 80, 250], [200, 150, 255]];
