// All instances of a phrase or label: proposed as dashed outlines with scores; keys, buttons or a click accept them.
//
// Nothing is stored before it is accepted. One acceptance is one action, and one undo, however many objects it makes.

import { ApiError, get } from './api.js';
import { t } from './i18n.js';
import { decodeMask, outline } from './mask.js';

const byId = (id) => document.getElementById(id);
const CARRIED = 3;  // labels of the last image that are looked for in the next one

export class Instances {
  ghosts = [];   // { name, label, phrase, x, y, radius, box, score, region, path, drawnAt }
  at = 0;        // of the highlighted one
  #search = 0;   // number of the last search: answers of earlier ones are dropped
  #carried = { image: null, labels: [] };  // labels of the objects of the image that was worked on before

  constructor(session, stage, canvas) {
    Object.assign(this, { session, stage, canvas });
    stage.overlays.push((c, scale) => this.#paint(c, scale));
    session.addEventListener('opening', () => this.drop());
    session.addEventListener('open', () => this.#carryOver());
    session.addEventListener('state', () => this.#remember());
    session.addEventListener('proposal', () => { if (this.ghosts.length) session.proposals.hide(); });
    session.addEventListener('lock', () => { if (session.lockHolder !== null) this.drop(); });
    const press = (id, action) => byId(id).addEventListener('click', () => { action(); canvas.focus(); });
    press('instance-accept', () => this.accept());
    press('instance-all', () => this.acceptAll());
    press('instance-none', () => this.drop());
    press('instance-next', () => this.step(1));
    press('all-instances', () => this.findAll());
  }

  /** Look for all objects of the phrase that is typed, or else of the chosen label. */
  findAll() {
    const phrase = byId('phrase').value.trim(), { session } = this;
    if (phrase) return this.find({ name: phrase, phrase });
    const label = session.labelOf(session.label);
    if (!label) return session.notice(t('instances.no-label'));
    return this.find({ name: label.name, label: label.id });
  }

  /** Propose all objects of a phrase or label; what was proposed before goes. */
  async find(kind) {
    const { session } = this, { study } = session.project;
    if (!session.image) return;
    if (study) return session.notice(t('instances.study', { study }));
    this.drop();
    session.notice(t('instances.searching', { what: kind.name }), false);
    await session.allAnswered();
    try {
      const count = await this.#propose([kind]);
      if (count === 0) session.notice(t('instances.not-found', { what: kind.name }), false);
      else if (count) {
        byId('phrase').value = '';
        byId('phrase').dispatchEvent(new Event('input'));  // its map and hint go too
      }
    } catch (error) {
      session.notice(error.message);
    }
  }

  /** How many objects are proposed; null where another search or image came meanwhile. */
  async #propose(kinds, background = false) {
    const { session } = this, id = session.row.id, search = ++this.#search;
    for (const { name, phrase = null, label = null } of kinds) {
      const query = new URLSearchParams({ background });
      if (phrase !== null) query.set('phrase', phrase);
      if (label !== null) query.set('label', label);
      const { instances } = await get(`/api/images/${id}/instances?${query}`);
      if (search !== this.#search || id !== session.row?.id) return null;
      this.ghosts.push(...instances.map((one) => ({ ...one, name, phrase, label })));
    }
    this.at = 0;
    this.#show();
    return this.ghosts.length;
  }

  // From one image to the next

  /** Which labels the image has that is worked on. */
  #remember() {
    const { row, state } = this.session;
    if (!row || !state || state.state === 'new') return;
    const labels = [...new Set(state.objects.map((object) => object.label))].filter((label) => label !== null);
    this.#carried = { image: row.id, labels: labels.slice(0, CARRIED) };
  }

  /** In an image that is new, propose what is like the objects of the one before. */
  async #carryOver() {
    const { session } = this, { row, state, project } = session, { image, labels } = this.#carried;
    if (!state || state.state !== 'new' || image === row.id || !labels.length) return;
    if (project.study || session.lockHolder !== null || session.local.isActive) return;
    const kept = labels.map((id) => session.labelOf(id)).filter((label) => label && !label.hidden);
    try {
      await this.#propose(kept.map(({ id, name }) => ({ label: id, name })), true);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;  // proposals are optional
    }
  }

  // Choosing

  get current() {
    return this.ghosts[this.at] ?? null;
  }

  step(by) {
    if (!this.ghosts.length) return;
    this.at = (this.at + by + this.ghosts.length) % this.ghosts.length;
    this.#show();
  }

  /** Forget what is proposed, or only one of it. */
  drop(ghost = null) {
    this.#search++;
    this.ghosts = ghost === null ? [] : this.ghosts.filter((one) => one !== ghost);
    this.at = Math.min(this.at, Math.max(this.ghosts.length - 1, 0));
    this.#show();
  }

  accept(ghost = this.current) {
    return ghost === null ? null : this.#store([ghost]);
  }

  acceptAll() {
    return this.#store(this.ghosts);
  }

  /** Accept the object under a pixel of the image; false where none is proposed there. */
  acceptAt({ x, y }) {
    const ghost = this.ghosts.find((one) => contains(this.#picture(one).region, Math.round(x), Math.round(y)));
    if (ghost) this.accept(ghost);
    return Boolean(ghost);
  }

  async #store(ghosts) {
    if (!ghosts.length) return;
    const { session } = this;
    this.ghosts = this.ghosts.filter((one) => !ghosts.includes(one));
    this.at = Math.min(this.at, Math.max(this.ghosts.length - 1, 0));
    this.#show();
    try {
      const instances = [];
      for (const { x, y, radius, box, label, phrase } of ghosts) {
        instances.push({ x, y, radius, box, phrase, label: label ?? (await session.labels.idOf(phrase)) });
      }
      session.select(null);
      await session.act({ kind: 'instances', instances }, { toObject: false });
    } catch (error) {
      session.notice(error.message);
    }
  }

  // Keys that mean something else while objects are proposed

  /** Whether a key was used. */
  onKey(e) {
    if (!this.ghosts.length || e.ctrlKey || e.metaKey || e.altKey) return false;
    if (e.key === 'Enter') return e.shiftKey ? this.acceptAll() : this.accept(), true;
    if (e.key === 'Escape') return this.drop(), true;
    if (e.key === 'Delete' || e.key === 'Backspace') return this.drop(this.current), true;
    const back = e.key === 'ArrowLeft' || e.key === 'ArrowUp' || (e.key === 'Tab' && e.shiftKey);
    const forward = e.key === 'ArrowRight' || e.key === 'ArrowDown' || e.key === 'Tab';
    if (back || forward) return this.step(back ? -1 : 1), true;
    return false;
  }

  // On the page

  #show() {
    const { current, ghosts } = this;
    byId('instances').hidden = current === null;
    if (current) byId('instance').textContent = t('instances.shown', { at: this.at + 1, count: ghosts.length, what: current.name, score: Math.round(100 * current.score) });
    byId('instance-all').disabled = byId('instance-next').disabled = ghosts.length < 2;
    this.canvas.dataset.instances = ghosts.length;
    if (current) this.session.proposals.hide();
    this.stage.draw();
  }

  /** A ghost with its pixels and outline, at the resolution that the stage draws masks at. */
  #picture(ghost) {
    const step = this.stage.maskStep;
    if (ghost.drawnAt !== step) {
      const region = decodeMask(ghost.mask, step);
      Object.assign(ghost, { drawnAt: step, region, path: region && outline(region) });
    }
    return ghost;
  }

  #paint(c, scale) {
    for (const ghost of this.ghosts) {
      const { region, path } = this.#picture(ghost);
      if (!region) continue;
      const chosen = ghost === this.current, colour = this.session.colourOf(ghost);
      c.lineJoin = 'round';
      c.globalAlpha = chosen ? 0.3 : 0.12;
      c.fillStyle = colour;
      c.fill(path, 'evenodd');
      c.globalAlpha = 1;
      c.setLineDash([]);
      c.lineWidth = (chosen ? 4.4 : 3.4) / scale;
      c.strokeStyle = 'rgb(255 255 255 / 85%)';
      c.stroke(path);
      c.setLineDash([7 / scale, 5 / scale]);
      c.lineWidth = (chosen ? 3 : 1.8) / scale;
      c.strokeStyle = chosen ? '#111' : colour;
      c.stroke(path);
      c.setLineDash([]);
      this.#paintScore(c, scale, ghost, chosen);
    }
  }

  #paintScore(c, scale, { region, score }, chosen) {
    const text = `${Math.round(100 * score)}`, x = region.left + (region.width * region.step) / 2, y = region.top + (region.height * region.step) / 2;
    c.font = `600 ${12 / scale}px system-ui, sans-serif`;
    const width = c.measureText(text).width + 8 / scale, height = 17 / scale;
    c.fillStyle = chosen ? '#111' : 'rgb(40 40 40 / 75%)';
    c.fillRect(x - width / 2, y - height / 2, width, height);
    c.fillStyle = '#fff';
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    c.fillText(text, x, y);
  }
}

function contains(region, x, y) {
  if (!region) return false;
  const column = Math.floor((x - region.left) / region.step), row = Math.floor((y - region.top) / region.step);
  return column >= 0 && row >= 0 && column < region.width && row < region.height && region.inside[row * region.width + column] === 1;
}
