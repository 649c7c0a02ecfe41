// The page's state: the project and the open image. Parts of the page listen for its events: 'project', 'list', 'row',
// 'opening', 'open', 'state', 'pending', 'lock', 'proposal', 'notice', 'offline', 'online'; and, emitted by other parts,
// 'view', 'tool'.

import { ActionQueue } from './action-queue.js';
import { get, post } from './api.js';
import { labelColour, objectColours } from './colours.js';
import { EditLock } from './edit-lock.js';
import { Flow } from './flow.js';
import { History } from './history.js';
import { t } from './i18n.js';
import { Intent } from './intent.js';
import { Labels } from './labels.js';
import { LocalNetwork } from './local.js';
import { ImageOrder, summaryOf } from './order.js';
import { Proposals } from './proposals.js';

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
  beginsNew = false;  // whether a person asked for a new object: a click begins one, whatever it is on
  lock = new EditLock(this);
  actions = new ActionQueue(this);
  proposals = new Proposals(this);
  history = new History(this);
  intent = new Intent(this);
  order = new ImageOrder(this);
  flow = new Flow(this);
  labels = new Labels(this);
  local = new LocalNetwork(this);
  colouring = 'label';  // 'label': shades of the label's colour; 'object': a colour for each object
  #steps = Promise.resolve();  // the last step between candidates; each waits for the one before
  #openCount = 0;
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
    this.lock.release(id);
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
    this.proposals.current = null;
    this.showState(image.state, true);
    this.lock.holder = image.holder;
    localStorage.setItem(this.#lastImageKey, id);
    history.replaceState(null, '', `#image=${id}`);
    if (image.changed) this.notice(t('page.file-changed'));
    this.emit('open');
    this.lock.request();
    this.proposals.request();
  }

  /** An image that cannot be shown can still be skipped, so that a project can be finished. */
  async #openUnreadable(id) {
    const count = this.#openCount, state = await get(`/api/images/${id}/state`).catch(() => null);
    if (count !== this.#openCount) return;
    this.row = this.rows.find((row) => row.id === id) ?? null;
    this.image = this.state = this.proposals.current = null;
    this.masks = new Map();
    this.lock.holder = null;
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
  showState(state, opened = false) {
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
    if (id === null) this.proposals.request();
    else this.proposals.drop();
  }

  /** Have the next click begin an object, even on another one. */
  beginObject() {
    this.select(null);
    this.beginsNew = true;
  }

  // Edit locks

  /** Who else edits the open image; null for nobody. */
  get lockHolder() {
    return this.lock.holder;
  }

  async reload() {
    const id = this.row.id;
    const image = await get(`/api/images/${id}`);
    if (id === this.row?.id && image.state.seq !== this.state?.seq) this.showState(image.state);
  }

  /** Load the project and the open image again and show both at once: a renamed attribute never lacks its values. */
  async reloadAll() {
    const id = this.image ? this.row.id : null;
    const [project, image] = await Promise.all([get('/api/project'), id === null ? null : get(`/api/images/${id}`)]);
    const isOpen = image && id === this.row?.id;
    if (isOpen && image.state.seq < this.state.seq) return this.reloadAll();  // an action was answered meanwhile
    this.project = project;
    if (!this.labelOf(this.label)) this.label = project.labels[0]?.id ?? null;
    if (isOpen) this.showState(image.state);
    this.emit('project');
    if (!isOpen) this.emit('state');
  }

  // Actions

  /** Actions that are not answered yet, oldest first. */
  get pending() {
    return this.actions.pending;
  }

  /** Do an action on the active object (`toObject`) or on the image; resolves to whether it was done. */
  act(action, options) {
    return this.actions.add(action, options);
  }

  allAnswered() {
    return this.actions.allAnswered();
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

  /** The click that is proposed. */
  get proposal() {
    return this.proposals.current;
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
