// Which objects are at a place of the image, and how far away one is.

import { decodeMask } from './mask.js';

const MAX_PIXELS = 1e6;  // of a mask; of a larger image's masks every n-th pixel is looked at

export class Hits {
  #regions = new WeakMap();  // by the mask as the server sent it

  constructor(session) {
    this.session = session;
  }

  /** The objects whose masks contain a place, smallest first. */
  at({ x, y }) {
    const found = (this.session.state?.objects ?? []).filter((object) => this.contains(object, { x, y }));
    return found.sort((a, b) => (a.area ?? 0) - (b.area ?? 0));
  }

  contains(object, { x, y }) {
    const region = this.#region(object);
    if (!region) return false;
    const column = Math.floor((x + 0.5 - region.left) / region.step), row = Math.floor((y + 0.5 - region.top) / region.step);
    return column >= 0 && row >= 0 && column < region.width && row < region.height && region.inside[row * region.width + column] === 1;
  }

  /** Pixels from a place, or from a box x0, y0, x1, y1, to the nearest pixel of an object; null without a mask. */
  distance(object, [x0, y0, x1, y1]) {
    const region = this.#region(object);
    if (!region) return null;
    const { left, top, width, height, step, inside } = region;
    let nearest = Infinity;
    for (let row = 0; row < height; row++) {
      const y = top + row * step, dy = Math.max(y0 - y, y - y1, 0);
      if (dy * dy >= nearest) continue;
      for (let column = 0; column < width; column++) {
        if (!inside[row * width + column]) continue;
        const x = left + column * step, dx = Math.max(x0 - x, x - x1, 0), squared = dx * dx + dy * dy;
        if (squared < nearest) nearest = squared;
      }
    }
    return Math.sqrt(nearest);
  }

  /** An object's decoded mask; null where it has no pixel. */
  #region(object) {
    const packed = this.session.masks.get(object.mask);
    if (!packed) return null;
    if (!this.#regions.has(packed)) {
      const step = Math.max(Math.ceil(Math.sqrt((packed.size[0] * packed.size[1]) / MAX_PIXELS)), 1);
      this.#regions.set(packed, decodeMask(packed, step));
    }
    return this.#regions.get(packed);
  }
}
