// Edit locks: who opened an image holds its lock; others can watch, or take it over.

import { call, post } from './api.js';
import { rememberImage, takeGoneTabs } from './tab.js';

const RENEWAL = 15000, POLL = 4000;  // ms

export class EditLock {
  holder = null;  // who else edits the open image
  #timer = 0;

  constructor(session) {
    this.session = session;
  }

  /** Ask for the lock of the open image, again and again: to keep it, or until it is free. */
  async request(take = false) {
    const { session } = this, id = session.row?.id;
    clearTimeout(this.#timer);
    try {
      await post(`/api/images/${id}/lock${take ? '?take=true' : ''}`);
      if (id !== session.row?.id) return;
      rememberImage(id);
      if (this.holder !== null) await session.reload();
      this.holder = null;
    } catch (error) {
      if (id !== session.row?.id) return;
      if (error.status === 423) {
        if (await this.#releaseGone(id)) return this.request();
        this.holder = error.holder;
        await session.reload().catch(() => {});
      }
    }
    session.emit('lock');
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.request(), this.holder === null ? RENEWAL : POLL);
  }

  takeOver() {
    return this.request(true);
  }

  /** An action was refused because somebody else holds the lock. */
  lost(holder) {
    this.holder = holder;
    this.session.emit('lock');
    this.request();
  }

  /** Release what tabs of this browser hold that are gone; false where there is none. */
  async #releaseGone(id) {
    const gone = await takeGoneTabs(id);
    for (const name of gone) await call('DELETE', `/api/images/${id}/lock`, undefined, { as: name }).catch(() => {});
    return gone.length > 0;
  }

  /** Release the lock of the open image, unless it is opened again (`next`). */
  release(next = null) {
    const id = this.session.row?.id;
    clearTimeout(this.#timer);
    if (!id || id === next || this.holder !== null) return;
    rememberImage(null);
    call('DELETE', `/api/images/${id}/lock`, undefined, { keepalive: true }).catch(() => {});
  }
}
