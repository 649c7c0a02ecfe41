// The list of images: only the visible rows exist, so four thousand scroll like forty.

import { formatNumber, t } from './i18n.js';
import { isReviewed } from './order.js';

const ROW_HEIGHT = 60, EXTRA_ROWS = 6, THUMBNAIL_DELAY = 70;

export class ImageList {
  cursor = 0;          // index of the row that the arrow keys are at
  #rows = new Map(); #listed = []; #frame = 0; #reviewed = false;

  constructor(session) {
    this.session = session;
    this.box = document.getElementById('list');
    this.inner = document.getElementById('rows');
    this.box.addEventListener('scroll', () => this.#scheduleRender(), { passive: true });
    new ResizeObserver(() => this.#scheduleRender()).observe(this.box);
    this.box.addEventListener('keydown', (e) => this.#moveByKey(e));
    for (const name of ['list', 'order']) session.addEventListener(name, () => this.refresh());
    session.addEventListener('row', (e) => this.#update(e.detail));
    session.addEventListener('open', () => this.#reveal());
    session.addEventListener('opening', (e) => this.#select(e.detail));
    document.getElementById('search').addEventListener('input', (e) => { session.order.search = e.target.value.trim().toLowerCase(); this.refresh(); });
    document.getElementById('filter').addEventListener('click', (e) => this.#setFilter(e.target.dataset.filter));
    document.getElementById('rescan').addEventListener('click', () => this.#rescan());
    document.getElementById('found-close').addEventListener('click', () => document.getElementById('found').close());
  }

  #setFilter(filter) {
    if (!filter) return;
    this.session.order.filter = filter;
    for (const button of document.querySelectorAll('#filter button')) button.setAttribute('aria-pressed', button.dataset.filter === filter);
    this.refresh();
  }

  /** List the folder anew, and say what is in it: also files that are left out or cannot be read. */
  async #rescan() {
    let found;
    try {
      found = await this.session.rescan();
    } catch (error) {
      return this.session.notice(error.message);
    }
    const line = (text) => Object.assign(document.createElement('p'), { textContent: text }), lines = [line(t('list.found', found))];
    if (found.unreadable.length) {
      const list = document.createElement('ul');
      list.append(...found.unreadable.map((text) => Object.assign(document.createElement('li'), { textContent: text })));
      lines.push(line(t('list.found-unreadable', { count: found.unreadable.length })), list);
    }
    const ignored = Object.entries(found.ignored).map(([suffix, count]) => `${formatNumber(count)} ${suffix}`);
    if (ignored.length) lines.push(line(t('list.found-ignored', { files: ignored.join(', ') })));
    document.getElementById('found-text').replaceChildren(...lines);
    document.getElementById('found').showModal();
  }

  refresh() {
    this.session.order.rank();
    this.#listed = this.session.order.listed;
    this.#reviewed = isReviewed(this.session.rows);
    for (const element of this.#rows.values()) element.remove();
    this.#rows.clear();
    this.cursor = Math.max(this.#listed.findIndex((row) => row.id === this.session.row?.id), 0);
    this.box.removeAttribute('aria-activedescendant');
    this.inner.style.height = `${ROW_HEIGHT * this.#listed.length}px`;
    const none = document.getElementById('no-images');
    none.hidden = this.#listed.length > 0;
    none.textContent = t(this.session.rows.length ? 'list.no-match' : 'list.none');
    this.#showProgress();
    this.#scheduleRender();
  }

  #showProgress() {
    const all = this.session.rows.length, done = this.session.rows.filter((r) => r.state === 'done').length;
    const skipped = this.session.rows.filter((r) => r.state === 'skipped').length;
    document.getElementById('bar').style.width = all ? `${(100 * (done + skipped)) / all}%` : '0';
    document.getElementById('progress').textContent = t(skipped ? 'list.done-and-skipped' : 'list.done', { done, all, skipped });
  }

  #scheduleRender() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => { this.#frame = 0; this.#render(); });
  }

  #render() {
    const first = Math.max(Math.floor(this.box.scrollTop / ROW_HEIGHT) - EXTRA_ROWS, 0);
    const last = Math.min(Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW_HEIGHT) + EXTRA_ROWS, this.#listed.length);
    for (const [index, element] of this.#rows) if (index < first || index >= last) this.#removeRow(index, element);
    for (let index = first; index < last; index++) if (!this.#rows.has(index)) this.#addRow(index);
  }

  #removeRow(index, element) {
    element.querySelector('img').removeAttribute('src');  // cancels its request
    element.remove();
    this.#rows.delete(index);
  }

  #addRow(index) {
    const row = this.#listed[index], element = document.createElement('div');
    element.className = 'row';
    element.id = `row-${row.id}`;
    element.setAttribute('role', 'option');
    element.setAttribute('aria-posinset', index + 1);
    element.setAttribute('aria-setsize', this.#listed.length);
    element.toggleAttribute('data-cursor', index === this.cursor);
    element.style.transform = `translateY(${index * ROW_HEIGHT}px)`;
    const image = document.createElement('img'), text = document.createElement('div');
    const name = document.createElement('b'), state = document.createElement('span'), mark = document.createElement('i');
    image.alt = '';
    text.append(name, state);
    element.append(image, text, mark);
    element.addEventListener('click', () => this.session.open(row.id));
    this.#rows.set(index, element);
    this.#fill(element, row);
    this.inner.append(element);
    // Rows that are only scrolled past need no thumbnail.
    setTimeout(() => { if (element.isConnected && !row.missing) image.src = `/api/images/${row.id}/thumbnail`; }, THUMBNAIL_DELAY);
  }

  #fill(element, row) {
    const cut = row.path.lastIndexOf('/');
    const [name, state] = element.querySelectorAll('b, span');
    name.textContent = row.path.slice(cut + 1);
    element.title = row.fault ?? row.path;
    const stateName = t(`list.state-${row.state}`);
    const described = row.objects ? t('list.state-and-objects', { state: stateName, count: row.objects }) : stateName;
    state.textContent = row.missing ? t('list.gone') : row.fault ? t('list.fault') : [described, ...this.#notesOf(row)].join(' · ');
    element.dataset.review = row.review ?? '';
    element.dataset.state = row.state;
    element.dataset.id = row.id;
    element.dataset.fault = Boolean(row.fault || row.missing);
    element.setAttribute('aria-selected', this.selected === row.id);
  }

  /** What a row says of reviews, comments and assignments, and of what the list is sorted by; mostly nothing. */
  #notesOf(row) {
    const notes = [], { sort } = this.session.order;
    if (row.review && (this.#reviewed || row.review !== 'to-review')) notes.push(t(`review.${row.review}`));
    if (row.comments) notes.push(t('review.open-comments', { count: row.comments }));
    if (row.assigned) notes.push(row.assigned);
    if (sort === 'iou' && row.expected_iou !== null) notes.push(t('list.iou', { value: row.expected_iou }));
    if (sort === 'disagreement' && row.disagreement != null) notes.push(t('list.disagreement', { value: row.disagreement }));
    return notes;
  }

  #update(id) {
    const index = this.#listed.findIndex((row) => row.id === id), element = this.#rows.get(index);
    if (element) this.#fill(element, this.#listed[index]);
    this.#showProgress();
  }

  #select(id) {
    this.selected = id;
    for (const element of this.#rows.values()) element.setAttribute('aria-selected', Number(element.dataset.id) === id);
  }

  #reveal() {
    const id = this.session.row?.id, index = this.#listed.findIndex((row) => row.id === id);
    this.#select(id);
    this.#update(id);
    if (index >= 0) this.#moveTo(index);
  }

  // One tab stop for the whole list: the arrow keys move a cursor in it, Enter and Space open the row that it is at

  #moveByKey(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const page = Math.max(Math.floor(this.box.clientHeight / ROW_HEIGHT) - 1, 1), last = this.#listed.length - 1;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -last, End: last };
    if (e.key in steps) this.#moveTo(Math.min(Math.max(this.cursor + steps[e.key], 0), last));
    else if ((e.key === 'Enter' || e.key === ' ') && this.#listed[this.cursor]) this.session.open(this.#listed[this.cursor].id);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  /** Move the cursor to a row and scroll it into view. */
  #moveTo(index) {
    if (!this.#listed[index]) return;
    this.cursor = index;
    for (const [at, element] of this.#rows) element.toggleAttribute('data-cursor', at === index);
    const top = index * ROW_HEIGHT, height = this.box.clientHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = Math.max(top - ROW_HEIGHT, 0);
    else if (top + ROW_HEIGHT > this.box.scrollTop + height) this.box.scrollTop = top + 2 * ROW_HEIGHT - height;
    this.#render();
    this.box.setAttribute('aria-activedescendant', `row-${this.#listed[index].id}`);
  }
}
