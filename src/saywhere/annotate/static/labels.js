// The project's labels: choosing one for the next object, giving an object another one, and changing them.

import { call, post } from './api.js';
import { t } from './i18n.js';

export class Labels {
  constructor(session) {
    this.session = session;
  }

  /** The visible label of a name, whatever its spaces and capitals. */
  named(name) {
    const cleaned = name.trim().replace(/\s+/g, ' ').toLowerCase();
    return this.session.project.labels.find((label) => label.name.toLowerCase() === cleaned) ?? null;
  }

  /** Create a label, or find the one of this name, and choose it. */
  async add(name) {
    this.choose(await this.#create(name));
  }

  /** The number of the label of a name, which is created where there is none. */
  async idOf(name) {
    return this.named(name)?.id ?? this.#create(name);
  }

  async #create(name) {
    const label = await post('/api/labels', { name });
    this.session.history.recordChange('label', label.change);
    await this.session.reloadAll();
    return label.id;
  }

  /** Change a label: PATCH with its new values, DELETE, or POST with /merge to merge it into another one. */
  async change(id, change, method = 'PATCH', path = '') {
    const label = await call(method, `/api/labels/${id}${path}`, change);
    this.session.history.recordChange('label', label.change);
    await this.session.reloadAll();
  }

  /** Choose the label of new objects. A selected object keeps its own: it is finished, and the next click begins another. */
  choose(id) {
    const { session } = this, before = session.object;
    session.label = id;
    session.emit('project');
    session.select(null);
    if (!before || before.label === id) return;
    const label = session.labelOf(id).name, object = session.nameOf(before);
    session.offer(t('labels.next', { label }), [[t('labels.relabel-selected', { object, label }), () => this.relabel(before.id, id)]]);
  }

  /** Give an object another label, or none where `label` is null. */
  relabel(object, label) {
    this.session.select(object);
    return this.session.act({ kind: 'label', label });
  }

  /** After something was said of the active object: offer to create a label of this name, where there is none. */
  offerNamed(name) {
    const { session } = this, { object } = session;
    if (!object || this.named(name)) return;
    const create = async () => {
      const id = await this.#create(name);
      session.label = id;
      session.emit('project');
      await this.relabel(object.id, id);
    };
    const chosen = session.labelOf(session.label), choices = [[t('labels.create', { label: name }), () => create().catch((e) => session.notice(e.message))]];
    if (object.label === null && chosen) choices.push([t('labels.use', { label: chosen.name }), () => this.relabel(object.id, chosen.id)]);
    const text = object.label === null ? t('labels.none-named', { label: name }) : t('labels.keeps', { label: name, object: session.nameOf(object) });
    session.offer(text, choices);
  }
}
