// The image with masks, clicks and maps on it, at any zoom. Draws; changes nothing.

import { RELEVANCE_COLOURS, PROPOSAL_COLOURS, thresholdMap, decodeMask, colourMap, outline, colourMask } from './mask.js';

const MAX_OVERVIEW = 2048, MAX_DETAIL = 4096, MARGIN = 28;
const LARGE_IMAGE = 4e6;  // pixels of an image from which on masks are drawn at the screen's resolution
const POSITIVE = '#12b76a', NEGATIVE = '#e5304f', PROPOSED = '#8b3ff0';

/** An off-screen canvas that is painted again only when its inputs change. */
class Layer {
  canvas = document.createElement('canvas');
  inputs = [];

  painted(inputs, paint) {
    if (inputs.length === this.inputs.length && inputs.every((value, i) => value === this.inputs[i])) return this.canvas;
    this.inputs = inputs;
    const [width, height] = inputs;
    Object.assign(this.canvas, { width, height });
    paint(this.canvas.getContext('2d', { alpha: false }));
    return this.canvas;
  }
}

export class Stage {
  scale = 1; x = 0; y = 0;           // a pixel of the image is at x + scale * pixel
  overview = null; detail = null;
  relevance = null;                  // the phrase's map, while a phrase is typed
  preview = null;                    // { object, map, threshold } while the threshold is moved
  gesture = null;                    // a drag or brush stroke in progress
  pointer = null;                    // position of the brush or crosshair, in pixels of the image
  overlays = [];                     // functions (c, scale) that draw above everything else
  settings = { opacity: 0.5, contour: true, others: true };
  #pictures = new Map();             // pictures and outlines of masks, by object
  #layers = [new Layer(), new Layer()];  // the image; the image with the inactive objects
  #frame = 0; #detailTimer = 0; #detailTurn = 0;

  constructor(canvas, session) {
    this.canvas = canvas;
    this.session = session;
    this.context = canvas.getContext('2d', { alpha: false });
    new ResizeObserver(() => this.#resize()).observe(canvas);
    for (const name of ['state', 'pending', 'proposal', 'lock', 'project']) session.addEventListener(name, () => this.draw());
    session.addEventListener('open', () => this.#open());
  }

  // The view

  #resize() {
    const ratio = devicePixelRatio || 1, { clientWidth: w, clientHeight: h } = this.canvas;
    const fitted = this.#fits();
    this.canvas.width = Math.round(w * ratio);
    this.canvas.height = Math.round(h * ratio);
    this.ratio = ratio;
    if (fitted) this.fit(); else this.#paint();
  }

  get width() { return this.canvas.clientWidth; }
  get height() { return this.canvas.clientHeight; }

  #fits() {
    return !this.session.image || this.fitScale === undefined || Math.abs(this.scale - this.fitScale) < 1e-9;
  }

  fit() {
    const image = this.session.image;
    if (!image) return this.draw();
    this.scale = Math.min((this.width - 2 * MARGIN) / image.width, (this.height - 2 * MARGIN) / image.height, 8);
    this.scale = Math.max(this.scale, 0.005);
    this.fitScale = this.scale;
    this.x = (this.width - this.scale * image.width) / 2;
    this.y = (this.height - this.scale * image.height) / 2;
    this.#viewChanged();
  }

  zoom(factor, at = [this.width / 2, this.height / 2]) {
    const scale = Math.min(Math.max(this.scale * factor, (this.fitScale ?? 1) / 2), 40);
    const [px, py] = at, by = scale / this.scale;
    this.x = px - (px - this.x) * by;
    this.y = py - (py - this.y) * by;
    this.scale = scale;
    this.#viewChanged();
  }

  pan(dx, dy) {
    const image = this.session.image;
    if (!image) return;
    // A part of the image stays visible.
    this.x = Math.min(Math.max(this.x + dx, 60 - this.scale * image.width), this.width - 60);
    this.y = Math.min(Math.max(this.y + dy, 60 - this.scale * image.height), this.height - 60);
    this.#viewChanged();
  }

  #viewChanged() {
    this.session.emit('view');
    this.draw();
    clearTimeout(this.#detailTimer);
    this.#detailTimer = setTimeout(() => this.#loadDetail(), 180);
  }

  /** From CSS pixels of the canvas to pixels of the image; 0, 0 is the first pixel's centre. */
  toImage(px, py) {
    return { x: (px - this.x) / this.scale - 0.5, y: (py - this.y) / this.scale - 0.5 };
  }

  contains({ x, y }) {
    const image = this.session.image;
    return image && x >= -0.5 && y >= -0.5 && x < image.width - 0.5 && y < image.height - 0.5;
  }

  // Pictures

  async #open() {
    const { image, row } = this.session;
    if (this.shownId !== row?.id) {
      this.overview?.bitmap.close();
      this.overview = this.detail = this.relevance = this.preview = this.gesture = null;
      this.#pictures.clear();
      this.shownId = row?.id;
      if (image) this.fit(); else return this.draw();
    }
    if (!image) return this.draw();
    const id = row.id;
    const loaded = await this.#picture(`longest=${MAX_OVERVIEW}`);
    if (!loaded || this.shownId !== id) return;
    this.overview = { bitmap: loaded };
    this.canvas.dataset.image = id;
    this.fit();
  }

  async #picture(query) {
    const { image, row } = this.session;
    try {
      const response = await fetch(`/api/images/${row.id}/picture?version=${image.version}&${query}`);
      return response.ok ? await createImageBitmap(await response.blob()) : null;
    } catch {
      return null;  // drawn as it is; the next change of the view requests it again
    }
  }

  /** Where the overview is coarser than the screen, the visible part is loaded at full resolution. */
  async #loadDetail() {
    const image = this.session.image;
    if (!image || !this.overview) return;
    const overviewScale = this.overview.bitmap.width / image.width;
    if (overviewScale >= 1 || this.scale * this.ratio <= overviewScale * 1.15) { this.detail = null; return; }
    const a = this.toImage(0, 0), b = this.toImage(this.width, this.height);
    const left = Math.max(Math.floor(a.x), 0), top = Math.max(Math.floor(a.y), 0);
    const right = Math.min(Math.ceil(b.x) + 1, image.width), bottom = Math.min(Math.ceil(b.y) + 1, image.height);
    if (right <= left || bottom <= top) return;
    const longest = Math.min(Math.ceil(Math.max(right - left, bottom - top) * Math.min(1, this.scale * this.ratio)), MAX_DETAIL);
    const turn = ++this.#detailTurn, id = this.shownId;
    const bitmap = await this.#picture(`left=${left}&top=${top}&right=${right}&bottom=${bottom}&longest=${Math.max(longest, 16)}`);
    if (!bitmap || turn !== this.#detailTurn || id !== this.shownId) return;
    this.detail = { bitmap, left, top, right, bottom };
    this.draw();
  }

  showRelevance(map) {
    this.relevance = map && { map, picture: colourMap(map, RELEVANCE_COLOURS) };
    this.draw();
  }

  /** An object's picture and outline: made again only when its mask or colour changes, or a large one is zoomed. */
  #objectPicture(object) {
    const colour = this.session.colourOf(object), previous = this.#pictures.get(object.id), step = this.maskStep;
    const same = previous && previous.mask === object.mask && previous.step === step;
    if (same && previous.colour === colour) return previous;
    const packed = this.session.masks.get(object.mask);
    const region = same ? previous.region : packed ? decodeMask(packed, step) : null;
    const picture = region && colourMask(region, colour), path = same ? previous.path : region && outline(region);
    const drawn = { mask: object.mask, step, colour, region, picture, path };
    this.#pictures.set(object.id, drawn);
    return drawn;
  }

  /** Pixels of a large image to one drawn pixel of a mask: never more than the screen shows in one. */
  get maskStep() {
    const { width, height } = this.session.image;
    return width * height < LARGE_IMAGE ? 1 : 2 ** Math.floor(Math.log2(Math.max(1 / (this.scale * (this.ratio ?? 1)), 1)));
  }

  // Drawing: at most once a frame

  draw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => { this.#frame = 0; this.#paint(); });
  }

  #paint() {
    const { context: c, session } = this;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.drawImage(this.#background(), 0, 0);
    if (!session.image || !this.overview) return;
    this.#inImagePixels(c);
    this.#paintMaps(c);
    if (session.state) {
      const active = session.object;
      if (active) this.#paintMask(c, active, 1);
      if (active?.box) this.#paintBox(c, active.box, 1);
      if (active) for (const click of active.clicks) this.#paintClick(c, click, 1);
      for (const { action, imageId } of session.pending) {
        if (imageId !== session.row.id) continue;
        if (action.kind === 'click') this.#paintClick(c, action, 0.6);
        if (action.kind === 'box') this.#paintBox(c, action.box, 0.6);
      }
    }
    if (session.proposal) this.#paintProposal(c, session.proposal);
    this.canvas.toggleAttribute('data-proposal', session.proposal !== null);
    for (const paint of this.overlays) paint(c, this.scale);
    this.#paintGesture(c);
    this.canvas.dataset.seq = session.pending.length ? '' : session.state?.seq ?? '';
  }

  /** Everything below the active object. Painting it takes longest, so it is kept while it is the same. */
  #background() {
    const { session, settings } = this, { width, height } = this.canvas, ratio = this.ratio ?? 1, image = session.image;
    const colour = getComputedStyle(this.canvas.parentElement).backgroundColor;
    const view = [width, height, ratio, this.scale, this.x, this.y, colour, image, this.overview, this.detail];
    const shown = image && this.overview, others = shown && settings.others ? session.state?.objects ?? [] : [];
    const masks = others.filter((object) => object.id !== session.active.id);
    const painted = this.#layers[0].painted(view, (c) => {
      c.fillStyle = colour;
      c.fillRect(0, 0, width, height);
      if (shown) this.#paintImage(this.#inImagePixels(c), image);
    });
    if (!masks.length) return painted;
    const inputs = masks.flatMap((object) => [object.id, object.mask, session.colourOf(object)]);
    return this.#layers[1].painted([...view, settings.opacity, settings.contour, ...inputs], (c) => {
      c.drawImage(painted, 0, 0);
      for (const object of masks) this.#paintMask(this.#inImagePixels(c), object, 0.6);
    });
  }

  /** A context whose coordinates are pixels of the image. */
  #inImagePixels(c) {
    const scale = (this.ratio ?? 1) * this.scale;
    c.setTransform(scale, 0, 0, scale, (this.ratio ?? 1) * this.x, (this.ratio ?? 1) * this.y);
    return c;
  }

  #paintImage(c, { width, height }) {
    c.shadowColor = 'rgb(0 0 0 / 25%)';
    c.shadowBlur = 14 * this.ratio;
    c.fillStyle = '#888';
    c.fillRect(0, 0, width, height);
    c.shadowColor = 'transparent';
    // Enlarged pixels are shown as they are, so that a person sees where they click.
    c.imageSmoothingEnabled = this.scale * this.ratio < 3;
    c.imageSmoothingQuality = 'high';
    c.drawImage(this.overview.bitmap, 0, 0, width, height);
    if (this.detail) {
      const { bitmap, left, top, right, bottom } = this.detail;
      c.drawImage(bitmap, left, top, right - left, bottom - top);
    }
  }

  #paintMaps(c) {
    const show = (map, picture, alpha) => {
      c.imageSmoothingEnabled = true;
      c.globalAlpha = alpha;
      c.drawImage(picture, map.left, map.top, map.right - map.left, map.bottom - map.top);
      c.globalAlpha = 1;
    };
    if (this.relevance) show(this.relevance.map, this.relevance.picture, 0.72);
    const proposal = this.session.proposal;
    if (proposal && !this.relevance) {
      proposal.picture ??= colourMap(proposal.confidence, PROPOSAL_COLOURS);
      show(proposal.confidence, proposal.picture, 0.4);
    }
  }

  #paintMask(c, object, strength) {
    if (this.preview?.object === object.id) return this.#paintPreview(c, object);
    const { region, picture, path, colour } = this.#objectPicture(object);
    if (!region) return;
    c.globalAlpha = this.settings.opacity * strength;
    c.imageSmoothingEnabled = this.scale * this.ratio * region.step < 1;
    c.drawImage(picture, region.left, region.top, region.width * region.step, region.height * region.step);
    c.globalAlpha = 1;
    if (this.settings.contour) this.#stroke(c, path, colour, strength);
  }

  #stroke(c, path, colour, strength) {
    c.lineJoin = 'bevel';
    c.globalAlpha = strength;
    c.lineWidth = 3.2 / this.scale;
    c.strokeStyle = 'rgb(255 255 255 / 85%)';
    c.stroke(path);
    c.lineWidth = 1.6 / this.scale;
    c.strokeStyle = colour;
    c.stroke(path);
    c.globalAlpha = 1;
  }

  #paintPreview(c, object) {
    const { map, threshold } = this.preview, { region, scaleX, scaleY } = thresholdMap(map, threshold);
    const colour = this.session.colourOf(object);
    c.globalAlpha = this.settings.opacity;
    c.imageSmoothingEnabled = false;
    c.drawImage(colourMask(region, colour), map.left, map.top, map.right - map.left, map.bottom - map.top);
    c.globalAlpha = 1;
    if (!this.settings.contour) return;
    const path = new Path2D();
    path.addPath(outline(region), new DOMMatrix([scaleX, 0, 0, scaleY, map.left, map.top]));
    this.#stroke(c, path, colour, 1);
  }

  #dot(c, x, y, colour, radius) {
    c.beginPath();
    c.arc(x + 0.5, y + 0.5, radius / this.scale, 0, 7);
    c.fillStyle = colour;
    c.fill();
    c.lineWidth = 2 / this.scale;
    c.strokeStyle = '#fff';
    c.stroke();
  }

  #circle(c, x, y, radius, colour) {
    c.beginPath();
    c.arc(x + 0.5, y + 0.5, radius, 0, 7);
    c.lineWidth = 3.4 / this.scale;
    c.strokeStyle = 'rgb(255 255 255 / 75%)';
    c.stroke();
    c.lineWidth = 1.8 / this.scale;
    c.strokeStyle = colour;
    c.stroke();
  }

  #paintClick(c, { x, y, positive, radius }, alpha) {
    const colour = positive ? POSITIVE : NEGATIVE;
    c.globalAlpha = alpha;
    if (radius) {
      c.setLineDash([6 / this.scale, 4 / this.scale]);
      this.#circle(c, x, y, radius, colour);
      c.setLineDash([]);
    }
    this.#dot(c, x, y, colour, 5.5);
    // Distinguishable without colour too: a minus for negative clicks, a plus for positive ones.
    c.beginPath();
    const arm = 2.6 / this.scale;
    c.moveTo(x + 0.5 - arm, y + 0.5);
    c.lineTo(x + 0.5 + arm, y + 0.5);
    if (positive) { c.moveTo(x + 0.5, y + 0.5 - arm); c.lineTo(x + 0.5, y + 0.5 + arm); }
    c.lineWidth = 1.5 / this.scale;
    c.strokeStyle = '#fff';
    c.stroke();
    c.globalAlpha = 1;
  }

  /** A box by its edges x0, y0, x1, y1, on which pixels begin and end. */
  #paintBox(c, [x0, y0, x1, y1], alpha) {
    c.globalAlpha = alpha;
    c.lineJoin = 'miter';
    c.lineWidth = 3.4 / this.scale;
    c.strokeStyle = 'rgb(255 255 255 / 75%)';
    c.strokeRect(x0, y0, x1 - x0, y1 - y0);
    c.lineWidth = 1.8 / this.scale;
    c.strokeStyle = POSITIVE;
    c.setLineDash([6 / this.scale, 4 / this.scale]);
    c.strokeRect(x0, y0, x1 - x0, y1 - y0);
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  #paintProposal(c, { x, y }) {
    c.beginPath();
    c.arc(x + 0.5, y + 0.5, 15 / this.scale, 0, 7);
    c.fillStyle = 'rgb(139 63 240 / 28%)';
    c.fill();
    this.#dot(c, x, y, PROPOSED, 7.5);
  }

  #paintGesture(c) {
    const gesture = this.gesture;
    if (gesture?.kind === 'press') {
      const colour = gesture.positive ? POSITIVE : NEGATIVE;
      if (gesture.radius) {
        this.#circle(c, gesture.x, gesture.y, gesture.radius, colour);
        c.globalAlpha = 0.12;
        c.fillStyle = colour;
        c.fill();
        c.globalAlpha = 1;
      }
      this.#dot(c, gesture.x, gesture.y, colour, 5.5);
    } else if (gesture?.kind === 'box') {
      const { x0, y0, x1, y1 } = gesture;
      this.#paintBox(c, [x0, y0, x1, y1], 1);
      c.globalAlpha = 0.12;
      c.fillStyle = POSITIVE;
      c.fillRect(x0, y0, x1 - x0, y1 - y0);
      c.globalAlpha = 1;
    } else if (gesture?.kind === 'stroke') {
      c.globalAlpha = 0.55;
      c.strokeStyle = c.fillStyle = gesture.paint ? this.session.colourOf(this.session.object ?? { label: this.session.label }) : '#20242c';
      c.lineWidth = 2 * gesture.radius;
      c.lineCap = c.lineJoin = 'round';
      c.beginPath();
      gesture.points.forEach(([x, y], i) => (i ? c.lineTo(x + 0.5, y + 0.5) : c.moveTo(x + 0.5, y + 0.5)));
      if (gesture.points.length === 1) c.lineTo(gesture.points[0][0] + 0.51, gesture.points[0][1] + 0.5);
      c.stroke();
      c.globalAlpha = 1;
    }
    if (this.pointer?.radius) this.#circle(c, this.pointer.x, this.pointer.y, this.pointer.radius, '#20242c');
    if (this.pointer?.crosshair) this.#paintCrosshair(c, this.pointer);
  }

  #paintCrosshair(c, { x, y }) {
    for (const [width, colour] of [[4, 'rgb(0 0 0 / 55%)'], [1.6, '#fff']]) {
      c.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        c.moveTo(x + 0.5 + (4 * dx) / this.scale, y + 0.5 + (4 * dy) / this.scale);
        c.lineTo(x + 0.5 + (18 * dx) / this.scale, y + 0.5 + (18 * dy) / this.scale);
      }
      c.lineWidth = width / this.scale;
      c.strokeStyle = colour;
      c.stroke();
    }
  }
}
