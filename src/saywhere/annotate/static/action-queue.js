// Actions on images: one after another, each stored by the server before the next one is sent.

import { post } from './api.js';
import { t } from './i18n.js';
import { randomName } from './tab.js';

const BEGINNING = ['click', 'box', 'phrase', 'brush', 'lasso', 'polygon', 'rectangle'];  // kinds that may begin an object

export class ActionQueue {
  pending = [];  // actions without an answer, oldest first
  #sending = false;

  constructor(session) {
    this.session = session;
  }

  /** Do an action on the active object (`toObject`) or on the image; resolves to whether it was done. */
  add(action, { toObject = true, object = this.session.active } = {}) {
    const { session } = this;
    if (!session.state) return Promise.resolve(false);
    if (session.lockHolder !== null) {
      session.notice(t('page.locked', { holder: session.lockHolder }));
      return Promise.resolve(false);
    }
    if (toObject && action.kind !== 'lock' && session.isLocked(object.id)) {
      session.notice(t('objects.is-locked'));
      return Promise.resolve(false);
    }
    session.offer(null);
    if (toObject && action.kind !== 'label') session.proposals.drop();
    if (toObject) session.beginsNew = false;
    const goesBack = action.kind === 'undo' || action.kind === 'redo';
    const entry = goesBack ? null : session.history.recordAction(session.row.id, action);
    return new Promise((resolve) => {
      this.pending.push({ key: randomName(), action, toObject, object, label: session.label, took: Math.round(performance.now() - session.stateShownAt), imageId: session.row.id, entry, resolve });
      session.emit('pending');
      this.#send();
    });
  }

  /** Resolves when no action is pending. */
  async allAnswered() {
    while (this.pending.length) await new Promise((resolve) => this.session.addEventListener('pending', resolve, { once: true }));
  }

  async #send() {
    const { session } = this;
    if (this.#sending) return;
    this.#sending = true;
    let wait = 300, failures = 0;
    while (this.pending.length) {
      const item = this.pending[0];
      try {
        const action = this.#completeAction(item);
        if (item.computed === undefined) item.computed = await session.local.compute(item.imageId, action);
        const answer = await post(`/api/images/${item.imageId}/events`, { key: item.key, base: session.state.seq, action, computed: item.computed, took_ms: Math.min(item.took, 86400000) });
        wait = 300;
        failures = 0;
        this.pending.shift();
        this.#onAnswer(item, answer);
        item.resolve(true);
      } catch (error) {
        // An error of the server's own (500) will not go away by itself; one of the disk or the network may.
        if (error.status === 0 || error.status > 500 || (error.status === 500 && ++failures < 4)) {
          // Not answered: it is sent again, under the same key, until it is.
          session.emit('offline', error.message);
          await new Promise((resolve) => setTimeout(resolve, wait));
          wait = Math.min(wait * 1.7, 4000);
          continue;
        }
        this.#onRejection(error);
      }
      session.emit('online');
      session.emit('pending');
    }
    this.#sending = false;
  }

  #completeAction({ action, toObject, object, label }) {
    if (!toObject) return action;
    const begins = BEGINNING.includes(action.kind);
    // What is said gives the object its label, not what is chosen.
    if (begins && object.id === null) return { ...action, object: null, label: action.kind === 'phrase' ? null : label };
    return { ...action, object: object.id };
  }

  #onAnswer(item, answer) {
    const { session } = this, { kind } = item.action;
    if (item.toObject && item.object.id === null) item.object.id = answer.active;
    const goesBack = ['undo', 'redo', 'delete'].includes(kind);
    if (goesBack && !this.pending.length) {
      const exists = answer.objects.some((o) => o.id === answer.active);
      session.active = { id: exists && kind !== 'delete' ? answer.active : null };
    }
    session.showState(answer);
    if (goesBack && session.active.id === null) session.proposals.request();
  }

  #onRejection(error) {
    const { session } = this, dropped = this.pending.splice(0);
    for (const item of dropped) {
      session.history.forget(item.entry);
      item.resolve(false);
    }
    if (error.status === 423) {
      session.lock.lost(error.holder);
    } else if (error.status === 409) {
      session.notice(t('page.changed-elsewhere'));
      session.reload().catch(() => {});
    } else {
      session.notice(error.message);
    }
  }
}
