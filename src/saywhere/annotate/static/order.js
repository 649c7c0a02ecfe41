// Which images the list shows, and in which order. Going to the next image keeps to both.

import { personName } from './api.js';

const isFinished = (row) => row.state === 'skipped' || (row.state === 'done' && row.review !== 'rejected');
/** Filters by name, as the page's controls name them. */
const FILTERS = {
  all: () => true,
  todo: (row) => !isFinished(row),
  done: (row) => row.state === 'done',
  skipped: (row) => row.state === 'skipped',
  review: (row) => row.state === 'done' && (row.review === null || row.changed),
  approved: (row) => row.review === 'approved' && !row.changed,
  rejected: (row) => row.review === 'rejected',
  mine: (row) => row.assignee !== null && row.assignee === personName(),
  changed: (row) => row.changed,
};
/** What rows are sorted by, lowest first; rows without a value come last. */
const SORTS = {
  iou: (row) => row.expected_iou,
  disagreement: (row) => (row.disagreement === null ? null : -row.disagreement),
  recent: (row) => (row.at ? -row.at : null),
};

export class ImageOrder {
  filter = 'all'; search = ''; sort = 'name'; label = null;  // label: number of the label that images must have

  constructor(session) {
    this.session = session;
  }

  #sorted = [];

  /** Sort anew: positions stay while images are worked on. */
  refresh() {
    const { rows } = this.session, by = SORTS[this.sort];
    this.#sorted = [...rows];
    if (this.sort === 'label') this.#sorted.sort((a, b) => this.#firstLabel(a).localeCompare(this.#firstLabel(b)));
    else if (by) this.#sorted.sort((a, b) => (by(a) ?? Infinity) - (by(b) ?? Infinity) || 0);
  }

  /** The name of the first of an image's labels; images without one come last. */
  #firstLabel(row) {
    const names = Object.keys(row.labels ?? {}).map((id) => this.session.labelOf(Number(id))?.name).filter(Boolean).sort();
    return names[0] ?? '\uffff';
  }

  matches(row) {
    if (this.search && !row.path.toLowerCase().includes(this.search)) return false;
    if (this.label !== null && !row.labels?.[this.label]) return false;
    return FILTERS[this.filter](row);
  }

  /** The rows that are shown. */
  get listed() {
    return this.#sorted.filter((row) => this.matches(row));
  }

  /** The row that is `step` further on among those that are shown; with `todo` the nearest one that is to be done. */
  neighbour(row, step, todo = false) {
    const at = this.#sorted.indexOf(row), count = this.#sorted.length;
    for (let i = 1; i <= count; i++) {
      const next = this.#sorted[(((at < 0 && step < 0 ? 0 : at) + step * i) % count + count) % count];
      if (next !== row && this.matches(next) && (!todo || FILTERS.todo(next))) return next;
    }
    return null;
  }

  /** Whether rows are left out. */
  get isNarrowed() {
    return this.filter !== 'all' || this.search !== '' || this.label !== null;
  }
}
