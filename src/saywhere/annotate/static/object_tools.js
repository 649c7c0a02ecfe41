// What is done to the selected object from the panel on the right: zoom, order, holes, crumbs, copies.

import { t } from './i18n.js';

export class ObjectTools {
  constructor(session, stage, canvas) {
    Object.assign(this, { session, stage });
    this.group = document.getElementById('object-tools');
    for (const button of this.group.querySelectorAll('[data-do]')) button.addEventListener('click', () => { this.#run(button.dataset.do); canvas.focus(); });
    for (const name of ['state', 'open', 'lock']) session.addEventListener(name, () => this.#update());
  }

  #update() {
    const { session } = this, { object } = session, free = session.lockHolder === null;
    this.group.hidden = !session.state?.objects.length;
    for (const button of this.group.querySelectorAll('[data-do]')) {
      const masks = ['holes', 'crumbs'].includes(button.dataset.do), any = button.dataset.do === 'copy-all';
      button.disabled = (!any && !object) || (masks && !object?.area) || (button.dataset.do !== 'zoom' && !free);
    }
  }

  #run(what) {
    const { session } = this;
    if (what === 'zoom') this.stage.zoomTo(session.object);
    else if (what === 'front' || what === 'back') session.act({ kind: 'order', place: what });
    else if (what === 'holes' || what === 'crumbs') session.act({ kind: what });
    else this.copy(what === 'copy' ? [session.object.id] : null);
  }

  /** Copy objects to the next image and open it; null for all. */
  async copy(objects) {
    const { session } = this, next = session.order.neighbour(session.row, 1), source = session.row.id;
    if (!next || next.id === source) return session.notice(t('object.no-next'), false);
    await session.allAnswered();
    await session.open(next.id);
    if (session.row?.id === next.id) await session.act({ kind: 'copy', image: source, objects }, { toObject: false });
  }
}
