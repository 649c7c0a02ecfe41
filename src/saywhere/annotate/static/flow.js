// From one image to the next: accepting, skipping, and opening neighbours in the list's order.

import { post } from './api.js';
import { t } from './i18n.js';
import { isToDo } from './order.js';

export class Flow {
  #asked = null;  // the image that is skipped when skipping is asked for again

  constructor(session) {
    this.session = session;
    session.addEventListener('open', () => this.#prefetchNext());
    session.addEventListener('offer', ({ detail }) => { if (detail === null) this.#asked = null; });
  }

  #prefetchNext() {
    const { session } = this, next = session.image && session.order.neighbour(session.row, 1, isToDo);
    if (next && !session.local.isActive) post(`/api/images/${next.id}/prefetch`).catch(() => {});
  }

  async openNeighbour(step) {
    const { session } = this, row = session.order.neighbour(session.row, step);
    if (row) await session.open(row.id);
    else session.notice(t(session.order.isNarrowed ? 'list.no-other-shown' : 'list.no-other'), false);
  }

  async accept() {
    const { session } = this;
    if (!session.image) return session.state && session.notice(t('finish.cannot-accept'));
    if (!session.state.objects.length && !session.pending.length) return session.notice(t('finish.no-object'));
    await this.#mark('done');
  }

  /** Skip the image; ask first where it has objects, and where `ask` is set. */
  async skip(ask = false) {
    const { session } = this, image = session.row?.id;
    if (!session.state) return;
    await session.allAnswered();
    const count = session.state?.objects.length ?? 0;
    if (session.row?.id !== image || ((count || ask) && this.#asked !== image)) return this.#ask(image, count);
    const name = session.row.path;
    if (await this.#mark('skipped')) session.offer(t('finish.skipped', { image: name }), [[t('finish.undo'), () => session.undo()]]);
  }

  #ask(image, count) {
    const text = count ? t('finish.skip-objects', { count }) : t('finish.skip-empty');
    this.session.offer(text, [[t('finish.skip-anyway'), () => { this.#asked = image; this.skip(); }]]);
    this.#asked = image;
  }

  async #mark(value) {
    const { session } = this;
    if (!await session.act({ kind: 'mark', value }, { toObject: false })) return false;
    const next = session.order.neighbour(session.row, 1, isToDo);
    if (next) await session.open(next.id);
    else {
      session.select(null);
      session.notice(t(session.order.isNarrowed ? 'finish.all-shown-done' : 'finish.all-done'), false);
    }
    return true;
  }
}
