// COCO's run lengths: pixels are numbered column by column, runs alternate between background and object.

/** The runs of a part { left, top, width, height, inside } of an image, as numbers. */
export function runsOf(part, size) {
  const runs = [];
  let value = 0, length = 0;
  const add = (next, count) => {
    if (next === value) length += count;
    else { runs.push(length); value = next; length = count; }
  };
  add(0, part.left * size.height);
  for (let x = 0; x < part.width; x++) {
    add(0, part.top);
    for (let y = 0, i = x; y < part.height; y++, i += part.width) add(part.inside[i], 1);
    add(0, size.height - part.top - part.height);
  }
  add(0, (size.width - part.left - part.width) * size.height);
  runs.push(length);
  return runs;
}

/** Runs in COCO's compressed form; from the third on, each is stored as its difference to the one before last. */
export function compress(runs) {
  let text = '';
  runs.forEach((run, i) => {
    let value = i > 2 ? run - runs[i - 2] : run, more = true;
    while (more) {
      let bits = value & 31;
      value >>= 5;
      more = bits & 16 ? value !== -1 : value !== 0;
      if (more) bits |= 32;
      text += String.fromCharCode(bits + 48);
    }
  });
  return text;
}

/** Area and COCO's bounding box [x, y, width, height] of a part; null for an empty one. */
export function measure(part) {
  let area = 0, left = part.width, right = -1, top = part.height, bottom = -1;
  for (let y = 0, i = 0; y < part.height; y++) {
    for (let x = 0; x < part.width; x++, i++) {
      if (!part.inside[i]) continue;
      area++;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return area ? { area, bbox: [part.left + left, part.top + top, right - left + 1, bottom - top + 1] } : null;
}
