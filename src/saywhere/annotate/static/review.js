// Reviews and comments of the open image: what was said, by whom and when, and what one says oneself.

import { personName } from './api.js';
import { formatTime, t } from './i18n.js';
import { isToReview } from './order.js';

const byId = (id) => document.getElementById(id);
const OPEN = 'saywhere-review-open';

export class ReviewPanel {
  #before = null;  // the image and its review as they were shown last

  constructor(session, canvas) {
    Object.assign(this, { session, canvas, box: byId('review') });
    this.box.open = localStorage.getItem(OPEN) === 'true';
    this.box.addEventListener('toggle', () => localStorage.setItem(OPEN, this.box.open));
    for (const name of ['state', 'project', 'open', 'lock', 'list']) session.addEventListener(name, () => this.#render());
    byId('review-approve').addEventListener('click', () => this.approve());
    byId('review-reject').addEventListener('click', () => this.reject());
    byId('review-add').addEventListener('click', () => this.#comment());
    byId('review-text').addEventListener('keydown', (e) => {
      if (e.key === 'Escape') canvas.focus();
      if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) this.#comment();
    });
  }

  // What one says

  get #text() {
    return byId('review-text').value.trim();
  }

  async approve() {
    await this.#judge({ kind: 'review', verdict: 'approved', comment: this.#text || null });
  }

  /** Reject the image; where no comment says why, go to the field for it first. */
  async reject() {
    if (this.#text) return this.#judge({ kind: 'review', verdict: 'rejected', comment: this.#text });
    this.box.open = true;
    const toggle = byId('toggle-side');
    if (toggle.checkVisibility() && !byId('side').classList.contains('open')) toggle.click();
    byId('review-text').focus();
    this.session.notice(t('review.say-why'), false);
  }

  async #judge(action) {
    const { session } = this;
    if (!session.image || !await session.act(action, { toObject: false })) return;
    byId('review-text').value = '';
    const next = session.order.neighbour(session.row, 1, isToReview);
    if (next) await session.open(next.id);
    else session.notice(t('review.all-reviewed'), false);
    this.canvas.focus();
  }

  async #comment() {
    const { session } = this, field = byId('review-text');
    if (!this.#text) return field.focus();
    const object = byId('review-object').checked ? session.object?.id ?? null : null;
    if (await session.act({ kind: 'comment', text: this.#text, object }, { toObject: false })) field.value = '';
  }

  // What was said

  #render() {
    const { session } = this, { state } = session, free = session.lockHolder === null;
    for (const id of ['approve', 'reject', 'add']) byId(`review-${id}`).disabled = !session.image || !free;
    byId('review-object').disabled = !session.object;
    byId('review-object-name').textContent = session.object ? t('review.about', { object: session.nameOf(session.object) }) : t('review.about-selected');
    const open = state?.comments.filter((one) => !one.resolved).length ?? 0;
    const last = state?.reviews.at(-1), parts = last ? [this.#statusOf(last)] : [];
    if (open) parts.push(t('review.open-comments', { count: open }));
    byId('review-status').textContent = parts.join(', ');
    this.#showNote(last);
    this.#tellWithdrawal(last);
    const shown = JSON.stringify([session.row?.id, state?.reviews, state?.comments, state?.objects.map((one) => session.nameOf(one)), free]);
    if (shown === this.shown) return;
    this.shown = shown;
    const said = [...(state?.reviews ?? []), ...(state?.comments ?? [])].sort((a, b) => a.at - b.at);
    byId('review-log').replaceChildren(...said.map((one) => this.#entry(one, free)));
    byId('review-log').hidden = !said.length;
  }

  #statusOf(review) {
    if (review.ended_by === null) return t(`review.${review.verdict}`);
    return t(review.verdict === 'approved' ? 'review.withdrawn' : 'review.answered');
  }

  #entry(one, free) {
    const { session } = this, entry = document.createElement('li'), head = document.createElement('small'), text = document.createElement('span');
    const said = one.verdict ? `${t(`review.${one.verdict}`)} · ` : '';
    head.className = 'quiet';
    head.textContent = `${said}${one.person} · ${formatTime(one.at)}`;
    text.textContent = one.text ?? one.comment;
    entry.append(head, text);
    if (one.ended_at) entry.append(Object.assign(document.createElement('small'), { className: 'quiet', textContent: `${this.#statusOf(one)}: ${one.ended_by} · ${formatTime(one.ended_at)}` }));
    if (one.verdict) return entry;
    entry.classList.toggle('resolved', one.resolved);
    const buttons = document.createElement('div'), object = session.state.objects.find((each) => each.id === one.object);
    const button = (name, run, disabled = false) => {
      const made = Object.assign(document.createElement('button'), { className: 'link', textContent: name, disabled });
      made.addEventListener('click', run);
      buttons.append(made);
    };
    if (object) button(session.nameOf(object), () => session.select(object.id));
    else if (one.object !== null) buttons.append(t('review.deleted-object'));
    button(t(one.resolved ? 'review.reopen' : 'review.resolve'), () => session.act({ kind: 'resolve', comment: one.number, resolved: !one.resolved }, { toObject: false }), !free);
    entry.append(buttons);
    return entry;
  }

  /** Above the image: why it was rejected, or that an approval holds no more, and whose image it is. */
  #showNote(last) {
    const { session } = this, lines = [], assigned = session.row?.assigned;
    if (assigned && assigned.toLowerCase() !== personName().toLowerCase()) lines.push(t('assign.is-of', { person: assigned }));
    if (last?.verdict === 'rejected' && last.ended_by === null) lines.push(t('review.rejected-by', { person: last.person, comment: last.comment }));
    if (last?.verdict === 'approved' && last.ended_by !== null) lines.push(t('review.withdrawn-by', { person: last.ended_by, reviewer: last.person, time: formatTime(last.ended_at) }));
    const note = byId('review-note'), text = lines.join(' ');
    note.hidden = !text;
    if (note.textContent !== text) note.textContent = text;
  }

  /** Say at once that a change has withdrawn an approval. */
  #tellWithdrawal(last) {
    const { session } = this, before = this.#before, now = { image: session.row?.id, holds: last?.verdict === 'approved' && last.ended_by === null };
    this.#before = now;
    if (before?.holds && before.image === now.image && last?.verdict === 'approved' && !now.holds) session.notice(t('review.withdrawn-now', { reviewer: last.person }), false);
  }
}
