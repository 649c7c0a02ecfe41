// The images that are open, their objects, and what was done to them. It emits "change" after every change.

import { t } from './i18n.js';

const COLOURS = ['#e6194b', '#3cb44b', '#4363d8', '#f58231', '#911eb4', '#008080', '#9a6324', '#f032e6', '#808000', '#000075'];

export class Session extends EventTarget {
  images = []; labels = ['object']; image = null; object = null; label = 'object'; busy = 0; message = '';
  isExported = true;
  #objects = 0; #tail = Promise.resolve();

  constructor(client) {
    super();
    this.client = client;
  }

  changed() {
    this.dispatchEvent(new Event('change'));
  }

  /** Run tasks one after another, so that a click waits for the one before it; a fault is shown and changes nothing. */
  #run(task) {
    this.busy++;
    this.changed();
    this.#tail = this.#tail.then(() => {
      this.message = '';
      return task();
    }).catch((error) => { this.message = error.message; }).then(() => {
      this.busy--;
      this.changed();
    });
    return this.#tail;
  }

  colourOf(label) {
    return COLOURS[this.labels.indexOf(label) % COLOURS.length];
  }

  // Images

  /** Load the network; the objects of the present image are replayed when they are next used. */
  load(backend) {
    return this.#run(async () => {
      this.facts = await this.client.call('load', { backend, base: new URL('./', import.meta.url).href });
    });
  }

  /** Add photographs from disk; the first one is shown if none is. */
  async add(files) {
    for (const file of files) {
      if (this.images.some((image) => image.file.name === file.name && image.file.size === file.size)) continue;
      this.images.push({ file, name: file.name, size: null, objects: [], done: [], undone: [] });
    }
    this.changed();
    if (!this.image && this.images.length) await this.show(this.images[0]);
  }

  show(image) {
    return this.#run(async () => {
      if (!this.facts) throw new Error(t('status.no-network'));
      let bitmap;
      try {
        bitmap = await createImageBitmap(image.file);
      } catch {
        throw new Error(t('files.unreadable', { name: image.name }));
      }
      const picture = await createImageBitmap(bitmap);
      const { size, encodeMs } = await this.client.call('open', { bitmap }, [bitmap]);
      if (this.image) this.image.picture = null;
      Object.assign(image, { size, picture });
      Object.assign(this, { image, object: null, encodeMs });
    });
  }

  // Objects

  /** A click or drag { x, y, positive, radius }, a box or a candidate, for the present object or else a new one. */
  act(action) {
    return this.#run(async () => {
      const { image } = this, isNew = this.object === null;
      if (!image) return;
      const object = this.object ?? { id: ++this.#objects, label: this.label, actions: [], undone: [], mask: null };
      const actions = [...object.actions, action], mask = await this.client.call('segment', { actions });
      Object.assign(object, { mask, actions, undone: [] });
      if (isNew) image.objects.push(object);
      this.object = object;
      this.#done({ kind: 'act', object });
    });
  }

  click(x, y, positive, radius = null) {
    return this.act({ kind: 'click', x, y, positive, radius });
  }

  box(box) {
    return this.act({ kind: 'box', box });
  }

  /** The next larger candidate mask (1) or the next smaller one (-1), around the ends. */
  choose(step) {
    return this.object?.mask?.count > 1 ? this.act({ kind: 'choose', step }) : Promise.resolve();
  }

  /** What comes next is a new object. */
  finish() {
    this.object = null;
    this.changed();
  }

  select(object) {
    this.object = object;
    this.changed();
  }

  remove(object = this.object) {
    if (!object) return;
    this.#take(object);
    this.#done({ kind: 'remove', object });
    this.changed();
  }

  /** The label of the present object, and of those to come. */
  setLabel(label) {
    if (!this.labels.includes(label)) this.labels.push(label);
    this.label = label;
    if (this.object && this.object.label !== label) {
      this.#done({ kind: 'label', object: this.object, before: this.object.label, after: label });
      this.object.label = label;
    }
    this.changed();
  }

  undo() {
    return this.#run(() => this.#move('undo'));
  }

  redo() {
    return this.#run(() => this.#move('redo'));
  }

  async #move(way) {
    const { image } = this, [from, to] = way === 'undo' ? ['done', 'undone'] : ['undone', 'done'];
    const change = image?.[from].at(-1);
    if (!change) return;
    const { object } = change;
    if (change.kind === 'act') await this.#moveAction(object, way);
    else if (change.kind === 'label') object.label = way === 'undo' ? change.before : change.after;
    else if (way === 'undo') image.objects.push(object);
    else this.#take(object);
    image[from].pop();
    image[to].push(change);
    this.isExported = false;
    if (change.kind !== 'remove') this.object = image.objects.includes(object) ? object : null;
  }

  /** A step back or forth, which gives the same mask also where the worker has forgotten the object. */
  async #moveAction(object, way) {
    const { image } = this, actions = way === 'undo' ? object.actions.slice(0, -1) : [...object.actions, object.undone.at(-1)];
    object.mask = await this.client.call('segment', { actions });
    if (way === 'undo') object.undone.push(object.actions.pop());
    else object.actions.push(object.undone.pop());
    if (!object.actions.length) this.#take(object);
    else if (!image.objects.includes(object)) image.objects.push(object);
  }

  #take(object) {
    const { objects } = this.image;
    objects.splice(objects.indexOf(object), 1);
    if (this.object === object) this.object = null;
  }

  #done(change) {
    this.image.done.push(change);
    this.image.undone = [];
    this.isExported = false;
  }
}
