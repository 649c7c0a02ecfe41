// Undo and redo of what was done in this page: to images, also the one before, and to labels.

import { post } from './api.js';
import { t } from './i18n.js';

export class History {
  #done = [];    // { image, mark } or { what, change: its number }, oldest first
  #undone = [];

  constructor(session) {
    this.session = session;
  }

  /** Whether there is something to undo besides what the open image has. */
  get canUndo() {
    return this.#leads(this.#done.at(-1));
  }

  get canRedo() {
    return this.#leads(this.#undone.at(-1));
  }

  #leads(entry) {
    return entry?.change !== undefined || (entry?.mark !== undefined && entry.image !== this.session.row?.id);
  }

  recordAction(image, action) {
    const entry = { image, mark: action.kind === 'mark' ? action.value : action.kind === 'review' ? action.verdict : undefined };
    this.#done.push(entry);
    this.#undone = [];
    return entry;
  }

  /** A change of a label or of an assignment, by its number; null where nothing was changed. */
  recordChange(what, change) {
    if (change === null) return;
    this.#done.push({ what, change });
    this.#undone = [];
  }

  /** Forget an action that the server rejected. */
  forget(entry) {
    this.#done = this.#done.filter((one) => one !== entry);
  }

  undo() {
    return this.#step('undo', this.#done, this.#undone);
  }

  redo() {
    return this.#step('redo', this.#undone, this.#done);
  }

  async #step(kind, from, to) {
    const { session } = this, last = from.at(-1);
    if (last?.change !== undefined) return this.#stepChange(kind, from, to);
    const otherImage = this.#leads(last);
    if (otherImage) await session.open(last.image);
    const image = session.row?.id, at = from.findLastIndex((entry) => entry.image === image);
    if (at >= 0) to.push(...from.splice(at, 1));
    const done = await session.act({ kind }, { toObject: false });
    if (done && otherImage) session.notice(t(`history.${kind}-${last.mark}`, { image: session.row.path }), false);
    return done;
  }

  async #stepChange(kind, from, to) {
    const { session } = this, { what, change } = from.pop();
    try {
      await post(what === 'label' ? `/api/labels/changes/${change}/${kind}` : `/api/assignments/${change}/${kind}`);
      to.push({ what, change });
      await (what === 'label' ? session.reloadAll() : session.loadList());
      session.notice(t(`history.${kind}-${what}`), false);
      return true;
    } catch (error) {
      session.notice(error.message);
      return false;
    }
  }
}
