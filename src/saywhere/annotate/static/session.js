// The page's state: the project, the open image, and actions that are not answered yet. Parts of the page listen for
// its events: 'project', 'list', 'row', 'opening', 'open', 'state', 'pending', 'lock', 'proposal', 'notice', 'offline',
// 'online'; and, emitted by other parts, 'view', 'tool'.

import { labelColour, objectColours } from './colours.js';
import { ApiError, call, get, post, decodeMap } from './api.js';
import { Flow } from './flow.js';
import { History } from './history.js';
import { t } from './i18n.js';
import { Intent } from './intent.js';
import { Labels } from './labels.js';
import { LocalNetwork } from './local.js';
import { ImageOrder, summaryOf } from './order.js';
import { client, randomName, rememberImage, takeGoneTabs } from './tab.js';

const LOCK_RENEWAL = 15000, LOCK_POLL = 4000;  // ms

/** A reference to an object that is begun; the first answer sets its number. */
const newObject = () => ({ id: null });

export class Session extends EventTarget {
  project = null;
  rows = [];
  row = null;         // the open image as in the list
  image = null;       // path, width, height, version, changed; null while it is loaded
  state = null;       // as the server last answered
  masks = new Map();  // of the open image, by their numbers
  active = newObject();
  label = null;
  pending = [];       // actions without an answer, oldest first
  proposal = null;
  lockHolder = null;
  beginsNew = false;  // whether a person asked for a new object: a click begins one, whatever it is on
  history = new History(this);
  intent = new Intent(this);
  order = new ImageOrder(this);
  flow = new Flow(this);
  labels = new Labels(this);
  local = new LocalNetwork(this);
  colouring = 'label';  // 'label': shades of the label's colour; 'object': a colour for each object
  #sending = false;
  #steps = Promise.resolve();  // the last step between candidates; each waits for the one before
  #openCount = 0;
  #timer = 0;
  #colours = null;

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  notice(text, bad = true) {
    this.emit('notice', { text, bad });
  }

  /** Say what was done, or ask, with choices [name, what it does]; null ends the present one, and so does any action. */
  offer(text, choices = []) {
    this.emit('offer', text === null ? null : { text, choices });
  }

  // The project

  async start() {
    await this.loadProject();
    this.label = this.project.labels[0]?.id ?? null;
    await this.loadList();
    const lastId = Number(new URLSearchParams(location.hash.slice(1)).get('image') ?? localStorage.getItem(this.#lastImageKey));
    const first = this.rows.find((row) => row.id === lastId) ?? this.rows.find((row) => row.state === 'started' || row.state === 'new') ?? this.rows[0];
    if (first) await this.open(first.id);
  }

  get #lastImageKey() {
    return `saywhere-last:${this.project.name}`;
  }

  async loadProject() {
    this.project = await get('/api/project');
    this.emit('project');
  }

  /** Load the list; with the images' disagreements, which the server may have to compute, where that is asked for. */
  async loadList(disagreement = false) {
    const rows = [], query = disagreement ? 'limit=200&disagreement=true' : 'limit=1000';
    for (;;) {
      const part = await get(`/api/images?offset=${rows.length}&${query}`);
      rows.push(...part.images);
      if (!part.images.length || rows.length >= part.total) break;
    }
    this.rows = rows;
    this.row = rows.find((row) => row.id === this.row?.id) ?? this.row;
    this.emit('list');
  }

  async rescan() {
    const found = await post('/api/rescan');
    this.project = found;
    this.emit('project');
    await this.loadList();
    return found;
  }

  // The open image

  async open(id) {
    if (this.pending.length && this.row?.id !== id) {
      await this.allAnswered();
    }
    const count = ++this.#openCount;
    this.offer(null);
    this.beginsNew = false;
    this.#unlock(id);
    clearTimeout(this.#timer);
    this.emit('opening', id);
    let image;
    try {
      image = await get(`/api/images/${id}`);
    } catch (error) {
      if (count === this.#openCount) {
        await this.#openUnreadable(id);
        this.notice(error.message);
      }
      return;
    }
    if (count !== this.#openCount) return;  // another image was opened meanwhile
    this.row = this.rows.find((row) => row.id === id) ?? { id, path: image.path };
    this.image = image;
    this.masks = new Map();
    this.proposal = null;
    this.#applyState(image.state, true);
    this.lockHolder = image.holder;
    localStorage.setItem(this.#lastImageKey, id);
    history.replaceState(null, '', `#image=${id}`);
    if (image.changed) this.notice(t('page.file-changed'));
    this.emit('open');
    this.#lock();
    this.propose();
  }

  /** An image that cannot be shown can still be skipped, so that a project can be finished. */
  async #openUnreadable(id) {
    const count = this.#openCount, state = await get(`/api/images/${id}/state`).catch(() => null);
    if (count !== this.#openCount) return;
    this.row = this.rows.find((row) => row.id === id) ?? null;
    this.image = this.state = this.proposal = null;
    this.masks = new Map();
    this.lockHolder = null;
    if (state && this.row) {
      this.state = state;
      this.active = newObject();
      this.row.fault ??= t('list.fault');
      this.emit('row', id);
      history.replaceState(null, '', `#image=${id}`);
    }
    this.emit('open');
  }

  /** Show a state that the server answered. */
  #applyState(state, opened = false) {
    for (const [number, mask] of Object.entries(state.masks)) this.masks.set(Number(number), mask);
    this.state = state;
    this.stateShownAt = performance.now();  // the time of the next action is measured from here
    const exists = (number) => state.objects.some((o) => o.id === number);
    if (opened) this.active = state.active && state.state === 'started' ? { id: state.active } : newObject();
    if (this.active.id !== null && !exists(this.active.id)) this.active = newObject();
    const row = this.row;
    if (row) {
      const known = opened ? row.at : Date.now();
      Object.assign(row, { state: state.state, objects: state.objects.length, fault: this.image ? null : row.fault, at: known }, summaryOf(state));
      this.emit('row', row.id);
    }
    this.emit('state');
  }

  get object() {
    return this.state?.objects.find((o) => o.id === this.active.id) ?? null;
  }

  /** Whether nothing is done to an object of the open image but to unlock it. */
  isLocked(id) {
    return this.state?.objects.some((one) => one.id === id && one.locked) ?? false;
  }

  select(id) {
    this.offer(null);
    this.beginsNew = false;
    this.active = id === null ? newObject() : { id };
    this.emit('state');
    if (id === null) this.propose();
    else this.#setProposal(null);
  }

  /** Have the next click begin an object, even on another one. */
  beginObject() {
    this.select(null);
    this.beginsNew = true;
  }

  // Edit locks: who opened an image holds its lock; others can watch, or take it over

  async #lock(take = false) {
    const id = this.row?.id;
    clearTimeout(this.#timer);
    try {
      await post(`/api/images/${id}/lock${take ? '?take=true' : ''}`);
      if (id !== this.row?.id) return;
      rememberImage(id);
      if (this.lockHolder !== null) await this.reload();
      this.lockHolder = null;
    } catch (error) {
      if (id !== this.row?.id) return;
      if (error.status === 423) {
        if (await this.#releaseGone(id)) return this.#lock();
        this.lockHolder = error.holder;
        await this.reload().catch(() => {});
      }
    }
    this.emit('lock');
    this.#timer = setTimeout(() => this.#lock(), this.lockHolder === null ? LOCK_RENEWAL : LOCK_POLL);
  }

  /** Release what tabs of this browser hold that are gone; false where there is none. */
  async #releaseGone(id) {
    const gone = await takeGoneTabs(id);
    for (const name of gone) await call('DELETE', `/api/images/${id}/lock`, undefined, { as: name }).catch(() => {});
    return gone.length > 0;
  }

  takeOver() {
    return this.#lock(true);
  }

  #unlock(next = null) {
    const id = this.row?.id;
    if (!id || id === next || this.lockHolder !== null) return;
    rememberImage(null);
    call('DELETE', `/api/images/${id}/lock`, undefined, { keepalive: true }).catch(() => {});
  }

  unlock() {
    clearTimeout(this.#timer);
    this.#unlock();
  }

  async reload(always = false) {
    const id = this.row.id;
    const image = await get(`/api/images/${id}`);
    if (id === this.row?.id && (always || image.state.seq !== this.state?.seq)) this.#applyState(image.state);
  }

  // Actions: one after another, each stored by the server before the next one is sent

  /** Do an action on the active object (`toObject`) or on the image. */
  act(action, { toObject = true, object = this.active } = {}) {
    if (!this.state) return Promise.resolve(false);
    if (this.lockHolder !== null) {
      this.notice(t('page.locked', { holder: this.lockHolder }));
      return Promise.resolve(false);
    }
    if (toObject && action.kind !== 'lock' && this.isLocked(object.id)) {
      this.notice(t('objects.is-locked'));
      return Promise.resolve(false);
    }
    this.offer(null);
    if (toObject && action.kind !== 'label') this.#setProposal(null);
    if (toObject) this.beginsNew = false;
    const goesBack = action.kind === 'undo' || action.kind === 'redo';
    const entry = goesBack ? null : this.history.recordAction(this.row.id, action);
    return new Promise((resolve) => {
      this.pending.push({ key: randomName(), action, toObject, object, label: this.label, took: Math.round(performance.now() - this.stateShownAt), imageId: this.row.id, entry, resolve });
      this.emit('pending');
      this.#send();
    });
  }

  /** Resolves when no action is pending. */
  async allAnswered() {
    while (this.pending.length) await new Promise((resolve) => this.addEventListener('pending', resolve, { once: true }));
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    let wait = 300, failures = 0;
    while (this.pending.length) {
      const item = this.pending[0];
      try {
        const action = this.#completeAction(item);
        if (item.computed === undefined) item.computed = await this.local.compute(item.imageId, action);
        const answer = await post(`/api/images/${item.imageId}/events`, { key: item.key, base: this.state.seq, action, computed: item.computed, took_ms: Math.min(item.took, 86400000) });
        wait = 300;
        failures = 0;
        this.pending.shift();
        this.#onAnswer(item, answer);
        item.resolve(true);
      } catch (error) {
        // An error of the server's own (500) will not go away by itself; one of the disk or the network may.
        if (error.status === 0 || error.status > 500 || (error.status === 500 && ++failures < 4)) {
          // Not answered: it is sent again, under the same key, until it is.
          this.emit('offline', error.message);
          await new Promise((resolve) => setTimeout(resolve, wait));
          wait = Math.min(wait * 1.7, 4000);
          continue;
        }
        this.#onRejection(error);
      }
      this.emit('online');
      this.emit('pending');
    }
    this.#sending = false;
  }

  #completeAction({ action, toObject, object, label }) {
    if (!toObject) return action;
    const begins = ['click', 'box', 'phrase', 'brush', 'lasso', 'polygon', 'rectangle'].includes(action.kind);
    // What is said gives the object its label, not what is chosen.
    if (begins && object.id === null) return { ...action, object: null, label: action.kind === 'phrase' ? null : label };
    return { ...action, object: object.id };
  }

  #onAnswer(item, answer) {
    if (item.toObject && item.object.id === null) item.object.id = answer.active;
    const goesBack = ['undo', 'redo', 'delete'].includes(item.action.kind);
    if (goesBack && !this.pending.length) {
      const exists = answer.objects.some((o) => o.id === answer.active);
      this.active = exists && item.action.kind !== 'delete' ? { id: answer.active } : newObject();
    }
    this.#applyState(answer);
    if (goesBack && this.active.id === null) this.propose();
  }

  #onRejection(error) {
    const dropped = this.pending.splice(0);
    for (const item of dropped) {
      this.history.forget(item.entry);
      item.resolve(false);
    }
    if (error.status === 423) {
      this.lockHolder = error.holder;
      this.emit('lock');
      this.#lock();
    } else if (error.status === 409) {
      this.notice(t('page.changed-elsewhere'));
      this.reload().catch(() => {});
    } else {
      this.notice(error.message);
    }
  }

  // What the network takes

  /** Whether a click may be dragged to give it a radius. */
  get dragsAllowed() {
    const { drags, study } = this.project;
    return drags && (study === null || study === 'drag');
  }

  /** Why the active object, or a new one (`begins`), can have no further click of this sign; null where it can. */
  clickProblem(positive, begins = false) {
    const { model, max_clicks: most, negative_clicks: negative } = this.project;
    if (!positive && !negative) return t('tools.no-background', { model });
    if (begins || this.pending.some((item) => item.action.kind === 'undo')) return null;  // the server decides
    const clicks = (this.object?.clicks.length ?? 0) + this.#pendingClicks;
    if (most === null || clicks < most) return null;
    return t('tools.max-clicks', { model, count: most });
  }

  /** How many clicks on the active object are not answered yet. */
  get #pendingClicks() {
    return this.pending.filter((item) => item.action.kind === 'click' && item.object === this.active).length;
  }

  // Boxes and candidate masks

  /** Why no box can be drawn; null where one can. */
  get boxProblem() {
    const { boxes, study } = this.project;
    if (!boxes) return t(this.dragsAllowed ? 'tools.boxes-unsupported-drag' : 'tools.boxes-unsupported');
    return study ? t('tools.no-boxes-in-study', { study }) : null;
  }

  /** The candidate masks that the active object can be switched to, its own among them; null where there is no other. */
  get candidates() {
    const candidates = this.object?.candidates;
    return candidates?.indices.length && this.project.candidates > 1 && !this.project.study ? candidates : null;
  }

  /** Switch the active object to the next larger (1) or smaller (-1) candidate mask, once all before is answered. */
  stepCandidate(step) {
    const { active, row } = this;
    this.#steps = this.#steps.then(async () => {
      await this.allAnswered();
      if (active.id !== this.active.id || row !== this.row) return;  // another object was selected meanwhile
      const index = this.candidates?.indices[this.candidates.position + step];
      if (index !== undefined) await this.act({ kind: 'candidate', index });
    });
    return this.#steps;
  }

  // Proposals

  #setProposal(proposal) {
    this.proposal = proposal;
    this.emit('proposal');
  }

  async propose() {
    this.#setProposal(null);
    const id = this.row?.id, seq = this.state?.seq;
    if (!this.image || !this.state || this.label === null || this.active.id !== null || this.project.study || this.lockHolder !== null) return;
    if (this.state.state === 'done' || this.local.isActive) return;
    try {
      const answer = await get(`/api/images/${id}/proposal?label=${this.label}`);
      if (answer.x === null) return;
      const confidence = await decodeMap(answer.confidence);
      const current = id === this.row?.id && seq === this.state?.seq && this.active.id === null && !this.pending.length;
      if (current) this.#setProposal({ x: answer.x, y: answer.y, confidence });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;  // a proposal is optional
    }
  }

  hideProposal() {
    if (this.proposal) this.#setProposal(null);
  }

  acceptProposal() {
    if (!this.proposal) return false;
    const { x, y } = this.proposal;
    this.act({ kind: 'click', x, y, positive: true, radius: null, proposed: true });
    return true;
  }

  // Undo and redo

  undo() {
    return this.history.undo();
  }

  redo() {
    return this.history.redo();
  }

  // Labels

  labelOf(id) {
    return this.project.labels.find((l) => l.id === id) ?? null;
  }

  /** What an object is called: its label, or else its phrase or number. */
  nameOf(object) {
    return this.labelOf(object.label)?.name ?? object.phrase ?? t('objects.number', { number: object.id });
  }

  /** The colour of an object, or that of a label for an object that is not there yet. */
  colourOf(object) {
    const { state, project, colouring } = this;
    if (this.#colours?.state !== state || this.#colours.project !== project || this.#colours.colouring !== colouring) {
      const byId = objectColours(state?.objects ?? [], (label) => this.labelOf(label)?.colour, colouring);
      this.#colours = { state, project, colouring, byId };
    }
    return this.#colours.byId.get(object?.id) ?? labelColour(this.labelOf(object?.label ?? null));
  }
}

export { client };
