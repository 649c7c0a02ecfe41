// The list of labels, and the dialogs that change a label and that give an object another one.

import { get } from './api.js';
import { AttributeEditor } from './attribute-editor.js';
import { setName, t } from './i18n.js';
import { fillRow, showRows } from './rows.js';

const byId = (id) => document.getElementById(id);

export class LabelPanel {
  #edited = null;  // the label that the dialog shows
  #shown = '';
  #attributes = new AttributeEditor();

  constructor(session, canvas) {
    Object.assign(this, { session, canvas });
    for (const name of ['project', 'state']) session.addEventListener(name, () => this.#render());
    byId('new-label').addEventListener('submit', (e) => this.#add(e));
    byId('label-form').addEventListener('submit', (e) => { e.preventDefault(); this.#save(); });
    byId('label-close').addEventListener('click', () => byId('label-edit').close());
    byId('label-merge').addEventListener('click', () => this.#finish({ into: Number(byId('label-into').value) }, 'POST', '/merge'));
    byId('label-delete').addEventListener('click', () => this.#finish(undefined, 'DELETE'));
    byId('relabel-close').addEventListener('click', () => byId('relabel').close());
    byId('relabel').addEventListener('keydown', (e) => this.#relabelByKey(e));
  }

  async #run(work) {
    try {
      await work();
      this.canvas.focus();
    } catch (error) {
      this.session.notice(error.message);
    }
  }

  #add(e) {
    e.preventDefault();
    const field = byId('label-name'), name = field.value.trim();
    if (!name) return;
    this.#run(async () => {
      await this.session.labels.add(name);
      field.value = '';
    });
  }

  /** Choose the label of a key for the next object. */
  byKey(key) {
    const label = this.session.project.labels.find((l) => l.key === key);
    if (!label) return false;
    this.session.labels.choose(label.id);
    return true;
  }

  #render() {
    const { session } = this, shown = JSON.stringify([session.project.labels, session.label]);
    if (shown === this.#shown) return;  // a row that is replaced while it is pressed would take no click
    this.#shown = shown;
    const rows = session.project.labels.map((label) => this.#row(label));
    showRows(byId('labels'), rows, rows.find((row) => row.dataset.key === String(session.label)));
  }

  #row(label) {
    const { session } = this, row = document.createElement('div');
    row.className = 'label';
    row.setAttribute('aria-selected', label.id === session.label);
    const swatch = document.createElement('span'), name = document.createElement('b'), key = document.createElement('kbd');
    swatch.className = 'swatch';
    swatch.style.background = label.colour;
    name.textContent = label.name;
    key.textContent = label.key;
    const edit = document.createElement('button');
    setName(edit, t('labels.change-of', { label: label.name }));
    edit.innerHTML = '<svg><use href="#i-edit"/></svg>';
    edit.addEventListener('click', (e) => { e.stopPropagation(); this.openEdit(label); });
    fillRow(row, label.id, [swatch, name, ...(label.key ? [key] : [])], [edit]);
    row.addEventListener('click', () => session.labels.choose(label.id));
    return row;
  }

  // Changing a label

  async openEdit(label) {
    this.#edited = label;
    byId('label-new-name').value = label.name;
    byId('label-colour').value = label.colour;
    byId('label-key').value = label.key;
    const others = this.session.project.labels.filter((other) => other.id !== label.id);
    byId('label-into').replaceChildren(...others.map((other) => new Option(other.name, other.id)));
    byId('label-merge').disabled = !others.length;
    this.#attributes.show(label);
    byId('label-error').hidden = true;
    byId('label-usage').textContent = '';
    byId('label-edit').showModal();
    const usage = await get(`/api/labels/${label.id}/usage`).catch(() => null);
    if (usage && this.#edited === label) byId('label-usage').textContent = t('labels.usage', { count: usage.objects, images: usage.images });
  }

  #save() {
    const change = { name: byId('label-new-name').value, colour: byId('label-colour').value, key: byId('label-key').value };
    const changed = Object.entries(change).filter(([name, value]) => value !== this.#edited[name]);
    return this.#finish({ ...Object.fromEntries(changed), ...this.#attributes.change });
  }

  /** Change the label; the dialog stays open, with all that was entered, where the server refuses. */
  async #finish(change, method = 'PATCH', path = '') {
    const { session } = this, { id } = this.#edited, error = byId('label-error');
    error.hidden = true;
    try {
      await session.labels.change(id, change, method, path);
    } catch (refusal) {
      error.textContent = refusal.message;
      error.hidden = false;
      return;
    }
    byId('label-edit').close();
    this.canvas.focus();
    session.offer(t('labels.changed'), [[t('finish.undo'), () => session.undo()]]);
  }

  // Giving the selected object another label

  openRelabel(object = this.session.object) {
    if (!object) return this.session.notice(t('labels.select-first'), false);
    const choice = (name, id, key, colour) => {
      const button = document.createElement('button'), swatch = document.createElement('span');
      swatch.className = 'swatch';
      swatch.style.background = colour;
      button.append(swatch, name);
      button.setAttribute('aria-pressed', object.label === id);
      if (key) button.append(Object.assign(document.createElement('kbd'), { textContent: key }));
      button.dataset.key = key;
      button.addEventListener('click', () => {
        byId('relabel').close();
        if (object.label !== id) this.session.labels.relabel(object.id, id);
        this.canvas.focus();
      });
      return button;
    };
    const labels = this.session.project.labels.map(({ name, id, key, colour }) => choice(name, id, key, colour));
    byId('relabel-title').textContent = t('labels.relabel', { object: this.session.nameOf(object) });
    byId('relabel-choices').replaceChildren(...labels, choice(t('labels.no-label'), null, '', 'transparent'));
    byId('relabel').showModal();
    return true;
  }

  #relabelByKey(e) {
    const button = /^[0-9]$/.test(e.key) ? byId('relabel').querySelector(`[data-key="${e.key}"]`) : null;
    if (button) { e.preventDefault(); button.click(); }
  }
}
