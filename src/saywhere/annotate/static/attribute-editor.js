// The attributes that the objects of a label have, as the dialog of the label defines them.

import { setName, t } from './i18n.js';

const byId = (id) => document.getElementById(id);
const KINDS = ['text', 'number', 'choice', 'flag'];

/** A control with its name before it. */
function labelled(text, control) {
  const label = document.createElement('label');
  label.append(Object.assign(document.createElement('span'), { textContent: text }), control);
  return label;
}

/** A select of values, and of none; `shown` names them. */
export function choiceOf(values, value, shown = String, none = '–') {
  const select = document.createElement('select');
  select.append(new Option(none, ''), ...values.map((each) => new Option(shown(each), String(each))));
  select.value = value === null || value === undefined ? '' : String(value);
  return select;
}

export const yesOrNo = (value) => t(value ? 'attributes.yes' : 'attributes.no');

/** One definition: its controls, and what they say. */
class Definition {
  constructor(given) {
    const { name = '', kind = 'text', values = [], default: fallback = null } = given ?? {};
    this.was = given ? name : null;
    this.element = document.createElement('fieldset');
    this.name = Object.assign(document.createElement('input'), { value: name, maxLength: 100, required: true });
    this.kind = choiceOf(KINDS, kind, (each) => t(`attributes.kind-${each}`));
    this.kind.options[0].remove();
    this.values = Object.assign(document.createElement('textarea'), { value: values.join('\n'), rows: 3 });
    this.fallback = fallback;
    const legend = Object.assign(document.createElement('legend'), { textContent: name || t('attributes.new') });
    this.remove = Object.assign(document.createElement('button'), { type: 'button', className: 'icon', innerHTML: '<svg><use href="#i-bin"/></svg>' });
    setName(this.remove, t('attributes.remove', { attribute: legend.textContent }));
    this.valuesRow = labelled(t('attributes.values'), this.values);
    this.defaultRow = labelled(t('attributes.default'), document.createElement('span'));
    this.element.append(legend, labelled(t('attributes.name'), this.name), labelled(t('attributes.kind'), this.kind), this.valuesRow, this.defaultRow, this.remove);
    this.kind.addEventListener('change', () => { this.fallback = null; this.#showDefault(); });
    this.values.addEventListener('input', () => { this.fallback = this.value ?? this.fallback; this.#showDefault(); });
    this.#showDefault();
  }

  #showDefault() {
    const kind = this.kind.value, { fallback } = this;
    this.valuesRow.hidden = kind !== 'choice';
    if (kind === 'choice') this.control = choiceOf(this.listed, fallback);
    else if (kind === 'flag') this.control = choiceOf([true, false], fallback, yesOrNo);
    else this.control = Object.assign(document.createElement('input'), { type: kind, value: fallback ?? '', maxLength: 200, step: 'any' });
    this.defaultRow.lastElementChild.replaceWith(this.control);
  }

  get listed() {
    return this.values.value.split('\n').map((each) => each.trim()).filter(Boolean);
  }

  /** The default that the control says. */
  get value() {
    const text = this.control.value.trim();
    if (text === '') return null;
    return this.kind.value === 'flag' ? text === 'true' : this.kind.value === 'number' ? Number(text) : text;
  }

  get definition() {
    const name = this.name.value.trim(), kind = this.kind.value;
    return { name, kind, values: kind === 'choice' ? this.listed : [], default: this.value, renamed_from: this.was !== null && this.was !== name ? this.was : null };
  }
}

export class AttributeEditor {
  #rows = []; #before = '';

  constructor() {
    byId('attribute-add').addEventListener('click', () => this.#add(null).name.focus());
  }

  /** Show the definitions of a label. */
  show(label) {
    this.#rows = [];
    byId('attribute-rows').replaceChildren();
    for (const each of label.attributes) this.#add(each);
    byId('label-attributes').open = this.#rows.length > 0;
    this.#before = JSON.stringify(this.#definitions);
  }

  #add(given) {
    const row = new Definition(given);
    this.#rows.push(row);
    byId('attribute-rows').append(row.element);
    row.remove.addEventListener('click', () => {
      this.#rows = this.#rows.filter((each) => each !== row);
      row.element.remove();
      byId('attribute-add').focus();
    });
    return row;
  }

  get #definitions() {
    return this.#rows.map((row) => row.definition);
  }

  /** What a change of the label has to say of its attributes: nothing where they are as before. */
  get change() {
    const attributes = this.#definitions;
    return JSON.stringify(attributes) === this.#before ? {} : { attributes };
  }
}
