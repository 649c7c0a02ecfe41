// Which images the list shows, and in which order. Going to the next image keeps to both.

import { personName } from './api.js';

const isFinished = (row) => row.state === 'skipped' || row.state === 'done';
/** Filters by name, as the page's controls name them. */
const FILTERS = {
  all: () => true,
  todo: (row) => !isFinished(row),
  done: (row) => row.state === 'done',
  skipped: (row) => row.state === 'skipped',
};
const REVIEWS = {
  '': () => true,
  'to-review': (row) => row.review === 'to-review',
  approved: (row) => row.review === 'approved',
  rejected: (row) => row.review === 'rejected',
  withdrawn: (row) => row.withdrawn,
  comments: (row) => row.comments > 0,
};
const same = (a, b) => a !== null && a.toLowerCase() === b.trim().toLowerCase();
/** What images are sorted by, the highest first; the list's own order is that of their paths. */
const SORTS = {
  iou: (row) => (row.expected_iou === null ? -Infinity : -row.expected_iou),
  objects: (row, label) => (label ? row.labels[label] ?? 0 : row.objects),
  disagreement: (row) => row.disagreement ?? -1,
  changed: (row) => row.at,
};
const SEEN = 'saywhere-seen';

export class ImageOrder {
  filter = 'all'; search = ''; sort = ''; review = ''; label = ''; since = ''; date = ''; assigned = '';
  #ranked = []; #seen = {};  // as they were when the order was made: work on an image does not move it
  #fresh = {}; #timer = 0;  // what was seen and is not stored yet

  constructor(session) {
    this.session = session;
    for (const name of ['open', 'state']) session.addEventListener(name, () => this.#look());
    addEventListener('pagehide', () => this.#keepSeen());
  }

  /** When each image was last seen in this browser. */
  get #allSeen() {
    return { ...JSON.parse(localStorage.getItem(`${SEEN}:${this.session.project.name}`) ?? '{}'), ...this.#fresh };
  }

  /** Remember that the open image was seen as it is now. */
  #look() {
    const { session } = this;
    if (!session.row || !session.state) return;
    this.#fresh[session.row.id] = Date.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#keepSeen(), 500);
  }

  #keepSeen() {
    if (!Object.keys(this.#fresh).length) return;
    localStorage.setItem(`${SEEN}:${this.session.project.name}`, JSON.stringify(this.#allSeen));
    this.#fresh = {};
  }

  /** Make the order anew. */
  rank() {
    const by = SORTS[this.sort], key = (row) => by(row, this.label);
    this.#seen = this.#allSeen;
    this.#ranked = by ? [...this.session.rows].sort((a, b) => key(b) - key(a)) : this.session.rows;
  }

  matches(row) {
    if (this.search && !row.path.toLowerCase().includes(this.search)) return false;
    if (this.label && !row.labels[this.label]) return false;
    return FILTERS[this.filter](row) && REVIEWS[this.review](row) && this.#isChanged(row) && this.#isAssigned(row);
  }

  #isChanged(row) {
    if (this.since === 'looked') return row.at > (this.#seen[row.id] ?? 0);
    return this.since !== 'date' || row.at >= new Date(`${this.date}T00:00`).getTime() || !this.date;
  }

  #isAssigned(row) {
    if (this.assigned === 'mine') return same(row.assigned, personName());
    if (this.assigned === 'nobody') return row.assigned === null;
    return this.assigned === '' || same(row.assigned, this.assigned.slice('of '.length));
  }

  /** The rows that are shown. */
  get listed() {
    return this.#ranked.filter((row) => this.matches(row));
  }

  /** The row that is `step` further on among those that are shown; the nearest one that `accepts` takes. */
  neighbour(row, step, accepts = () => true) {
    const rows = this.#ranked, at = rows.indexOf(row), count = rows.length;
    for (let i = 1; i <= count; i++) {
      const next = rows[(((at < 0 && step < 0 ? 0 : at) + step * i) % count + count) % count];
      if (next !== row && this.matches(next) && accepts(next)) return next;
    }
    return null;
  }

  /** How many of the further filters are in use. */
  get narrowed() {
    return [this.review, this.label, this.since, this.assigned].filter(Boolean).length;
  }

  /** Whether rows are left out. */
  get isNarrowed() {
    return this.filter !== 'all' || this.search !== '' || this.narrowed > 0;
  }
}

export const isToDo = FILTERS.todo;
export const isToReview = REVIEWS['to-review'];
/** Whether anybody reviews images of this project. */
export const isReviewed = (rows) => rows.some((row) => row.withdrawn || row.review === 'approved' || row.review === 'rejected');

/** What the list shows of an image's state; see the rows of /api/images. */
export function summaryOf({ objects, review, reviews, comments }) {
  const labels = {}, scores = objects.map((one) => one.score).filter((score) => score !== null), last = reviews.at(-1);
  for (const { label } of objects) labels[label ?? 0] = (labels[label ?? 0] ?? 0) + 1;
  return {
    review, labels, expected_iou: scores.length ? Math.min(...scores) : null, comments: comments.filter((one) => !one.resolved).length,
    withdrawn: last?.verdict === 'approved' && last.ended_by !== null,
  };
}
