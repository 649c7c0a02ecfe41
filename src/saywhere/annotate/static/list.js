// The list of photographs: only the rows in sight exist, so four thousand scroll like forty.

const ROW = 60, MORE = 6, PATIENCE = 70;
const WORDS = { new: 'new', started: 'started', done: 'done', skipped: 'skipped' };

export class List {
  filter = 'all'; search = '';
  #rows = new Map(); #shown = []; #wanted = 0;

  constructor(session) {
    this.session = session;
    this.box = document.getElementById('list');
    this.inner = document.getElementById('rows');
    this.box.addEventListener('scroll', () => this.#later(), { passive: true });
    new ResizeObserver(() => this.#later()).observe(this.box);
    session.addEventListener('list', () => this.refresh());
    session.addEventListener('row', (e) => this.#update(e.detail));
    session.addEventListener('open', () => this.#reveal());
    session.addEventListener('opening', (e) => this.#select(e.detail));
    document.getElementById('search').addEventListener('input', (e) => { this.search = e.target.value.trim().toLowerCase(); this.refresh(); });
    document.getElementById('filter').addEventListener('click', (e) => this.#setFilter(e.target.dataset.filter));
    document.getElementById('rescan').addEventListener('click', () => session.rescan());
  }

  #setFilter(filter) {
    if (!filter) return;
    this.filter = filter;
    for (const button of document.querySelectorAll('#filter button')) button.setAttribute('aria-pressed', button.dataset.filter === filter);
    this.refresh();
  }

  refresh() {
    const over = (row) => row.state === 'done' || row.state === 'skipped';
    this.#shown = this.session.images.filter((row) =>
      (this.filter === 'all' || (this.filter === 'done') === over(row)) && (!this.search || row.path.toLowerCase().includes(this.search)));
    for (const element of this.#rows.values()) element.remove();
    this.#rows.clear();
    this.inner.style.height = `${ROW * this.#shown.length}px`;
    document.getElementById('nothing').hidden = this.#shown.length > 0;
    this.#progress();
    this.#later();
  }

  #progress() {
    const all = this.session.images.length, done = this.session.images.filter((r) => r.state === 'done').length;
    const skipped = this.session.images.filter((r) => r.state === 'skipped').length;
    document.getElementById('bar').style.width = all ? `${(100 * (done + skipped)) / all}%` : '0';
    document.getElementById('progress').textContent = `${done.toLocaleString()} of ${all.toLocaleString()} done${skipped ? `, ${skipped} skipped` : ''}`;
  }

  #later() {
    if (this.#wanted) return;
    this.#wanted = requestAnimationFrame(() => { this.#wanted = 0; this.#render(); });
  }

  #render() {
    const first = Math.max(Math.floor(this.box.scrollTop / ROW) - MORE, 0);
    const last = Math.min(Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + MORE, this.#shown.length);
    for (const [at, element] of this.#rows) if (at < first || at >= last) this.#drop(at, element);
    for (let at = first; at < last; at++) if (!this.#rows.has(at)) this.#make(at);
  }

  #drop(at, element) {
    element.querySelector('img').removeAttribute('src');  // a picture on its way is not wanted any more
    element.remove();
    this.#rows.delete(at);
  }

  #make(at) {
    const row = this.#shown[at], element = document.createElement('div');
    element.className = 'row';
    element.setAttribute('role', 'option');
    element.style.transform = `translateY(${at * ROW}px)`;
    const image = document.createElement('img'), text = document.createElement('div');
    const name = document.createElement('b'), state = document.createElement('span'), mark = document.createElement('i');
    image.alt = '';
    text.append(name, state);
    element.append(image, text, mark);
    element.addEventListener('click', () => this.session.open(row.id));
    this.#rows.set(at, element);
    this.#fill(element, row);
    this.inner.append(element);
    // Rows that only fly past need no picture.
    setTimeout(() => { if (element.isConnected && !row.missing) image.src = `/api/images/${row.id}/thumbnail`; }, PATIENCE);
  }

  #fill(element, row) {
    const cut = row.path.lastIndexOf('/');
    const [name, state] = element.querySelectorAll('b, span');
    name.textContent = row.path.slice(cut + 1);
    element.title = row.fault ?? row.path;
    const count = row.objects ? `, ${row.objects} object${row.objects > 1 ? 's' : ''}` : '';
    state.textContent = row.missing ? 'file is gone' : row.fault ? 'cannot be read' : WORDS[row.state] + count;
    element.dataset.state = row.state;
    element.dataset.id = row.id;
    element.dataset.fault = Boolean(row.fault || row.missing);
    element.setAttribute('aria-selected', this.selected === row.id);
  }

  #update(id) {
    const at = this.#shown.findIndex((row) => row.id === id), element = this.#rows.get(at);
    if (element) this.#fill(element, this.#shown[at]);
    this.#progress();
  }

  #select(id) {
    this.selected = id;
    for (const element of this.#rows.values()) element.setAttribute('aria-selected', Number(element.dataset.id) === id);
  }

  #reveal() {
    const id = this.session.image?.id, at = this.#shown.findIndex((row) => row.id === id);
    this.#select(id);
    this.#update(id);
    if (at < 0) return;
    const top = at * ROW, height = this.box.clientHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = Math.max(top - ROW, 0);
    else if (top + ROW > this.box.scrollTop + height) this.box.scrollTop = top + 2 * ROW - height;
    this.#later();
  }
}
