// Rectangles of an image at some scale, which is what the network encodes (saywhere.core.crop).

export const MIN_SIDE = 32;      // pixels of the image; a smaller crop shows nothing more

/** Round as Python does: halves to the even number. */
export function roundHalfEven(value) {
  const low = Math.floor(value), rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function atLeast(low, high, least, extent) {
  if (high - low >= least) return [low, high];
  low = clamp(Math.floor((low + high - least) / 2), 0, extent - least);
  return [low, low + least];
}

/** Pixels [left, right) x [top, bottom) of an image, resized to width x height. */
export class Crop {
  constructor(left, top, right, bottom, width, height) {
    Object.assign(this, { left, top, right, bottom, width, height });
  }

  /** The crop of a box, which may reach beyond the image; `size` is { width, height } of the image. */
  static fromBox(box, size, longerSide) {
    let left = Math.max(Math.floor(box[0]), 0), top = Math.max(Math.floor(box[1]), 0);
    let right = Math.min(Math.ceil(box[2]), size.width), bottom = Math.min(Math.ceil(box[3]), size.height);
    [left, right] = atLeast(left, right, Math.min(MIN_SIDE, size.width), size.width);
    [top, bottom] = atLeast(top, bottom, Math.min(MIN_SIDE, size.height), size.height);
    return new Crop(left, top, right, bottom, right - left, bottom - top).resized(longerSide);
  }

  /** The crop of the same pixels at another scale. */
  resized(longerSide) {
    const { left, top, right, bottom } = this, scale = longerSide / this.longerSide;
    const [width, height] = [right - left, bottom - top].map((side) => Math.max(roundHalfEven(side * scale), 1));
    return new Crop(left, top, right, bottom, width, height);
  }

  /** In pixels of the image. */
  get longerSide() {
    return Math.max(this.right - this.left, this.bottom - this.top);
  }

  get scales() {
    return [this.width / (this.right - this.left), this.height / (this.bottom - this.top)];
  }

  get key() {
    return [this.left, this.top, this.right, this.bottom, this.width, this.height].join();
  }

  equals(other) {
    return this.key === other.key;
  }

  contains(other) {
    return this.left <= other.left && this.top <= other.top && this.right >= other.right && this.bottom >= other.bottom;
  }

  /** Whether a box ends at a side of the crop that is not a side of the image. */
  isTruncated(box, size) {
    const edge = 2 * (this.right - this.left) / this.width;
    return (this.left > 0 && box[0] < this.left + edge) || (this.top > 0 && box[1] < this.top + edge)
      || (this.right < size.width && box[2] > this.right - edge) || (this.bottom < size.height && box[3] > this.bottom - edge);
  }

  /** A prompt of the image in pixels of the crop. */
  toCrop({ clicks, box }) {
    const scale = this.scales[0];
    return {
      clicks: clicks.map((c) => ({
        ...c, x: (c.x + 0.5 - this.left) * scale - 0.5, y: (c.y + 0.5 - this.top) * scale - 0.5, radius: c.radius && c.radius * scale,
      })),
      box: box && box.map((edge, i) => (edge - (i % 2 ? this.top : this.left)) * scale),
    };
  }

  /** The box in the image around what is above 0 in a map of this crop; null where nothing is. */
  boundingBox(values) {
    const box = boundingBox(values, this.width, this.height), [sx, sy] = this.scales;
    return box && box.map((edge, i) => (i % 2 ? this.top + edge / sy : this.left + edge / sx));
  }
}

/** [left, top, right, bottom] around the values above 0 of a map; null where there are none. */
export function boundingBox(values, width, height) {
  let left = width, right = -1, top = height, bottom = -1;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!(values[i] > 0)) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return right < 0 ? null : [left, top, right + 1, bottom + 1];
}
