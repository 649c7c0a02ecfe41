// What is drawn over the image: clicks, boxes, gestures in progress, names. `c` is a canvas context whose coordinates
// are pixels of the image; `scale` is the number of CSS pixels to one of these.

import { isLight } from './colours.js';

const POSITIVE = '#12b76a', NEGATIVE = '#e5304f', PROPOSED = '#8b3ff0';
const ERASED = '#20242c';

function dot(c, scale, x, y, colour, radius) {
  c.beginPath();
  c.arc(x + 0.5, y + 0.5, radius / scale, 0, 7);
  c.fillStyle = colour;
  c.fill();
  c.lineWidth = 2 / scale;
  c.strokeStyle = '#fff';
  c.stroke();
}

function circle(c, scale, x, y, radius, colour) {
  c.beginPath();
  c.arc(x + 0.5, y + 0.5, radius, 0, 7);
  c.lineWidth = 3.4 / scale;
  c.strokeStyle = 'rgb(255 255 255 / 75%)';
  c.stroke();
  c.lineWidth = 1.8 / scale;
  c.strokeStyle = colour;
  c.stroke();
}

export function paintClick(c, scale, { x, y, positive, radius }, alpha) {
  const colour = positive ? POSITIVE : NEGATIVE;
  c.globalAlpha = alpha;
  if (radius) {
    c.setLineDash([6 / scale, 4 / scale]);
    circle(c, scale, x, y, radius, colour);
    c.setLineDash([]);
  }
  dot(c, scale, x, y, colour, 5.5);
  // Distinguishable without colour too: a minus for negative clicks, a plus for positive ones.
  c.beginPath();
  const arm = 2.6 / scale;
  c.moveTo(x + 0.5 - arm, y + 0.5);
  c.lineTo(x + 0.5 + arm, y + 0.5);
  if (positive) { c.moveTo(x + 0.5, y + 0.5 - arm); c.lineTo(x + 0.5, y + 0.5 + arm); }
  c.lineWidth = 1.5 / scale;
  c.strokeStyle = '#fff';
  c.stroke();
  c.globalAlpha = 1;
}

/** A box by its edges x0, y0, x1, y1, on which pixels begin and end. */
export function paintBox(c, scale, [x0, y0, x1, y1], alpha) {
  c.globalAlpha = alpha;
  c.lineJoin = 'miter';
  c.lineWidth = 3.4 / scale;
  c.strokeStyle = 'rgb(255 255 255 / 75%)';
  c.strokeRect(x0, y0, x1 - x0, y1 - y0);
  c.lineWidth = 1.8 / scale;
  c.strokeStyle = POSITIVE;
  c.setLineDash([6 / scale, 4 / scale]);
  c.strokeRect(x0, y0, x1 - x0, y1 - y0);
  c.setLineDash([]);
  c.globalAlpha = 1;
}

/** An object that is only a box. */
export function paintRectangle(c, scale, [x0, y0, x1, y1], colour, strength) {
  const path = new Path2D();
  path.rect(x0, y0, x1 - x0, y1 - y0);
  c.globalAlpha = strength;
  doubleStroke(c, scale, colour, 2, path);
  c.globalAlpha = 1;
}

export function paintProposal(c, scale, { x, y }) {
  c.beginPath();
  c.arc(x + 0.5, y + 0.5, 15 / scale, 0, 7);
  c.fillStyle = 'rgb(139 63 240 / 28%)';
  c.fill();
  dot(c, scale, x, y, PROPOSED, 7.5);
}

function paintCrosshair(c, scale, { x, y }) {
  for (const [width, colour] of [[4, 'rgb(0 0 0 / 55%)'], [1.6, '#fff']]) {
    c.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      c.moveTo(x + 0.5 + (4 * dx) / scale, y + 0.5 + (4 * dy) / scale);
      c.lineTo(x + 0.5 + (18 * dx) / scale, y + 0.5 + (18 * dy) / scale);
    }
    c.lineWidth = width / scale;
    c.strokeStyle = colour;
    c.stroke();
  }
}

const GESTURES = {
  press(c, scale, { x, y, positive, radius }) {
    const colour = positive ? POSITIVE : NEGATIVE;
    if (radius) {
      circle(c, scale, x, y, radius, colour);
      tint(c, colour, 0.12, () => c.fill());
    }
    dot(c, scale, x, y, colour, 5.5);
  },

  box(c, scale, { x0, y0, x1, y1 }) {
    paintBox(c, scale, [x0, y0, x1, y1], 1);
    tint(c, POSITIVE, 0.12, () => c.fillRect(x0, y0, x1 - x0, y1 - y0));
  },

  stroke(c, scale, { paint, points, radius }, colour) {
    c.globalAlpha = 0.55;
    c.strokeStyle = paint ? colour : ERASED;
    c.lineWidth = 2 * radius;
    c.lineCap = c.lineJoin = 'round';
    line(c, points);
    if (points.length === 1) c.lineTo(points[0][0] + 0.51, points[0][1] + 0.5);
    c.stroke();
    c.globalAlpha = 1;
  },

  lasso(c, scale, { paint, points }, colour) {
    line(c, points);
    tint(c, paint ? colour : ERASED, 0.3, () => c.fill('evenodd'));
    doubleStroke(c, scale, paint ? colour : ERASED);
  },
};

/** A press, box, stroke or lasso in progress; `colour` is that of the object. */
export function paintGesture(c, scale, gesture, colour) {
  GESTURES[gesture.kind]?.(c, scale, gesture, colour);
}

/** The brush or the keyboard's crosshair. */
export function paintPointer(c, scale, pointer) {
  if (pointer.radius) circle(c, scale, pointer.x, pointer.y, pointer.radius, ERASED);
  if (pointer.crosshair) paintCrosshair(c, scale, pointer);
}

/** An object's name above a rectangle of the image, on a ground of the object's colour. */
export function paintName(c, scale, name, { left, top, width }, colour) {
  c.save();
  c.translate(left + width / 2, top);
  c.scale(1 / scale, 1 / scale);
  c.font = ['500', '12px', getComputedStyle(document.documentElement).fontFamily].join(' ');
  c.textAlign = 'center';
  c.textBaseline = 'middle';
  const half = Math.ceil(c.measureText(name).width / 2) + 6;
  c.beginPath();
  c.roundRect(-half, -22, 2 * half, 18, 4);
  c.fillStyle = colour;
  c.fill();
  c.fillStyle = isLight(colour) ? '#14161b' : '#fff';
  c.fillText(name, 0, -12.5);
  c.restore();
}

/** Closed lines, or an open one, through vertices on the edges of pixels. */
export function paintRings(c, scale, rings, colour, closed) {
  c.beginPath();
  for (const ring of rings) {
    ring.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
    if (closed) c.closePath();
  }
  doubleStroke(c, scale, colour, 1.8);
}

export function paintVertex(c, scale, [x, y], colour, large) {
  const half = (large ? 6 : 3.5) / scale;
  c.fillStyle = large ? colour : '#fff';
  c.strokeStyle = large ? '#fff' : colour;
  c.lineWidth = 1.6 / scale;
  c.fillRect(x - half, y - half, 2 * half, 2 * half);
  c.strokeRect(x - half, y - half, 2 * half, 2 * half);
}

/** A line of a colour with a white border, which is seen on every image. */
export function doubleStroke(c, scale, colour, width = 1.6, path = null) {
  c.lineJoin = 'bevel';
  for (const [wide, style] of [[width + 1.6, 'rgb(255 255 255 / 85%)'], [width, colour]]) {
    c.lineWidth = wide / scale;
    c.strokeStyle = style;
    if (path) c.stroke(path); else c.stroke();
  }
}

function line(c, points) {
  c.beginPath();
  points.forEach(([x, y], i) => (i ? c.lineTo(x + 0.5, y + 0.5) : c.moveTo(x + 0.5, y + 0.5)));
}

function tint(c, colour, alpha, fill) {
  c.globalAlpha = alpha;
  c.fillStyle = colour;
  fill();
  c.globalAlpha = 1;
}
