// How the list of images is sorted and what else it is filtered by, and the dialog that assigns images.

import { post } from './api.js';
import { t } from './i18n.js';

const byId = (id) => document.getElementById(id);
const FIELDS = ['sort', 'label', 'review', 'since', 'date', 'assigned'];

export class ListOptions {
  constructor(session) {
    this.session = session;
    for (const name of FIELDS) byId(`list-${name}`).addEventListener('change', (e) => this.#set(name, e.target.value));
    for (const name of ['project', 'list']) session.addEventListener(name, () => this.#offer());
    byId('assign').addEventListener('click', () => this.#openAssign());
    byId('assign-close').addEventListener('click', () => byId('assigning').close());
    byId('assign-unassigned').addEventListener('change', () => this.#count());
    byId('assign-form').addEventListener('submit', (e) => { e.preventDefault(); this.#assign(); });
  }

  /** Offer the labels and the names that there are. */
  #offer() {
    const { session } = this, { order } = session, names = new Map();
    for (const { assigned } of session.rows) if (assigned !== null) names.set(assigned.toLowerCase(), assigned);
    const labels = session.project.labels.map(({ id, name }) => [String(id), name]);
    fill(byId('list-label'), [['', t('list.any-label')], ...labels], order.label);
    const fixed = [['', t('list.any-person')], ['mine', t('list.mine')], ['nobody', t('list.unassigned')]];
    fill(byId('list-assigned'), [...fixed, ...[...names.values()].sort().map((name) => [`of ${name}`, name])], order.assigned);
    for (const name of ['label', 'assigned']) order[name] = byId(`list-${name}`).value;
  }

  async #set(name, value) {
    const { session } = this, { order } = session;
    order[name] = value;
    byId('list-date-row').hidden = order.since !== 'date';
    const count = order.narrowed;
    byId('list-narrowed').textContent = count ? `(${count})` : '';
    if (value === 'mine' && !byId('person').value.trim()) session.notice(t('list.who-are-you'));
    if (name === 'sort' && value) await session.loadList(value === 'disagreement').catch((error) => session.notice(error.message));
    session.emit('order');
  }

  // Assigning

  get #images() {
    return this.session.order.listed.filter((row) => !byId('assign-unassigned').checked || row.assigned === null);
  }

  #openAssign() {
    byId('assign-error').hidden = true;
    this.#count();
    byId('assigning').showModal();
  }

  #count() {
    const count = this.#images.length, field = byId('assign-count');
    byId('assign-shown').textContent = t('assign.shown', { count });
    field.max = field.value = count;
  }

  async #assign() {
    const { session } = this, error = byId('assign-error');
    const persons = byId('assign-names').value.split('\n').map((name) => name.trim()).filter(Boolean);
    const images = this.#images.slice(0, Number(byId('assign-count').value)).map((row) => row.id);
    try {
      const { change } = await post('/api/assignments', { images, persons });
      session.history.recordChange('assignment', change);
      await session.loadList();
    } catch (refusal) {
      error.textContent = refusal.message;
      error.hidden = false;
      return;
    }
    byId('assigning').close();
    session.offer(t(persons.length ? 'assign.assigned' : 'assign.freed', { count: images.length, names: persons.join(', ') }), [[t('finish.undo'), () => session.undo()]]);
  }
}

/** Fill a select with [value, text]; the chosen value stays where it is still there. */
function fill(select, options, value) {
  const shown = JSON.stringify(options);
  if (select.dataset.shown === shown) return;
  select.dataset.shown = shown;
  select.replaceChildren(...options.map(([each, text]) => new Option(text, each)));
  select.value = options.some(([each]) => each === value) ? value : '';
}
