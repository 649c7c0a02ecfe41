// The image with masks, clicks and maps on it, at any zoom. Draws; changes nothing.

import { RELEVANCE_COLOURS, PROPOSAL_COLOURS, thresholdMap, decodeMask, colourMap, outline, colourEdge, colourMask } from './mask.js';
import { doubleStroke, paintBox, paintClick, paintGesture, paintName, paintPointer, paintProposal, paintRectangle } from './marks.js';

const MAX_OVERVIEW = 2048, MAX_DETAIL = 4096, MARGIN = 28;
const area = ({ area, rectangle }) => area || (rectangle ? (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1]) : 0);
const LARGE_IMAGE = 4e6;  // pixels of an image from which on masks are drawn at the screen's resolution

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
  hovered = null;                    // number of the object under the pointer
  hidden = new Set();                // numbers of objects that are not shown
  overlays = [];                     // functions (c, scale) that draw above everything else
  settings = { opacity: 0.5, contour: true, others: true, names: true, colours: 'label', brightness: 100, contrast: 100 };
  masksHidden = false;
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
    const drawn = { mask: object.mask, step, colour, region, picture: region && colourMask(region, colour), path: same ? previous.path : null };
    if (region && step > 1) drawn.edge = colourEdge(region, colour);
    this.#pictures.set(object.id, drawn);
    return drawn;
  }

  /** The outline of what was drawn, null without a mask. That of a large image is made when it is asked for. */
  #outline(drawn) {
    drawn.path ??= drawn.region && outline(drawn.region);
    return drawn.path;
  }

  /** Pixels of a large image to one drawn pixel of a mask: never more than the screen shows in one. */
  get maskStep() {
    const { width, height } = this.session.image;
    return width * height < LARGE_IMAGE ? 1 : 2 ** Math.floor(Math.log2(Math.max(1 / (this.scale * (this.ratio ?? 1)), 1)));
  }

  /** Objects that are not hidden, from back to front: smaller ones lie above larger ones, as in exported index masks. */
  shownObjects() {
    const objects = (this.session.state?.objects ?? []).filter((object) => this.#isShown(object));
    return objects.sort((a, b) => (a.z_order ?? 0) - (b.z_order ?? 0) || area(b) - area(a));
  }

  #isShown(object) {
    return !this.masksHidden && !this.hidden.has(object.id);
  }

  /** The object in front at a position in the image; null where there is none. */
  objectAt({ x, y }) {
    if (!this.session.image) return null;
    return this.shownObjects().reverse().find((object) => {
      const { region } = this.#objectPicture(object);
      if (!region && object.rectangle) return x + 0.5 >= object.rectangle[0] && y + 0.5 >= object.rectangle[1] && x + 0.5 < object.rectangle[2] && y + 0.5 < object.rectangle[3];
      if (!region) return false;
      const column = Math.floor((Math.round(x) - region.left) / region.step), row = Math.floor((Math.round(y) - region.top) / region.step);
      return column >= 0 && row >= 0 && column < region.width && row < region.height && region.inside[row * region.width + column] === 1;
    }) ?? null;
  }

  /** The rectangle around an object's mask, or its box; null where it has neither. */
  #box(object) {
    const { region } = this.#objectPicture(object);
    if (region) return { left: region.left, top: region.top, width: region.width * region.step, height: region.height * region.step };
    if (!object.rectangle) return null;
    const [left, top, right, bottom] = object.rectangle;
    return { left, top, width: right - left, height: bottom - top };
  }

  setHovered(object) {
    const number = object?.id ?? null;
    if (number === this.hovered) return;
    this.hovered = number;
    this.canvas.dataset.hovered = number ?? '';
    this.draw();
  }

  /** Show an object as large as the canvas allows, with a margin around it. */
  zoomTo(object) {
    const box = this.#box(object);
    if (!box) return;
    const { left, top, width, height } = box;
    this.scale = Math.min(Math.max(Math.min(this.width / width, this.height / height) * 0.7, this.fitScale), 8);
    this.x = this.width / 2 - this.scale * (left + width / 2);
    this.y = this.height / 2 - this.scale * (top + height / 2);
    this.#viewChanged();
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
      if (active && this.#isShown(active)) this.#paintMask(c, active, 1);
      this.#paintHovered(c);
      if (this.settings.names) for (const object of this.shownObjects()) this.#paintName(c, object);
      if (active?.box) paintBox(c, this.scale, active.box, 1);
      if (active) for (const click of active.clicks) paintClick(c, this.scale, click, 1);
      for (const { action, imageId } of session.pending) {
        if (imageId !== session.row.id) continue;
        if (action.kind === 'click') paintClick(c, this.scale, action, 0.6);
        if (action.kind === 'box') paintBox(c, this.scale, action.box, 0.6);
      }
    }
    if (session.proposal) paintProposal(c, this.scale, session.proposal);
    this.canvas.toggleAttribute('data-proposal', session.proposal !== null);
    for (const paint of this.overlays) paint(c, this.scale);
    if (this.gesture) paintGesture(c, this.scale, this.gesture, session.colourOf(session.object ?? { label: session.label }));
    if (this.pointer) paintPointer(c, this.scale, this.pointer);
    Object.assign(this.canvas.dataset, { image: this.shownId, seq: session.pending.length ? '' : session.state?.seq ?? '' });
  }

  /** Everything below the active object. Painting it takes longest, so it is kept while it is the same. */
  #background() {
    const { session, settings } = this, { width, height } = this.canvas, ratio = this.ratio ?? 1, image = session.image;
    const colour = getComputedStyle(this.canvas.parentElement).backgroundColor;
    const view = [width, height, ratio, this.scale, this.x, this.y, colour, image, this.overview, this.detail];
    const shown = image && this.overview, others = shown && settings.others ? this.shownObjects() : [];
    const masks = others.filter((object) => object.id !== session.active.id);
    const painted = this.#layers[0].painted([...view, settings.brightness, settings.contrast], (c) => {
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
    const { brightness, contrast } = this.settings;
    c.shadowColor = 'rgb(0 0 0 / 25%)';
    c.shadowBlur = 14 * this.ratio;
    c.fillStyle = '#888';
    c.fillRect(0, 0, width, height);
    c.shadowColor = 'transparent';
    // Enlarged pixels are shown as they are, so that a person sees where they click.
    c.imageSmoothingEnabled = this.scale * this.ratio < 3;
    c.imageSmoothingQuality = 'high';
    c.filter = brightness === 100 && contrast === 100 ? 'none' : `brightness(${brightness}%) contrast(${contrast}%)`;
    c.drawImage(this.overview.bitmap, 0, 0, width, height);
    if (this.detail) {
      const { bitmap, left, top, right, bottom } = this.detail;
      c.drawImage(bitmap, left, top, right - left, bottom - top);
    }
    c.filter = 'none';
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
    const drawn = this.#objectPicture(object), { region, picture, edge, colour } = drawn;
    if (!region && object.rectangle) paintRectangle(c, this.scale, object.rectangle, colour, strength);
    if (!region) return;
    c.globalAlpha = this.settings.opacity * strength;
    c.imageSmoothingEnabled = this.scale * this.ratio * region.step < 1;
    const place = [region.left, region.top, region.width * region.step, region.height * region.step];
    c.drawImage(picture, ...place);
    c.globalAlpha = strength;
    if (this.settings.contour && edge) c.drawImage(edge, ...place);
    c.globalAlpha = 1;
    if (this.settings.contour && !edge) this.#stroke(c, this.#outline(drawn), colour, strength);
  }

  #paintHovered(c) {
    const object = this.session.state.objects.find((one) => one.id === this.hovered);
    if (!object || !this.#isShown(object)) return;
    const drawn = this.#objectPicture(object), path = this.#outline(drawn);
    if (path) doubleStroke(c, this.scale, drawn.colour, 3, path);
    if (!this.settings.names) this.#paintName(c, object);
  }

  #paintName(c, object) {
    const box = this.#box(object);
    if (box) paintName(c, this.scale, this.session.nameOf(object), box, this.session.colourOf(object));
  }

  #stroke(c, path, colour, strength) {
    c.globalAlpha = strength;
    doubleStroke(c, this.scale, colour, 1.6, path);
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
}
