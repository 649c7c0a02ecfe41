// Connected components of a mask (saywhere.core.components).

import { roundHalfEven } from './crop.js';

/** Numbers of the connected components of what is above 0 (8 neighbours; 0: background), and their areas by number. */
export function connectedComponents(values, width, height) {
  const labels = new Int32Array(width * height), stack = [], areas = [0];
  for (let start = 0; start < labels.length; start++) {
    if (labels[start] || !(values[start] > 0)) continue;
    const label = areas.length;
    let area = 0;
    labels[start] = label;
    stack.push(start);
    while (stack.length) {
      const at = stack.pop(), x = at % width, y = (at - x) / width;
      area++;
      for (let dy = y > 0 ? -1 : 0; dy <= (y < height - 1 ? 1 : 0); dy++) {
        for (let dx = x > 0 ? -1 : 0; dx <= (x < width - 1 ? 1 : 0); dx++) {
          const next = at + dy * width + dx;
          if (!labels[next] && values[next] > 0) { labels[next] = label; stack.push(next); }
        }
      }
    }
    areas.push(area);
  }
  return { labels, areas };
}

/**
 * Logits without the components that no positive click is on: all of them after one positive click, after several those
 * smaller than `minShare` of the largest clicked one. Clicks are in pixels of the logits.
 */
export function removeUnclickedComponents(logits, width, height, clicks, minShare) {
  const positive = clicks.filter((c) => c.positive);
  const { labels, areas } = connectedComponents(logits, width, height);
  const clicked = new Set(positive.map((c) => {
    const x = Math.min(Math.max(roundHalfEven(c.x), 0), width - 1), y = Math.min(Math.max(roundHalfEven(c.y), 0), height - 1);
    return labels[y * width + x];
  }));
  clicked.delete(0);
  if (areas.length <= 2 || !clicked.size) return logits;
  const minArea = positive.length === 1 ? Infinity : minShare * Math.max(...[...clicked].map((label) => areas[label]));
  const removed = areas.map((area, label) => label > 0 && !clicked.has(label) && area < minArea);
  return logits.map((value, i) => (removed[labels[i]] ? -value : value));
}
