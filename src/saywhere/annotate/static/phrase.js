// Say what it is: the map of where a phrase applies while it is written, the phrase itself on Enter.

import { decodeMap, get } from './api.js';

const byId = (id) => document.getElementById(id);

export class Phrase {
  #timer = 0; #asked = null;

  constructor(session, stage, canvas) {
    Object.assign(this, { session, stage, canvas });
    this.field = byId('phrase');
    this.field.addEventListener('input', () => this.#written());
    this.field.addEventListener('keydown', (e) => { if (e.key === 'Escape') this.leave(); });
    this.field.addEventListener('blur', () => setTimeout(() => { if (document.activeElement !== this.field) this.#show(null); }, 120));
    this.field.addEventListener('focus', () => { if (this.field.value.trim()) this.#written(); });
    byId('say').addEventListener('submit', (e) => { e.preventDefault(); this.#say(); });
    byId('said').querySelector('button').addEventListener('click', () => session.act({ kind: 'phrase', text: null }));
    for (const name of ['state', 'open']) session.addEventListener(name, () => this.#update());
    session.addEventListener('project', () => this.#allow());
  }

  #allow() {
    const { phrases, study } = this.session.project, may = phrases && (study === null || study === 'phraseclick');
    this.field.disabled = !may;
    if (!phrases) this.field.placeholder = 'these weights understand no phrases';
    else if (!may) this.field.placeholder = `a study of '${study}' goes without phrases`;
  }

  #update() {
    const phrase = this.session.object?.phrase;
    byId('said').hidden = !phrase;
    byId('said').querySelector('b').textContent = phrase ?? '';
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.field.value = '';
    this.#hint('');
    this.#show(null);
    this.canvas.focus();
  }

  #hint(text, bad = false) {
    byId('hint').textContent = text;
    byId('hint').classList.toggle('bad', bad);
  }

  #show(map) {
    this.stage.showHeat(map);
  }

  #written() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    const text = this.field.value.trim();
    this.#hint('');
    if (!text || !this.session.photo) return this.#show(null);
    this.#timer = setTimeout(() => this.#ask(text), 160);
  }

  async #ask(text) {
    const id = this.session.image.id, asked = (this.#asked = new AbortController());
    try {
      const map = await decodeMap(await get(`/api/images/${id}/relevance?phrase=${encodeURIComponent(text)}`, { signal: asked.signal }));
      if (id !== this.session.image.id || document.activeElement !== this.field) return;
      this.#show(map);
      this.#hint('where it applies; Enter to say it');
    } catch (error) {
      if (error.name === 'AbortError' || error.status === 409) return;  // a newer one is on its way
      this.#show(null);
      this.#hint(error.message.replace(/^phrase '[^']*': /, ''), true);
    }
  }

  async #say() {
    const text = this.field.value.trim();
    if (!text) return;
    clearTimeout(this.#timer);
    this.#asked?.abort();
    if (await this.session.act({ kind: 'phrase', text })) this.leave();
  }
}
