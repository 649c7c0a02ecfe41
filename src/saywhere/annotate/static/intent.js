// Which object a click or a box belongs to: the selected one, another one, or a new one.

import { Hits } from './hits.js';
import { t } from './i18n.js';

// A place this far from an object, in square roots of its area, counts as another object. Where the network expects less of a
// mask it is likely to be unfinished, and a click far from it to correct it. A person who goes on to another label's object
// chooses that label first, so this is about objects of one label (chosen on photos-7k:val, research/earlier/annotate-speed.md).
const FAR = 0.4, FAR_FROM_UNFINISHED = 2, FINISHED = 0.8;

export class Intent {
  #turn = Promise.resolve();

  constructor(session) {
    this.session = session;
    this.hits = new Hits(session);
  }

  /** Do a click or draw a box on the object that it belongs to, once what it depends on is answered. */
  place(action) {
    if (action.proposed || !this.session.pending.length) return this.#place(action);
    const row = this.session.row;
    this.#turn = this.#turn.then(() => this.session.allAnswered()).then(() => row === this.session.row && this.#place(action));
    return this.#turn;
  }

  #place(action) {
    const { session } = this, [meaning, object] = action.proposed ? ['refine'] : this.meaning(action), before = session.object;
    if (meaning === 'nothing') return this.#refuse(t('intent.no-object'));
    if (meaning === 'select') return this.#select(object, before, action);
    const problem = action.kind === 'click' ? session.clickProblem(action.positive, meaning === 'new') : null;
    if (problem) return this.#refuse(problem);
    if (meaning === 'correct') session.select(object.id);
    if (meaning === 'new' && before) return this.#begin(action, before);
    const outside = before && action.kind === 'click' && action.positive && !this.hits.contains(before, action);
    const acted = session.act(action);
    if (outside && before.area) this.#offerAfter(acted, t('intent.added', { object: session.nameOf(before) }), t('intent.new-instead'), () => this.#redirect(action, null));
    return acted;
  }

  #refuse(text) {
    this.session.notice(text);
    return Promise.resolve(false);
  }

  /** ['refine' | 'new' | 'select' | 'correct' | 'nothing', the other object]. */
  meaning(action) {
    const { session } = this, selected = session.object;
    if (session.beginsNew || (session.active.id === null && session.pending.length)) return ['refine'];
    if (action.kind === 'box') return selected && this.#isFar(selected, action.box) ? ['new'] : ['refine'];
    const others = this.hits.at(action).filter((object) => object !== selected);
    if (!action.positive) {
      if (selected) return ['refine'];
      return others.length ? ['correct', others[0]] : ['nothing'];
    }
    if (selected && (!selected.area || this.hits.contains(selected, action))) return ['refine'];
    if (others.length) return ['select', others[0]];
    return selected && this.#isFar(selected, [action.x, action.y, action.x, action.y]) ? ['new'] : ['refine'];
  }

  #isFar(object, place) {
    const distance = this.hits.distance(object, place);
    if (distance === null || !object.area) return false;
    return distance > ((object.score ?? 1) >= FINISHED ? FAR : FAR_FROM_UNFINISHED) * Math.sqrt(object.area);
  }

  #select(object, before, action) {
    const { session } = this, choices = [[t('intent.new-here'), () => { session.beginObject(); session.act(action); }]];
    if (before) choices.push([t('intent.add-to', { object: session.nameOf(before) }), () => { session.select(before.id); session.act(action); }]);
    session.select(object.id);
    session.offer(t('intent.selected', { object: session.nameOf(object) }), choices);
    return Promise.resolve(true);
  }

  #begin(action, before) {
    const { session } = this, name = session.nameOf(before);
    session.select(null);
    const acted = session.act(action);
    this.#offerAfter(acted, t('intent.began'), t('intent.belongs-to', { object: name }), () => this.#redirect(action, before.id));
    return acted;
  }

  #offerAfter(acted, text, choice, run) {
    acted.then((done) => { if (done && !this.session.pending.length) this.session.offer(text, [[choice, run]]); });
  }

  /** Take an action back and do it to another object; to a new one where `id` is null. */
  async #redirect(action, id) {
    const { session } = this;
    if (!await session.undo()) return;
    if (id === null) session.beginObject();
    else session.select(id);
    await session.act(action);
  }
}
