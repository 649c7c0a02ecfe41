// What this page knows: the project, the photograph that is open, and what was done but not answered yet.
// Parts of the page listen for events: 'project', 'list', 'open', 'state', 'pending', 'view', 'notice', 'proposal'.

import { ApiError, call, get, post, randomName, decodeMap, client } from './api.js';

const RENEW = 15000, WATCH = 4000;

/** An object that is being worked on; its number comes with the first answer. */
const fresh = () => ({ id: null });

export class Session extends EventTarget {
  project = null;
  images = [];
  image = null;       // as in the list
  photo = null;       // path, width, height, version, changed
  state = null;       // as the server last answered
  masks = new Map();  // of the open photograph, by their numbers
  active = fresh();
  label = null;
  pending = [];       // actions without an answer, oldest first
  proposal = null;
  heldBy = null;
  #sending = false;
  #opening = 0;
  #timer = 0;

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  notice(text, bad = true) {
    this.tell('notice', { text, bad });
  }

  // The project

  async start() {
    await this.loadProject();
    this.label = this.project.labels[0]?.id ?? null;
    await this.loadList();
    const wanted = Number(new URLSearchParams(location.hash.slice(1)).get('image') ?? localStorage.getItem(this.#memory));
    const first = this.images.find((i) => i.id === wanted) ?? this.images.find((i) => i.state === 'started' || i.state === 'new') ?? this.images[0];
    if (first) await this.open(first.id);
  }

  get #memory() {
    return `saywhere-last:${this.project.name}`;
  }

  async loadProject() {
    this.project = await get('/api/project');
    this.tell('project');
  }

  async loadList() {
    const found = [];
    for (;;) {
      const part = await get(`/api/images?offset=${found.length}&limit=1000`);
      found.push(...part.images);
      if (!part.images.length || found.length >= part.total) break;
    }
    this.images = found;
    this.tell('list');
  }

  async rescan() {
    this.project = await post('/api/rescan');
    this.tell('project');
    await this.loadList();
  }

  // The photograph

  async open(id) {
    if (this.pending.length && this.image?.id !== id) {
      await this.settled();
    }
    const turn = ++this.#opening;
    this.#leave(id);
    clearTimeout(this.#timer);
    this.tell('opening', id);
    let photo;
    try {
      photo = await get(`/api/images/${id}`);
    } catch (error) {
      if (turn === this.#opening) {
        this.#clear(id);
        this.notice(error.message);
      }
      return;
    }
    if (turn !== this.#opening) return;  // another one was asked for meanwhile
    this.image = this.images.find((i) => i.id === id) ?? { id, path: photo.path };
    this.photo = photo;
    this.masks = new Map();
    this.proposal = null;
    this.#take(photo.state, true);
    this.heldBy = photo.holder;
    localStorage.setItem(this.#memory, id);
    history.replaceState(null, '', `#image=${id}`);
    if (photo.changed) this.notice('The file is another one than when it was annotated; look whether the masks still fit.');
    this.tell('open');
    this.#hold();
    this.propose();
    this.#lookAhead();
  }

  #clear(id) {
    this.image = this.images.find((i) => i.id === id) ?? null;
    this.photo = this.state = this.proposal = null;
    this.masks = new Map();
    this.tell('open');
  }

  /** A state that the server answered: everything that is shown follows from it. */
  #take(state, opened = false) {
    for (const [number, mask] of Object.entries(state.masks)) this.masks.set(Number(number), mask);
    this.state = state;
    this.since = performance.now();  // what a person takes for a step is counted from what they saw
    const there = (number) => state.objects.some((o) => o.id === number);
    if (opened) this.active = state.active && state.state === 'started' ? { id: state.active } : fresh();
    if (this.active.id !== null && !there(this.active.id)) this.active = fresh();
    const row = this.image;
    if (row) {
      Object.assign(row, { state: state.state, objects: state.objects.length, fault: null });
      this.tell('row', row.id);
    }
    this.tell('state');
  }

  get object() {
    return this.state?.objects.find((o) => o.id === this.active.id) ?? null;
  }

  select(id) {
    this.active = id === null ? fresh() : { id };
    const label = this.object?.label;
    if (label) this.label = label;
    this.tell('state');
    if (id === null) this.propose();
    else this.#setProposal(null);
  }

  // Leases: who opened a photograph holds it; the others may look on, or take it over

  async #hold(take = false) {
    const id = this.image?.id;
    clearTimeout(this.#timer);
    try {
      await post(`/api/images/${id}/lock${take ? '?take=true' : ''}`);
      if (id !== this.image?.id) return;
      if (this.heldBy !== null) await this.reload();
      this.heldBy = null;
    } catch (error) {
      if (id !== this.image?.id) return;
      if (error.status === 423) {
        this.heldBy = error.holder;
        await this.reload().catch(() => {});
      }
    }
    this.tell('held');
    this.#timer = setTimeout(() => this.#hold(), this.heldBy === null ? RENEW : WATCH);
  }

  takeOver() {
    return this.#hold(true);
  }

  #leave(next = null) {
    const id = this.image?.id;
    if (!id || id === next || this.heldBy !== null) return;
    call('DELETE', `/api/images/${id}/lock`, undefined, { keepalive: true }).catch(() => {});
  }

  leave() {
    clearTimeout(this.#timer);
    this.#leave();
  }

  async reload() {
    const id = this.image.id;
    const photo = await get(`/api/images/${id}`);
    if (id === this.image?.id && photo.state.seq !== this.state?.seq) this.#take(photo.state);
  }

  // Actions: one after another, each kept by the server before the next one is sent

  /** Do something to the object that is being worked on (`toObject`), or to the photograph. */
  act(action, { toObject = true, object = this.active } = {}) {
    if (!this.state) return Promise.resolve(false);
    if (this.heldBy !== null) {
      this.notice(`${this.heldBy} works on this photograph now.`);
      return Promise.resolve(false);
    }
    if (toObject && action.kind !== 'label') this.#setProposal(null);
    return new Promise((resolve) => {
      this.pending.push({ key: randomName(), action, toObject, object, label: this.label, took: Math.round(performance.now() - this.since), image: this.image.id, resolve });
      this.tell('pending');
      this.#send();
    });
  }

  /** When nothing waits for an answer any more. */
  async settled() {
    while (this.pending.length) await new Promise((resolve) => this.addEventListener('pending', resolve, { once: true }));
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    let wait = 300, failures = 0;
    while (this.pending.length) {
      const item = this.pending[0];
      try {
        const answer = await post(`/api/images/${item.image}/events`, { key: item.key, base: this.state.seq, action: this.#filled(item), took_ms: Math.min(item.took, 86400000) });
        wait = 300;
        failures = 0;
        this.pending.shift();
        this.#answered(item, answer);
        item.resolve(true);
      } catch (error) {
        // A fault of the server's own (500) will not go away by itself; one of the disk or the network may.
        if (error.status === 0 || error.status > 500 || (error.status === 500 && ++failures < 4)) {
          // Not answered: it is sent again, under the same key, until it is.
          this.tell('unreached', error.message);
          await new Promise((resolve) => setTimeout(resolve, wait));
          wait = Math.min(wait * 1.7, 4000);
          continue;
        }
        this.#refused(error);
      }
      this.tell('reached');
      this.tell('pending');
    }
    this.#sending = false;
  }

  #filled({ action, toObject, object, label }) {
    if (!toObject) return action;
    const begins = ['click', 'phrase', 'brush'].includes(action.kind);
    if (begins && object.id === null) return { ...action, object: null, label };
    return { ...action, object: object.id };
  }

  #answered(item, answer) {
    if (item.toObject && item.object.id === null) item.object.id = answer.active;
    const goesBack = ['undo', 'redo', 'delete'].includes(item.action.kind);
    if (goesBack && !this.pending.length) {
      const there = answer.objects.some((o) => o.id === answer.active);
      this.active = there && item.action.kind !== 'delete' ? { id: answer.active } : fresh();
    }
    this.#take(answer);
    if (goesBack && this.active.id === null) this.propose();
  }

  #refused(error) {
    const dropped = this.pending.splice(0);
    for (const item of dropped) item.resolve(false);
    if (error.status === 423) {
      this.heldBy = error.holder;
      this.tell('held');
      this.#hold();
    } else if (error.status === 409) {
      this.notice('This photograph changed elsewhere. It is shown as it is now; please do your last step again.');
      this.reload().catch(() => {});
    } else {
      this.notice(error.message);
    }
  }

  // Proposals

  #setProposal(proposal) {
    this.proposal = proposal;
    this.tell('proposal');
  }

  async propose() {
    this.#setProposal(null);
    const id = this.image?.id, seq = this.state?.seq;
    if (!this.state || this.label === null || this.active.id !== null || this.project.study || this.heldBy !== null) return;
    if (this.state.state === 'done') return;
    try {
      const found = await get(`/api/images/${id}/proposal?label=${this.label}`);
      if (found.x === null) return;
      const confidence = await decodeMap(found.confidence);
      const still = id === this.image?.id && seq === this.state?.seq && this.active.id === null && !this.pending.length;
      if (still) this.#setProposal({ x: found.x, y: found.y, confidence });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;  // without a proposal the person clicks; nothing is lost
    }
  }

  agree() {
    if (!this.proposal) return false;
    const { x, y } = this.proposal;
    this.act({ kind: 'click', x, y, positive: true, radius: null, proposed: true });
    return true;
  }

  // From one photograph to another

  #lookAhead() {
    const next = this.after(1, true);
    if (next && next.id !== this.image.id) post(`/api/images/${next.id}/prefetch`).catch(() => {});
  }

  /** The photograph `step` further on; with `todo` the nearest one that is neither done nor skipped. */
  after(step, todo = false) {
    const at = this.images.indexOf(this.image), count = this.images.length;
    for (let i = 1; i <= count; i++) {
      const row = this.images[(at + step * i + count * count) % count];
      if (!todo || row.state === 'new' || row.state === 'started') return row;
    }
    return null;
  }

  async go(step) {
    const row = this.images.length ? this.after(step) : null;
    if (row) await this.open(row.id);
  }

  async finish(value) {
    if (!this.state) return;
    if (value === 'done' && !this.state.objects.length && !this.pending.length) {
      this.notice('Nothing is marked here yet. Press S to skip this photograph.');
      return;
    }
    const done = await this.act({ kind: 'mark', value }, { toObject: false });
    if (!done) return;
    const next = this.after(1, true);
    if (next && next !== this.image) await this.open(next.id);
    else {
      this.select(null);
      this.notice('Every photograph is done or skipped.', false);
    }
  }

  // Labels

  async addLabel(name) {
    const label = await post('/api/labels', { name });
    await this.loadProject();
    this.choose(label.id);
  }

  async changeLabel(id, change) {
    await call('PATCH', `/api/labels/${id}`, change);
    await this.loadProject();
    this.tell('state');
  }

  /** Take a label for the object that is being worked on, and for new ones. */
  choose(id) {
    this.label = id;
    this.tell('project');
    if (this.object && this.object.label !== id) this.act({ kind: 'label', label: id });
    else if (!this.object) this.propose();
  }

  labelOf(id) {
    return this.project.labels.find((l) => l.id === id) ?? null;
  }

  colourOf(object) {
    return this.labelOf(object?.label ?? null)?.colour ?? '#f59f00';
  }
}

export { client };
