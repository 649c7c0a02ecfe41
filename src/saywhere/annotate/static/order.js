// Which images the list shows. Going to the next image keeps to them.

const isFinished = (row) => row.state === 'skipped' || row.state === 'done';
/** Filters by name, as the page's controls name them. */
const FILTERS = {
  all: () => true,
  todo: (row) => !isFinished(row),
  done: (row) => row.state === 'done',
  skipped: (row) => row.state === 'skipped',
};

export class ImageOrder {
  filter = 'all'; search = '';

  constructor(session) {
    this.session = session;
  }

  matches(row) {
    if (this.search && !row.path.toLowerCase().includes(this.search)) return false;
    return FILTERS[this.filter](row);
  }

  /** The rows that are shown. */
  get listed() {
    return this.session.rows.filter((row) => this.matches(row));
  }

  /** The row that is `step` further on among those that are shown; with `todo` the nearest one that is to be done. */
  neighbour(row, step, todo = false) {
    const { rows } = this.session, at = rows.indexOf(row), count = rows.length;
    for (let i = 1; i <= count; i++) {
      const next = rows[(((at < 0 && step < 0 ? 0 : at) + step * i) % count + count) % count];
      if (next !== row && this.matches(next) && (!todo || FILTERS.todo(next))) return next;
    }
    return null;
  }

  /** Whether rows are left out. */
  get isNarrowed() {
    return this.filter !== 'all' || this.search !== '';
  }
}
