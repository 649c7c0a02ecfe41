// Polygons: drawn vertex by vertex, and the vertices of an object that is there. Vertices are x, y in pixels of the
// image, whose first pixel reaches from 0 to 1.

import { get } from './api.js';
import { t } from './i18n.js';
import { paintRings, paintVertex } from './marks.js';

const REACH = 9;              // CSS pixels within which a vertex or an edge is under the pointer
const TOLERANCE = 1.2;        // CSS pixels that a simplified outline may be from the mask
const MIN_TOLERANCE = 0.7;    // pixels of the image
const MAX_VERTICES = 5000;

const round = (v) => Math.round(v * 100) / 100;
const vertex = ({ x, y }) => [round(x + 0.5), round(y + 0.5)];
const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

/** How far p is from the line between a and b. */
function toEdge(p, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]], length = dx * dx + dy * dy;
  const share = length ? Math.min(Math.max(((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / length, 0), 1) : 0;
  return distance(p, [a[0] + share * dx, a[1] + share * dy]);
}

/** Draws a new object: a press sets a vertex; one on the first vertex, Enter or a double click closes the polygon. */
export class PolygonTool {
  points = [];

  constructor(session, stage) {
    Object.assign(this, { session, stage });
    session.addEventListener('opening', () => this.cancel());
  }

  begin(at, { positive }) {
    if (!positive) return this.#back();
    const point = vertex(at), near = (other) => other && distance(point, other) * this.stage.scale < REACH;
    if (this.points.length > 2 && near(this.points[0])) return this.#close();
    if (!near(this.points.at(-1)) && this.points.length < MAX_VERTICES) this.points.push(point);
    this.pointer = point;
    return false;  // a press is all; moving draws the line to the next vertex
  }

  doubleClick() {
    this.#close();
  }

  hover(at) {
    if (!this.points.length) return;
    this.pointer = vertex(at);
    this.stage.draw();
  }

  key(key) {
    if (!this.points.length) return false;
    if (key === 'Enter') this.#close();
    else if (key === 'Backspace') this.#back();
    else return false;
    return true;
  }

  cancel() {
    if (!this.points.length) return false;
    this.points = [];
    this.stage.draw();
    return true;
  }

  #back() {
    this.points.pop();
    this.stage.draw();
    return false;
  }

  #close() {
    const { points } = this;
    if (points.length < 3) return false;
    this.points = [];
    this.session.select(null);
    this.session.act({ kind: 'polygon', rings: [points] });
    this.stage.draw();
    return false;
  }

  paint(c, scale) {
    if (!this.points.length) return;
    const colour = this.session.colourOf({ label: this.session.label });
    paintRings(c, scale, [[...this.points, this.pointer]], colour, false);
    this.points.forEach((point, i) => paintVertex(c, scale, point, colour, i === 0));
  }
}

/**
 * Moves, inserts and deletes the vertices of the active object's outline, which is simplified; or the corners of a box.
 * Every change is an action of its own.
 */
export class VertexTool {
  rings = null;
  #shape = null;     // the mask's number, or the box, that the rings are of
  #awaited = false;  // whether the next shape is the one that was made of the rings
  #held = null; #hovered = null;  // { ring, index }

  constructor(session, stage) {
    Object.assign(this, { session, stage });
    session.addEventListener('state', () => this.#load());
    session.addEventListener('opening', () => this.stop());
  }

  start() {
    this.active = true;
    if (!this.session.object) this.session.notice(t('tools.vertices-need-object'), false);
    this.#load();
  }

  stop() {
    this.active = false;
    this.rings = this.#shape = this.#held = this.#hovered = null;
    this.#awaited = false;
    this.stage.draw();
  }

  get #isBox() {
    return !this.session.object?.area;
  }

  async #load() {
    const { object, row } = this.session;
    if (!this.active) return;
    if (!object) this.rings = this.#shape = null;
    if (!object || this.session.pending.length) return this.stage.draw();
    const shape = `${object.id} ${object.area ? object.mask : object.rectangle}`, awaited = this.#awaited;
    this.#awaited = false;
    if (shape === this.#shape) return;
    this.#shape = shape;
    if (awaited) return;
    this.#held = this.#hovered = null;
    if (!object.area) {
      const [x0, y0, x1, y1] = object.rectangle ?? [0, 0, 0, 0];
      this.rings = object.rectangle ? [[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]] : null;
      return this.stage.draw();
    }
    const tolerance = Math.max(TOLERANCE / this.stage.scale, MIN_TOLERANCE).toFixed(2);
    try {
      const { rings } = await get(`/api/images/${row.id}/objects/${object.id}/outline?tolerance=${tolerance}`);
      if (this.#shape === shape) this.rings = rings;
    } catch (error) {
      this.session.notice(error.message);
    }
    this.stage.draw();
  }

  begin(at, { positive }) {
    if (!this.rings) return false;
    const point = vertex(at), found = this.#vertexAt(point);
    if (!positive) return found ? this.#delete(found) : false;
    this.#held = found ?? this.#insertAt(point);
    this.moved = this.#held !== null && !found;
    return this.#held !== null;
  }

  move(at) {
    if (!this.#held) return;
    const { width, height } = this.session.image, [x, y] = vertex(at), { ring, index } = this.#held;
    const [cx, cy] = [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
    this.moved = true;
    ring[index] = [cx, cy];
    if (this.#isBox) {  // its neighbours move along
      ring[index ^ 1][1] = cy;
      ring[3 - index][0] = cx;
    }
  }

  end() {
    const { moved } = this;
    this.#held = null;
    if (moved) this.#send();
  }

  hover(at) {
    const found = this.rings && this.#vertexAt(vertex(at));
    if (found?.ring === this.#hovered?.ring && found?.index === this.#hovered?.index) return;
    this.#hovered = found;
    this.stage.draw();
  }

  key(key) {
    if (key !== 'Delete' && key !== 'Backspace') return false;
    if (!this.#hovered) return false;
    this.#delete(this.#hovered);
    return true;
  }

  #vertexAt(point) {
    let best = null, least = REACH / this.stage.scale;
    for (const ring of this.rings) {
      ring.forEach((other, index) => {
        const far = distance(point, other);
        if (far <= least) [best, least] = [{ ring, index }, far];
      });
    }
    return best;
  }

  /** A new vertex on the edge under the pointer; null where there is none. */
  #insertAt(point) {
    if (this.#isBox) return null;
    let best = null, least = REACH / this.stage.scale;
    for (const ring of this.rings) {
      ring.forEach((a, index) => {
        const far = toEdge(point, a, ring[(index + 1) % ring.length]);
        if (far <= least) [best, least] = [{ ring, index: index + 1 }, far];
      });
    }
    best?.ring.splice(best.index, 0, point);
    return best;
  }

  /** Without its third last vertex a ring goes as a whole: a hole is filled, a piece dropped. The last ring stays. */
  #delete({ ring, index }) {
    if (this.#isBox || (ring.length <= 3 && this.rings.length === 1)) return false;
    if (ring.length > 3) ring.splice(index, 1);
    else this.rings.splice(this.rings.indexOf(ring), 1);
    this.#hovered = null;
    this.#send();
    return false;
  }

  async #send() {
    this.#awaited = true;
    this.stage.draw();
    if (!await this.session.act(this.#isBox ? { kind: 'rectangle', box: this.#box() } : { kind: 'polygon', rings: this.rings })) this.#reload();
  }

  #box() {
    const xs = this.rings[0].map(([x]) => x), ys = this.rings[0].map(([, y]) => y);
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }

  #reload() {
    this.#shape = this.#held = null;
    this.#awaited = false;
    this.#load();
  }

  cancel() {
    if (!this.#held) return false;
    this.#reload();
    return true;
  }

  paint(c, scale) {
    this.stage.canvas.dataset.vertices = this.rings?.reduce((sum, ring) => sum + ring.length, 0) ?? '';
    if (!this.active || !this.rings) return;
    const colour = this.session.colourOf(this.session.object);
    paintRings(c, scale, this.rings, colour, true);
    for (const ring of this.rings) ring.forEach((point, index) => paintVertex(c, scale, point, colour, ring === this.#hovered?.ring && index === this.#hovered.index));
  }
}
