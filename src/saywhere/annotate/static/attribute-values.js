// The values that the selected object has of its attributes, in the panel on the right.

import { choiceOf, yesOrNo } from './attribute-editor.js';
import { formatNumber, t } from './i18n.js';

const KIND_OF = { boolean: 'flag', number: 'number', string: 'text' };

export class AttributeValues {
  #shape = ''; #controls = new Map();

  constructor(session, canvas) {
    Object.assign(this, { session, canvas, group: document.getElementById('attributes') });
    for (const name of ['state', 'project', 'open', 'lock']) session.addEventListener(name, () => this.#render());
    this.group.addEventListener('keydown', (e) => {
      if (e.key !== 'Escape') return;
      e.stopPropagation();
      this.#render(true);
      canvas.focus();
    });
  }

  /** Go to the first attribute of the selected object; false where it has none. */
  focus() {
    const first = this.group.querySelector('input, select');
    first?.focus();
    return Boolean(first);
  }

  /** The attributes of the selected object's label, and others that it has a value of. */
  get #fields() {
    const { session } = this, { object } = session;
    if (!object) return [];
    const defined = session.labelOf(object.label)?.attributes ?? [], names = new Set(defined.map(({ name }) => name));
    const others = Object.keys(object.attributes).filter((name) => !names.has(name));
    return [...defined, ...others.map((name) => ({ name, kind: KIND_OF[typeof object.attributes[name]], values: [], default: null }))];
  }

  #render(anew = false) {
    const { session } = this, { object } = session, fields = this.#fields;
    const disabled = session.lockHolder !== null || session.isLocked(object?.id);
    // A value that is none of the attribute's is shown all the same.
    const odd = fields.map(({ name, kind, values }) => {
      const value = object.attributes[name];
      return value !== undefined && (kind === 'choice' ? !values.includes(value) : KIND_OF[typeof value] !== kind) ? value : null;
    });
    const shape = JSON.stringify([session.row?.id, object?.id, fields, odd, disabled]);
    if (shape !== this.#shape) this.#build(fields, odd, disabled);
    this.#shape = shape;
    for (const { name } of fields) this.#show(this.#controls.get(name), object.attributes[name], anew);
  }

  #build(fields, odd, disabled) {
    const held = [...this.#controls].find(([, control]) => control === document.activeElement)?.[0];
    this.#controls.clear();
    const rows = fields.map((field, i) => {
      const label = document.createElement('label'), name = Object.assign(document.createElement('span'), { textContent: field.name, title: field.name });
      const control = this.#control(field, odd[i]);
      control.disabled = disabled;
      control.addEventListener('change', () => this.#change(field, control));
      this.#controls.set(field.name, control);
      label.append(name, control);
      return label;
    });
    this.group.replaceChildren(...rows);
    this.group.hidden = !rows.length;
    if (rows.length) this.group.ariaLabel = t('attributes.of', { object: this.session.nameOf(this.session.object) });
    this.#controls.get(held)?.focus();
  }

  #control(field, odd) {
    const { kind, values, default: fallback } = field, more = odd === null ? [] : [odd];
    const shown = kind === 'flag' ? (value) => (typeof value === 'boolean' ? yesOrNo(value) : String(value)) : String;
    const none = fallback === null ? '–' : t('attributes.default-value', { value: typeof fallback === 'number' ? formatNumber(fallback) : shown(fallback) });
    if (kind === 'choice' || kind === 'flag') return choiceOf([...(kind === 'flag' ? [true, false] : values), ...more], null, shown, none);
    return Object.assign(document.createElement('input'), { type: odd === null ? kind : 'text', maxLength: 200, step: 'any', placeholder: fallback ?? '', autocomplete: 'off' });
  }

  /** Show a value, unless another one is being typed. */
  #show(control, value, anew) {
    const text = value === undefined ? '' : String(value);
    if (!anew && control === document.activeElement && control.value !== (control.dataset.shown ?? '')) return;
    control.value = control.dataset.shown = text;
  }

  async #change({ name, kind }, control) {
    const { session } = this, text = control.value.trim();
    let value = text === '' ? null : text;
    if (value !== null && kind === 'flag' && ['true', 'false'].includes(value)) value = value === 'true';
    if (control.validity.badInput || (value !== null && kind === 'number' && !Number.isFinite(value = Number(text)))) {
      session.notice(t('attributes.not-a-number', { attribute: name }));
      return this.#show(control, session.object.attributes[name], true);
    }
    const { id } = session.object;
    control.dataset.shown = control.value;
    await session.act({ kind: 'attribute', name, value }, { object: { id } });
    if (session.object?.id === id && control.isConnected) this.#show(control, session.object.attributes[name], control.value === control.dataset.shown);
  }
}
