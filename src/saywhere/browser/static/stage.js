// The canvas: the image, the masks, the prompt, and where a pointer is on the image.

const MARGIN = 12, MAX_SCALE = 16;
const opaque = (colour) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
};

export class Stage {
  gesture = null;                // { kind: 'drag' or 'box', from: [x, y], to: [x, y] } while a pointer is down
  #image = null; #painted = new WeakMap(); #scale = 1; #left = 0; #top = 0;

  constructor(canvas, session) {
    Object.assign(this, { canvas, session });
    new ResizeObserver(() => { this.fit(); this.draw(); }).observe(canvas);
    session.addEventListener('change', () => {
      if (session.image !== this.#image) { this.#image = session.image; this.fit(); }
      this.draw();
    });
  }

  /** Show all of the image. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas, size = this.session.image?.size;
    if (!size) return;
    this.#scale = Math.min((width - 2 * MARGIN) / size.width, (height - 2 * MARGIN) / size.height, MAX_SCALE);
    this.#left = (width - size.width * this.#scale) / 2;
    this.#top = (height - size.height * this.#scale) / 2;
  }

  /** CSS pixels of the canvas to pixels of the image, where 0 is the centre of the first pixel; and back. */
  toImage(x, y) {
    return [(x - this.#left) / this.#scale - 0.5, (y - this.#top) / this.#scale - 0.5];
  }

  toCanvas(x, y) {
    return [(x + 0.5) * this.#scale + this.#left, (y + 0.5) * this.#scale + this.#top];
  }

  get scale() {
    return this.#scale;
  }

  zoom(x, y, factor) {
    const scale = Math.min(Math.max(this.#scale * factor, 0.02), MAX_SCALE), change = scale / this.#scale;
    this.#left = x - (x - this.#left) * change;
    this.#top = y - (y - this.#top) * change;
    this.#scale = scale;
    this.draw();
  }

  pan(dx, dy) {
    this.#left += dx;
    this.#top += dy;
    this.draw();
  }

  draw() {
    const { canvas, session } = this, ratio = devicePixelRatio || 1, context = canvas.getContext('2d');
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const { image } = session;
    if (!image?.picture) return;
    context.setTransform(ratio * this.#scale, 0, 0, ratio * this.#scale, ratio * this.#left, ratio * this.#top);
    context.imageSmoothingEnabled = this.#scale < 3;
    context.drawImage(image.picture, 0, 0);
    for (const object of image.objects) {
      if (!object.mask?.part) continue;
      context.globalAlpha = object === session.object ? 0.55 : 0.4;
      context.drawImage(this.#paint(object), object.mask.part.left, object.mask.part.top);
    }
    context.globalAlpha = 1;
    if (session.object) this.#drawPrompt(context, session.object.actions);
    if (this.gesture) this.#drawGesture(context, this.gesture);
  }

  /** The mask of an object as a picture in its label's colour, kept as long as neither changes. */
  #paint({ mask, label }) {
    const colour = this.session.colourOf(label), kept = this.#painted.get(mask);
    if (kept?.colour === colour) return kept.canvas;
    const { width, height, inside } = mask.part, canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d');
    const picture = context.createImageData(width, height), pixels = new Uint32Array(picture.data.buffer), pixel = opaque(colour);
    for (let i = 0; i < inside.length; i++) if (inside[i]) pixels[i] = pixel;
    context.putImageData(picture, 0, 0);
    this.#painted.set(mask, { colour, canvas });
    return canvas;
  }

  #drawPrompt(context, actions) {
    context.lineWidth = 2 / this.#scale;
    const box = actions.findLast((action) => action.kind === 'box')?.box;
    context.strokeStyle = '#fff';
    if (box) context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    for (const { kind, x, y, positive, radius } of actions) {
      if (kind !== 'click') continue;
      context.fillStyle = positive ? '#1a9e4b' : '#d6263f';
      for (const [size, paint] of [[5 / this.#scale, 'fill'], [radius ?? 0, 'stroke']]) {
        context.beginPath();
        context.arc(x + 0.5, y + 0.5, size, 0, 2 * Math.PI);
        context[paint]();
        if (paint === 'fill') context.stroke();
      }
    }
  }

  #drawGesture(context, { kind, from, to }) {
    context.lineWidth = 2 / this.#scale;
    context.strokeStyle = '#fff';
    context.beginPath();
    if (kind === 'box') context.rect(from[0] + 0.5, from[1] + 0.5, to[0] - from[0], to[1] - from[1]);
    else context.arc(from[0] + 0.5, from[1] + 0.5, Math.hypot(to[0] - from[0], to[1] - from[1]), 0, 2 * Math.PI);
    context.stroke();
  }
}
