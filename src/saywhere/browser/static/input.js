// Pointer and keys: clicks, drags, boxes, zoom, pan.

const CLICK_TOLERANCE = 5, MIN_BOX = 3;      // CSS pixels

export class Input {
  tool = 'click';
  #press = null; #space = false;

  constructor(stage, session, act) {
    Object.assign(this, { stage, session, act });
    const { canvas } = stage;
    canvas.addEventListener('pointerdown', (e) => this.#down(e));
    canvas.addEventListener('pointermove', (e) => this.#move(e));
    canvas.addEventListener('pointerup', (e) => this.#up(e));
    canvas.addEventListener('pointercancel', () => this.cancel());
    canvas.addEventListener('contextmenu', (e) => e.preventDefault());
    canvas.addEventListener('wheel', (e) => {
      e.preventDefault();
      stage.zoom(...this.#position(e), Math.exp(-e.deltaY * 0.0015));
    }, { passive: false });
    addEventListener('keydown', (e) => this.#key(e));
    addEventListener('keyup', (e) => { if (e.key === ' ') this.#space = false; });
  }

  cancel() {
    this.#press = this.stage.gesture = null;
    this.stage.draw();
  }

  #position(e) {
    const box = this.stage.canvas.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  #down(e) {
    if (!this.session.image || e.button > 2) return;
    const at = this.#position(e), place = this.stage.toImage(...at);
    this.stage.canvas.setPointerCapture(e.pointerId);
    this.#press = { at, last: at, place, positive: e.button !== 2 && !e.altKey, pans: e.button === 1 || this.#space };
  }

  #move(e) {
    const press = this.#press;
    if (!press) return;
    const at = this.#position(e);
    if (press.pans) this.stage.pan(at[0] - press.last[0], at[1] - press.last[1]);
    else if (this.tool === 'box' || Math.hypot(at[0] - press.at[0], at[1] - press.at[1]) > CLICK_TOLERANCE) {
      this.stage.gesture = { kind: this.tool === 'box' ? 'box' : 'drag', from: press.place, to: this.stage.toImage(...at) };
      this.stage.draw();
    }
    press.last = at;
  }

  #up(e) {
    const press = this.#press, at = this.#position(e), to = this.stage.toImage(...at), { size } = this.session.image ?? {};
    this.cancel();
    if (!press || press.pans) return;
    const [x, y] = press.place, length = Math.hypot(at[0] - press.at[0], at[1] - press.at[1]);
    if (this.tool === 'box') {
      const sides = [Math.abs(at[0] - press.at[0]), Math.abs(at[1] - press.at[1])];
      if (Math.min(...sides) >= MIN_BOX) this.#box([Math.min(x, to[0]), Math.min(y, to[1]), Math.max(x, to[0]), Math.max(y, to[1])], size);
    } else if (x >= -0.5 && y >= -0.5 && x <= size.width - 0.5 && y <= size.height - 0.5) {
      const radius = length > CLICK_TOLERANCE ? Math.min(Math.hypot(to[0] - x, to[1] - y), size.width + size.height) : null;
      this.session.click(x, y, press.positive, radius);
    }
  }

  /** Places to edges in pixels, cut off at the image's border. */
  #box(places, { width, height }) {
    const edges = places.map((place, i) => Math.min(Math.max(place + 0.5, 0), i % 2 ? height : width));
    if (edges[2] > edges[0] && edges[3] > edges[1]) this.session.box(edges);
  }

  #key(e) {
    if (e.target.closest?.('input, select, textarea')) return;
    if (e.key === ' ') { this.#space = true; e.preventDefault(); return; }
    if (e.key === 'Escape') return this.cancel();
    const key = e.key.toLowerCase(), command = e.ctrlKey || e.metaKey;
    if (command && !['z', 'y'].includes(key)) return;
    if (e.key === 'Enter' && e.target.closest?.('button')) return;
    const name = {
      z: e.shiftKey ? 'redo' : 'undo', y: 'redo', c: e.shiftKey ? 'smaller' : 'larger', n: 'finish', enter: 'finish', delete: 'remove', backspace: 'remove',
      b: 'box', q: 'click', f: 'fit', e: 'export', d: 'next', a: 'previous',
    }[key];
    if (name) this.act(name);
    else if (/^[1-9]$/.test(key) && this.session.labels[key - 1]) this.session.setLabel(this.session.labels[key - 1]);
    else return;
    e.preventDefault();
  }
}
