// Mouse, pen and fingers on the photograph: clicks, drags, strokes, zoom and pan.

const SLOP = 5;        // css pixels that a hand may tremble within a click
const MOST_POINTS = 4000;

export class Input {
  tool = 'point'; positive = true; brush = 18; spaceHeld = false; panned = false;
  cross = null;                // where the keyboard's crosshair is, while it is out
  #pointers = new Map(); #pinch = null; #press = null;

  constructor(canvas, session, stage) {
    Object.assign(this, { canvas, session, stage });
    canvas.addEventListener('pointerdown', (e) => this.#down(e));
    canvas.addEventListener('pointermove', (e) => this.#move(e));
    canvas.addEventListener('pointerup', (e) => this.#up(e));
    canvas.addEventListener('pointercancel', (e) => this.#cancel(e));
    canvas.addEventListener('pointerleave', () => { if (!this.#press) this.#point(null); });
    canvas.addEventListener('contextmenu', (e) => e.preventDefault());
    canvas.addEventListener('wheel', (e) => this.#wheel(e), { passive: false });
  }

  setTool(tool) {
    this.tool = tool;
    this.#point(null);
    this.#setCursor();
    this.session.tell('tool');
  }

  setSign(positive) {
    this.positive = positive;
    this.session.tell('tool');
  }

  setBrush(size) {
    this.brush = Math.min(Math.max(Math.round(size), 2), 120);
    if (this.stage.pointer?.radius) this.stage.pointer.radius = this.radius;
    this.stage.draw();
    this.session.tell('tool');
  }

  /** The brush's radius in pixels of the photograph. */
  get radius() {
    return Math.min(Math.max(this.brush / 2 / this.stage.scale, 0.5), 2000);
  }

  #place(e) {
    const box = this.canvas.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  #setCursor() {
    this.canvas.dataset.cursor = this.spaceHeld ? 'move' : this.tool === 'point' ? '' : 'none';
  }

  space(held) {
    this.spaceHeld = held;
    if (held) this.panned = false;
    this.#setCursor();
  }

  #down(e) {
    this.canvas.focus({ preventScroll: true });
    const [px, py] = this.#place(e);
    this.#pointers.set(e.pointerId, [px, py]);
    try { this.canvas.setPointerCapture(e.pointerId); } catch { /* a pointer that is gone already */ }
    if (this.#pointers.size === 2 && e.pointerType === 'touch') {
      // A second finger: what the first one began was the start of a pinch.
      this.#press = this.stage.gesture = null;
      this.#pinch = this.#spread();
      return this.stage.draw();
    }
    if (this.#press || this.#pinch || !this.session.photo) return;
    if (e.button === 1 || (e.button === 0 && this.spaceHeld)) {
      this.#press = { pan: true, px, py };
      this.canvas.dataset.cursor = 'move';
      return e.preventDefault();
    }
    const eraser = e.button === 5;  // a pen's other end
    if (e.button !== 0 && e.button !== 2 && !eraser) return;
    const other = e.button === 2 || eraser, at = this.stage.toPhoto(px, py);
    if (this.tool === 'point') this.#beginPress(px, py, at, other ? !this.positive : this.positive);
    else this.#beginStroke(px, py, at, (this.tool === 'brush') !== other);
  }

  #beginPress(px, py, at, positive) {
    if (!this.stage.holds(at)) return;
    this.#press = { px, py };
    this.stage.gesture = { kind: 'press', ...at, positive, radius: null };
    this.stage.draw();
  }

  #beginStroke(px, py, at, paint) {
    const study = this.session.project.study;
    if (study) return this.session.notice(`This is a study of '${study}': it goes without a brush.`);
    this.#press = { px, py };
    this.stage.gesture = { kind: 'stroke', paint, radius: this.radius, points: [this.#inside(at)] };
    this.stage.draw();
  }

  /** A stroke's point, not much outside the photograph. */
  #inside({ x, y }) {
    const { width, height } = this.session.photo, round = (v) => Math.round(v * 10) / 10;
    return [round(Math.min(Math.max(x, -1), width)), round(Math.min(Math.max(y, -1), height))];
  }

  #move(e) {
    const [px, py] = this.#place(e), known = this.#pointers.get(e.pointerId);
    if (known) this.#pointers.set(e.pointerId, [px, py]);
    if (this.#pinch) return this.#movePinch();
    const at = this.stage.toPhoto(px, py);
    if (this.tool !== 'point' && e.pointerType !== 'touch') this.#point({ ...at, radius: this.radius });
    if (!this.#press || !known) return;
    if (this.#press.pan) {
      this.panned = true;
      return this.stage.pan(px - known[0], py - known[1]);
    }
    const gesture = this.stage.gesture;
    if (gesture?.kind === 'press') {
      const far = Math.hypot(px - this.#press.px, py - this.#press.py);
      const may = ['drag', null].includes(this.session.project.study);
      gesture.radius = far > SLOP && may ? Math.hypot(at.x - gesture.x, at.y - gesture.y) : null;
    } else if (gesture?.kind === 'stroke') {
      for (const step of e.getCoalescedEvents?.() ?? [e]) this.#extend(gesture, this.stage.toPhoto(...this.#place(step)));
    }
    this.stage.draw();
  }

  #extend(gesture, at) {
    const point = this.#inside(at), last = gesture.points.at(-1);
    const step = Math.max(gesture.radius / 6, 0.7);
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= step && gesture.points.length < MOST_POINTS) gesture.points.push(point);
  }

  #point(pointer) {
    if (this.cross) return;
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
    this.#press = this.stage.gesture = null;
    this.#setCursor();
    if (!press || press.pan || !gesture) return;
    if (gesture.kind === 'press') this.click(gesture, gesture.positive, gesture.radius);
    else this.session.act({ kind: 'brush', paint: gesture.paint, radius: gesture.radius, points: gesture.points });
    this.stage.draw();
  }

  click({ x, y }, positive, radius = null) {
    const study = this.session.project.study;
    const round = (v) => Math.round(v * 100) / 100;
    this.session.act({
      kind: 'click', x: round(x), y: round(y), positive, radius: radius && study !== 'click' ? Math.max(round(radius), 0.5) : null,
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
    if (e.shiftKey) return this.stage.pan(-(e.deltaX || e.deltaY) * unit, e.deltaX ? -e.deltaY * unit : 0);
    const speed = e.ctrlKey ? 0.01 : 0.0016;
    this.stage.zoom(Math.exp(-Math.max(Math.min(e.deltaY * unit, 300), -300) * speed), this.#place(e));
  }

  #spread() {
    const [[ax, ay], [bx, by]] = [...this.#pointers.values()];
    return { x: (ax + bx) / 2, y: (ay + by) / 2, far: Math.max(Math.hypot(ax - bx, ay - by), 10) };
  }

  #movePinch() {
    if (this.#pointers.size < 2) return;
    const now = this.#spread(), past = this.#pinch;
    this.stage.pan(now.x - past.x, now.y - past.y);
    this.stage.zoom(now.far / past.far, [now.x, now.y]);
    this.#pinch = now;
  }

  // The keyboard's crosshair

  toggleCross() {
    const photo = this.session.photo;
    this.cross = this.cross || !photo ? null : { x: photo.width / 2 - 0.5, y: photo.height / 2 - 0.5, cross: true };
    this.stage.pointer = this.cross;
    this.stage.draw();
  }

  moveCross(dx, dy, fast) {
    const { width, height } = this.session.photo, step = (fast ? 40 : 6) / this.stage.scale;
    this.cross.x = Math.min(Math.max(this.cross.x + dx * step, 0), width - 1);
    this.cross.y = Math.min(Math.max(this.cross.y + dy * step, 0), height - 1);
    const px = this.stage.x + this.cross.x * this.stage.scale, py = this.stage.y + this.cross.y * this.stage.scale;
    const push = (at, extent) => (at < 30 ? 30 - at : at > extent - 30 ? extent - 30 - at : 0);
    const px2 = push(px, this.stage.width), py2 = push(py, this.stage.height);
    if (px2 || py2) this.stage.pan(px2, py2);
    this.stage.draw();
  }

  pressCross(positive) {
    if (this.tool === 'point') return this.click(this.cross, positive);
    const points = [[this.cross.x, this.cross.y]];
    this.session.act({ kind: 'brush', paint: (this.tool === 'brush') === positive, radius: this.radius, points });
  }
}
