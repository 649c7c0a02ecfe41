// The click that the server proposes for an object that is not begun yet.

import { ApiError, decodeMap, get } from './api.js';

export class Proposals {
  current = null;  // { x, y, confidence }

  constructor(session) {
    this.session = session;
  }

  #set(proposal) {
    this.current = proposal;
    this.session.emit('proposal');
  }

  /** Forget what is proposed; emits 'proposal' whether or not there was something. */
  drop() {
    this.#set(null);
  }

  /** Ask for a proposal, where the next click begins an object of a label. */
  async request() {
    const { session } = this, id = session.row?.id, seq = session.state?.seq;
    this.drop();
    if (!session.image || !session.state || session.label === null || session.active.id !== null) return;
    if (session.project.study || session.lockHolder !== null || session.state.state === 'done' || session.local.isActive) return;
    try {
      const answer = await get(`/api/images/${id}/proposal?label=${session.label}`);
      if (answer.x === null) return;
      const confidence = await decodeMap(answer.confidence);
      const current = id === session.row?.id && seq === session.state?.seq && session.active.id === null && !session.pending.length;
      if (current) this.#set({ x: answer.x, y: answer.y, confidence });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;  // a proposal is optional
    }
  }

  hide() {
    if (this.current) this.drop();
  }

  accept() {
    if (!this.current) return false;
    const { x, y } = this.current;
    this.session.act({ kind: 'click', x, y, positive: true, radius: null, proposed: true });
    return true;
  }
}
