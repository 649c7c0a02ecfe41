// The phrase form: shows the relevance map while a phrase is typed, and submits the phrase on Enter.

import { decodeMap, get } from './api.js';
import { t } from './i18n.js';

const byId = (id) => document.getElementById(id);

export class PhraseForm {
  justSaid = false;  // whether the last key was the Enter that used a phrase: another one accepts nothing
  #timer = 0; #request = null; #submitting = false;

  constructor(session, stage, canvas) {
    Object.assign(this, { session, stage, canvas });
    this.field = byId('phrase');
    this.field.addEventListener('input', () => this.#scheduleMap());
    this.field.addEventListener('keydown', (e) => {
      if (e.key === 'Escape') this.clear();
      if (e.key !== 'Enter' || !e.shiftKey) return;
      e.preventDefault();
      byId('all-instances').click();
    });
    this.field.addEventListener('blur', () => setTimeout(() => { if (document.activeElement !== this.field) this.#showMap(null); }, 120));
    this.field.addEventListener('focus', () => { if (this.field.value.trim()) this.#scheduleMap(); });
    byId('phrase-form').addEventListener('submit', (e) => { e.preventDefault(); this.#submit(); });
    byId('current-phrase').querySelector('button').addEventListener('click', () => session.act({ kind: 'phrase', text: null }));
    addEventListener('keydown', (e) => { if (e.key !== 'Enter') this.justSaid = false; }, { capture: true });
    addEventListener('pointerdown', () => { this.justSaid = false; }, { capture: true });
    for (const name of ['state', 'open']) session.addEventListener(name, () => this.#update());
    session.addEventListener('project', () => this.#setAvailability());
  }

  #setAvailability() {
    const { phrases, study } = this.session.project, available = phrases && (study === null || study === 'phraseclick');
    this.field.disabled = !available;
    if (!phrases) this.field.placeholder = t('phrase.unsupported');
    else if (!available) this.field.placeholder = t('phrase.not-in-study', { study });
  }

  #update() {
    const phrase = this.session.object?.phrase;
    byId('current-phrase').hidden = !phrase;
    byId('current-phrase').querySelector('b').textContent = phrase ?? '';
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  clear() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.field.value = '';
    this.#hint('');
    this.#showMap(null);
    this.canvas.focus();
  }

  #hint(text, bad = false) {
    byId('hint').textContent = text;
    byId('hint').classList.toggle('bad', bad);
  }

  #showMap(map) {
    this.stage.showRelevance(map);
  }

  #scheduleMap() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    const text = this.field.value.trim();
    this.#hint('');
    if (!text || !this.session.image) return this.#showMap(null);
    this.#timer = setTimeout(() => this.#loadMap(text), 160);
  }

  async #loadMap(text) {
    const id = this.session.row.id, request = (this.#request = new AbortController());
    try {
      const map = await decodeMap(await get(`/api/images/${id}/relevance?phrase=${encodeURIComponent(text)}`, { signal: request.signal }));
      if (id !== this.session.row.id || document.activeElement !== this.field) return;
      this.#showMap(map);
      this.#hint(t('phrase.hint'));
    } catch (error) {
      if (error.name === 'AbortError' || error.status === 409) return;  // a newer request is under way
      this.#showMap(null);
      this.#hint(error.message.replace(/^phrase '[^']*': /, ''), true);
    }
  }

  async #submit() {
    const text = this.field.value.trim();
    if (!text || this.#submitting) return;
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#submitting = this.justSaid = true;
    try {
      if (!await this.session.act({ kind: 'phrase', text })) return;
      this.clear();
      this.session.labels.offerNamed(text);
    } finally {
      this.#submitting = false;
    }
  }
}
