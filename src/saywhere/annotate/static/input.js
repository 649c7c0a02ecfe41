// Mouse, pen and touch on the image: clicks, drags, boxes, brush strokes, zoom and pan.

import { t } from './i18n.js';
import { Lasso } from './lasso.js';
import { PolygonTool, VertexTool } from './polygon.js';

const CLICK_TOLERANCE = 5;        // CSS pixels that the pointer may move within a click
const MIN_BOX = 3;                // CSS pixels of a box's sides; a smaller one is ignored
const WHEEL_STEP = 40;            // CSS pixels of wheel movement from one candidate mask to the next
const MAX_POINTS = 4000;

export class PointerInput {
  tool = 'click'; positive = true; brush = 18; spaceHeld = false; panned = false;
  wheelStepped = false;        // whether the wheel was turned from one candidate mask to another since Alt was pressed
  take = () => false;          // what uses a positive click before it becomes one; true where it did
  crosshair = null;            // position of the keyboard's crosshair, while it is shown
  #pointers = new Map(); #pinch = null; #press = null; #wheelTurn = 0;

  constructor(canvas, session, stage) {
    Object.assign(this, { canvas, session, stage });
    this.tools = { lasso: new Lasso(session, stage), polygon: new PolygonTool(session, stage), vertices: new VertexTool(session, stage) };
    for (const tool of Object.values(this.tools)) if (tool.paint) stage.overlays.push((c, scale) => tool.paint(c, scale));
    canvas.addEventListener('pointerdown', (e) => this.#down(e));
    canvas.addEventListener('pointermove', (e) => this.#move(e));
    canvas.addEventListener('pointerup', (e) => this.#up(e));
    canvas.addEventListener('pointercancel', (e) => this.#cancel(e));
    canvas.addEventListener('pointerleave', () => { if (!this.#press) this.#showPointer(null); this.stage.setHovered(null); });
    canvas.addEventListener('dblclick', () => this.special?.doubleClick?.());
    canvas.addEventListener('contextmenu', (e) => e.preventDefault());
    canvas.addEventListener('wheel', (e) => this.#wheel(e), { passive: false });
  }

  setTool(tool) {
    const problem = tool === 'box' ? this.session.boxProblem : null;
    if (problem) return this.session.notice(problem);
    if (this.stage.gesture?.kind === 'box') this.cancelGesture();
    this.special?.cancel?.();
    this.special?.stop?.();
    this.tool = tool;
    this.special?.start?.();
    this.#showPointer(null);
    this.#setCursor();
    this.session.emit('tool');
  }

  setSign(positive) {
    if (!positive && !this.session.project.negative_clicks) return this.session.notice(this.session.clickProblem(false));
    this.positive = positive;
    this.session.emit('tool');
  }

  setBrush(size) {
    this.brush = Math.min(Math.max(Math.round(size), 2), 120);
    if (this.stage.pointer?.radius) this.stage.pointer.radius = this.radius;
    this.stage.draw();
    this.session.emit('tool');
  }

  /** The brush's radius in pixels of the image. */
  get radius() {
    return Math.min(Math.max(this.brush / 2 / this.stage.scale, 0.5), 2000);
  }

  #position(e) {
    const box = this.canvas.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  #setCursor() {
    this.canvas.dataset.cursor = this.spaceHeld ? 'move' : this.#brushes ? 'none' : '';
  }

  /** The tool that is a part of its own; null for clicks, boxes and brushes. */
  get special() {
    return this.tools[this.tool] ?? null;
  }

  get #brushes() {
    return this.tool === 'brush' || this.tool === 'eraser';
  }

  setSpace(held) {
    this.spaceHeld = held;
    if (held) this.panned = false;
    this.#setCursor();
  }

  #down(e) {
    this.canvas.focus({ preventScroll: true });
    const [px, py] = this.#position(e);
    this.#pointers.set(e.pointerId, [px, py]);
    try { this.canvas.setPointerCapture(e.pointerId); } catch { /* a pointer that is gone already */ }
    if (this.#pointers.size === 2 && e.pointerType === 'touch') {
      // A second finger: the first one's press was the start of a pinch.
      this.#press = this.stage.gesture = null;
      this.#pinch = this.#pinchState();
      return this.stage.draw();
    }
    if (this.#press || this.#pinch || !this.session.image) return;
    if (e.button === 1 || (e.button === 0 && this.spaceHeld)) {
      this.#press = { pan: true, px, py };
      this.canvas.dataset.cursor = 'move';
      return e.preventDefault();
    }
    const eraser = e.button === 5;  // a pen's other end
    if (e.button !== 0 && e.button !== 2 && !eraser) return;
    const inverted = e.button === 2 || eraser, at = this.stage.toImage(px, py);
    if (this.tool === 'click') this.#beginPress(px, py, at, inverted ? !this.positive : this.positive);
    else if (this.tool === 'box' || this.tool === 'rectangle') { if (!inverted) this.#beginBox(px, py, at); }
    else if (this.special) this.#beginSpecial(px, py, at, inverted ? !this.positive : this.positive);
    else this.#beginStroke(px, py, at, (this.tool === 'brush') !== inverted);
  }

  #beginSpecial(px, py, at, positive) {
    const { study } = this.session.project;
    if (study) return this.session.notice(t('tools.not-in-study', { study }));
    if (this.special.begin(at, { positive })) this.#press = { px, py, special: true };
    this.stage.draw();
  }

  #beginPress(px, py, at, positive) {
    if (!this.stage.contains(at)) return;
    const problem = this.session.clickProblem(positive, true);
    if (problem) return this.session.notice(problem);
    this.#press = { px, py };
    this.stage.gesture = { kind: 'press', ...at, positive, radius: null };
    this.stage.draw();
  }

  /** A box may begin outside the image: it is cut off at the border. */
  #beginBox(px, py, at) {
    this.#press = { px, py };
    this.stage.gesture = { kind: 'box', ...this.#corner(at), ...this.#oppositeCorner(at) };
    this.stage.draw();
  }

  #corner(at) {
    const [x0, y0] = this.#edge(at);
    return { x0, y0 };
  }

  #oppositeCorner(at) {
    const [x1, y1] = this.#edge(at);
    return { x1, y1 };
  }

  /** A position on the edges of pixels, where the first pixel reaches from 0 to 1, within the image. */
  #edge({ x, y }) {
    const { width, height } = this.session.image;
    return [Math.min(Math.max(x + 0.5, 0), width), Math.min(Math.max(y + 0.5, 0), height)];
  }

  /** Send a box drawn in any direction; too small a one is nothing. Clicks that refine its mask come next. */
  #finishBox({ x0, y0, x1, y1 }) {
    const left = Math.min(x0, x1), top = Math.min(y0, y1), right = Math.max(x0, x1), bottom = Math.max(y0, y1);
    if (Math.min(right - left, bottom - top) * this.stage.scale < MIN_BOX) return;
    const box = [left, top, right, bottom].map((v) => Math.round(v * 100) / 100);
    if (this.tool === 'rectangle') {
      this.session.select(null);
      return this.session.act({ kind: 'rectangle', box });
    }
    this.session.intent.place({ kind: 'box', box });
    this.setTool('click');
  }

  /** Forget a press, stroke or box in progress; false where there is none. */
  cancelGesture() {
    const cancelled = this.special?.cancel?.() ?? false;
    if (cancelled) this.#press = null;
    if (!this.stage.gesture) return cancelled;
    this.#press = this.stage.gesture = null;
    this.stage.draw();
    return true;
  }

  #beginStroke(px, py, at, paint) {
    const study = this.session.project.study;
    if (study) return this.session.notice(t('tools.no-brush-in-study', { study }));
    this.#press = { px, py };
    this.stage.gesture = { kind: 'stroke', paint, radius: this.radius, points: [this.#clamped(at)] };
    this.stage.draw();
  }

  /** A stroke's point, at most one pixel outside the image. */
  #clamped({ x, y }) {
    const { width, height } = this.session.image, round = (v) => Math.round(v * 10) / 10;
    return [round(Math.min(Math.max(x, -1), width)), round(Math.min(Math.max(y, -1), height))];
  }

  #move(e) {
    const [px, py] = this.#position(e), previous = this.#pointers.get(e.pointerId);
    if (previous) this.#pointers.set(e.pointerId, [px, py]);
    if (this.#pinch) return this.#movePinch();
    const at = this.stage.toImage(px, py);
    if (this.#brushes && e.pointerType !== 'touch') this.#showPointer({ ...at, radius: this.radius });
    if (e.pointerType !== 'touch') this.stage.setHovered(this.#press || this.#brushes ? null : this.stage.objectAt(at));
    if (!this.#press) this.special?.hover?.(at);
    if (!this.#press || !previous) return;
    if (this.#press.pan) {
      this.panned = true;
      return this.stage.pan(px - previous[0], py - previous[1]);
    }
    const gesture = this.stage.gesture;
    if (this.#press.special) {
      for (const step of e.getCoalescedEvents?.() ?? [e]) this.special.move(this.stage.toImage(...this.#position(step)));
    } else if (gesture?.kind === 'press') {
      const distance = Math.hypot(px - this.#press.px, py - this.#press.py);
      gesture.radius = distance > CLICK_TOLERANCE && this.session.dragsAllowed ? Math.hypot(at.x - gesture.x, at.y - gesture.y) : null;
    } else if (gesture?.kind === 'box') {
      Object.assign(gesture, this.#oppositeCorner(at));
    } else if (gesture?.kind === 'stroke') {
      for (const step of e.getCoalescedEvents?.() ?? [e]) this.#extend(gesture, this.stage.toImage(...this.#position(step)));
    }
    this.stage.draw();
  }

  #extend(gesture, at) {
    const point = this.#clamped(at), last = gesture.points.at(-1);
    const step = Math.max(gesture.radius / 6, 0.7);
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= step && gesture.points.length < MAX_POINTS) gesture.points.push(point);
  }

  #showPointer(pointer) {
    if (this.crosshair) return;
    this.stage.pointer = pointer;
    this.stage.draw();
  }

  #up(e) {
    this.#pointers.delete(e.pointerId);
    if (this.#pinch) {
      if (this.#pointers.size === 0) this.#pinch = null;
      return;
    }
    const gesture = this.stage.gesture, press = this.#press;
    if (press?.special) {
      this.#press = null;
      this.special.end();
      return this.stage.draw();
    }
    this.#press = this.stage.gesture = null;
    this.#setCursor();
    if (!press || press.pan || !gesture) return;
    if (gesture.kind === 'press') this.click(gesture, gesture.positive, gesture.radius);
    else if (gesture.kind === 'box') this.#finishBox(gesture);
    else this.session.act({ kind: 'brush', paint: gesture.paint, radius: gesture.radius, points: gesture.points });
    this.stage.draw();
  }

  click({ x, y }, positive, radius = null) {
    if (positive && radius === null && this.take({ x, y })) return;
    const round = (v) => Math.round(v * 100) / 100;
    this.session.intent.place({
      kind: 'click', x: round(x), y: round(y), positive, radius: radius && this.session.dragsAllowed ? Math.max(round(radius), 0.5) : null,
    });
  }

  #cancel(e) {
    this.#pointers.delete(e.pointerId);
    this.#press = this.stage.gesture = null;
    if (this.#pointers.size === 0) this.#pinch = null;
    this.stage.draw();
  }

  #wheel(e) {
    e.preventDefault();
    const unit = e.deltaMode === 1 ? 16 : e.deltaMode === 2 ? 400 : 1;
    if (e.altKey && this.session.project.candidates > 1) return this.#stepByWheel((e.deltaY || e.deltaX) * unit);
    if (e.shiftKey) return this.stage.pan(-(e.deltaX || e.deltaY) * unit, e.deltaX ? -e.deltaY * unit : 0);
    const speed = e.ctrlKey ? 0.01 : 0.0016;
    this.stage.zoom(Math.exp(-Math.max(Math.min(e.deltaY * unit, 300), -300) * speed), this.#position(e));
  }

  /** Up: the next larger candidate mask; down: the next smaller one. While an answer is awaited turning does nothing. */
  #stepByWheel(delta) {
    this.wheelStepped = true;
    this.#wheelTurn = Math.sign(delta) === Math.sign(this.#wheelTurn) ? this.#wheelTurn + delta : delta;
    if (Math.abs(this.#wheelTurn) < WHEEL_STEP) return;
    this.#wheelTurn = 0;
    if (!this.session.pending.length) this.session.stepCandidate(delta < 0 ? 1 : -1);
  }

  #pinchState() {
    const [[ax, ay], [bx, by]] = [...this.#pointers.values()];
    return { x: (ax + bx) / 2, y: (ay + by) / 2, distance: Math.max(Math.hypot(ax - bx, ay - by), 10) };
  }

  #movePinch() {
    if (this.#pointers.size < 2) return;
    const now = this.#pinchState(), before = this.#pinch;
    this.stage.pan(now.x - before.x, now.y - before.y);
    this.stage.zoom(now.distance / before.distance, [now.x, now.y]);
    this.#pinch = now;
  }

  // The keyboard's crosshair

  toggleCrosshair() {
    const image = this.session.image;
    this.cancelGesture();
    this.crosshair = this.crosshair || !image ? null : { x: image.width / 2 - 0.5, y: image.height / 2 - 0.5, crosshair: true };
    this.stage.pointer = this.crosshair;
    this.stage.draw();
  }

  moveCrosshair(dx, dy, fast) {
    const { width, height } = this.session.image, step = (fast ? 40 : 6) / this.stage.scale;
    this.crosshair.x = Math.min(Math.max(this.crosshair.x + dx * step, 0), width - 1);
    this.crosshair.y = Math.min(Math.max(this.crosshair.y + dy * step, 0), height - 1);
    const px = this.stage.x + this.crosshair.x * this.stage.scale, py = this.stage.y + this.crosshair.y * this.stage.scale;
    const overshoot = (at, length) => (at < 30 ? 30 - at : at > length - 30 ? length - 30 - at : 0);
    const panX = overshoot(px, this.stage.width), panY = overshoot(py, this.stage.height);
    if (panX || panY) this.stage.pan(panX, panY);
    if (this.stage.gesture?.kind === 'box') Object.assign(this.stage.gesture, this.#oppositeCorner(this.crosshair));
    this.stage.draw();
  }

  pressCrosshair(positive) {
    if (this.tool === 'click') return this.click(this.crosshair, positive);
    if (this.tool === 'box') return this.#pressCrosshairCorner();
    const points = [[this.crosshair.x, this.crosshair.y]];
    this.session.act({ kind: 'brush', paint: (this.tool === 'brush') === positive, radius: this.radius, points });
  }

  /** The first press is a corner of a box, the second one the opposite corner. */
  #pressCrosshairCorner() {
    const { gesture } = this.stage;
    if (gesture?.kind !== 'box') {
      this.stage.gesture = { kind: 'box', ...this.#corner(this.crosshair), ...this.#oppositeCorner(this.crosshair) };
    } else {
      this.stage.gesture = null;
      this.#finishBox(gesture);
    }
    this.stage.draw();
  }
}
