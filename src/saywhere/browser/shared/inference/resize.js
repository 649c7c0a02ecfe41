// Resizing as OpenCV does it, so that the network sees what it sees in the library.

/** Where each of `count` pixels lies among `length` ones: index of the lower one and weight of the upper one. */
function places(count, length, scale) {
  const low = new Int32Array(count), weight = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const place = Math.min(Math.max((i + 0.5) * scale - 0.5, 0), length - 1);
    low[i] = Math.min(Math.floor(place), Math.max(length - 2, 0));
    weight[i] = place - low[i];
  }
  return { low, weight };
}

/** For each of `count` pixels the ones of `length` that it covers, with their shares. */
function covered(count, length) {
  const scale = length / count;
  return Array.from({ length: count }, (_, i) => {
    const begin = i * scale, end = Math.min(begin + scale, length), parts = [];
    for (let j = Math.floor(begin); j < end - 1e-6; j++) {
      const share = Math.min(j + 1, end) - Math.max(j, begin);
      if (share > 1e-3) parts.push([j, share / (end - begin)]);
    }
    return parts;
  });
}

/**
 * A crop of a picture { width, height, data } (RGBA bytes) as RGB bytes, with the last row and column repeated until both
 * sides are multiples of `multiple`.
 */
export function cropPixels(picture, crop, multiple) {
  const { width, height } = crop, w = crop.right - crop.left, h = crop.bottom - crop.top;
  const values = width <= w && height <= h ? shrunk(picture, crop, w, h) : enlarged(picture, crop, w, h);
  const fullWidth = Math.ceil(width / multiple) * multiple, fullHeight = Math.ceil(height / multiple) * multiple;
  const pixels = new Uint8Array(fullWidth * fullHeight * 3);
  for (let y = 0, to = 0; y < fullHeight; y++) {
    const row = Math.min(y, height - 1) * width;
    for (let x = 0; x < fullWidth; x++) {
      const from = (row + Math.min(x, width - 1)) * 3;
      for (let k = 0; k < 3; k++) pixels[to++] = values[from + k] + 0.5;
    }
  }
  return { pixels, width: fullWidth, height: fullHeight };
}

function shrunk({ width: stride, data }, crop, w, h) {
  const columns = covered(crop.width, w), rows = covered(crop.height, h);
  const values = new Float32Array(crop.width * crop.height * 3);
  rows.forEach((lines, y) => {
    for (const [line, share] of lines) {
      const start = ((crop.top + line) * stride + crop.left) * 4;
      for (let x = 0, to = y * crop.width * 3; x < crop.width; x++, to += 3) {
        const parts = columns[x];
        let r = 0, g = 0, b = 0;
        for (let i = 0; i < parts.length; i++) {
          const from = start + parts[i][0] * 4, part = parts[i][1];
          r += part * data[from]; g += part * data[from + 1]; b += part * data[from + 2];
        }
        values[to] += share * r; values[to + 1] += share * g; values[to + 2] += share * b;
      }
    }
  });
  return values;
}

function enlarged({ width: stride, data }, crop, w, h) {
  const across = places(crop.width, w, w / crop.width), down = places(crop.height, h, h / crop.height);
  const values = new Float32Array(crop.width * crop.height * 3);
  for (let y = 0, to = 0; y < crop.height; y++) {
    const upper = (crop.top + down.low[y]) * stride + crop.left, lower = upper + (down.low[y] + 1 < h ? stride : 0), v = down.weight[y];
    for (let x = 0; x < crop.width; x++) {
      const left = across.low[x], right = left + (left + 1 < w ? 1 : 0), u = across.weight[x];
      for (let k = 0; k < 3; k++) {
        const top = data[(upper + left) * 4 + k] * (1 - u) + data[(upper + right) * 4 + k] * u;
        const bottom = data[(lower + left) * 4 + k] * (1 - u) + data[(lower + right) * 4 + k] * u;
        values[to++] = top * (1 - v) + bottom * v;
      }
    }
  }
  return values;
}

/** A map of one crop in another crop; `outside` where the first does not reach. */
export function resample(values, crop, into, outside) {
  if (crop.equals(into)) return values;
  const [sx, sy] = crop.scales, [tx, ty] = into.scales, { width, height } = crop;
  const ax = sx / tx, ay = sy / ty;
  const bx = (0.5 / tx + into.left - crop.left) * sx - 0.5, by = (0.5 / ty + into.top - crop.top) * sy - 0.5;
  const result = new Float32Array(into.width * into.height);
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? outside : values[y * width + x]);
  for (let row = 0, i = 0; row < into.height; row++) {
    const y = ay * row + by, y0 = Math.floor(y), v = y - y0;
    for (let column = 0; column < into.width; column++, i++) {
      const x = ax * column + bx, x0 = Math.floor(x), u = x - x0;
      result[i] = (at(x0, y0) * (1 - u) + at(x0 + 1, y0) * u) * (1 - v) + (at(x0, y0 + 1) * (1 - u) + at(x0 + 1, y0 + 1) * u) * v;
    }
  }
  return result;
}

/** Where a map is above a limit when it is enlarged bilinearly to width x height: 0 or 1 for each pixel. */
export function enlargedAbove(values, from, width, height, limit) {
  const inside = new Uint8Array(width * height), wide = new Float32Array(width * from.height);
  const across = places(width, from.width, from.width / width), down = places(height, from.height, from.height / height);
  for (let y = 0, i = 0; y < from.height; y++) {
    const row = y * from.width;
    for (let x = 0; x < width; x++, i++) {
      const left = row + across.low[x], right = from.width > 1 ? left + 1 : left;
      wide[i] = values[left] * (1 - across.weight[x]) + values[right] * across.weight[x];
    }
  }
  for (let y = 0, i = 0; y < height; y++) {
    const upper = down.low[y] * width, lower = from.height > 1 ? upper + width : upper, v = down.weight[y];
    for (let x = 0; x < width; x++, i++) if (wide[upper + x] * (1 - v) + wide[lower + x] * v > limit) inside[i] = 1;
  }
  return inside;
}
