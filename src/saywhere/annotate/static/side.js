// The panel on the right: labels, objects, how masks are shown.

import { decodeMap, get } from './api.js';
import { formatNumber, setName, t } from './i18n.js';
import { fillRow, showRows } from './rows.js';

const byId = (id) => document.getElementById(id);

export class SidePanel {
  #map = null; #announced = '';

  constructor(session, stage, input, display) {
    Object.assign(this, { session, stage, input, display });
    byId('brush-size').value = input.brush;
    for (const name of ['project', 'state']) session.addEventListener(name, () => this.#renderObjects());
    session.addEventListener('open', () => this.#renderObjects());
    session.addEventListener('tool', () => { byId('brush-size').value = input.brush; });
    byId('new-object').addEventListener('click', () => session.beginObject());
    byId('accept').addEventListener('click', () => session.flow.accept());
    byId('skip').addEventListener('click', () => session.flow.skip());
    byId('brush-size').addEventListener('input', (e) => input.setBrush(Number(e.target.value)));
    byId('threshold').addEventListener('input', (e) => this.#previewThreshold(e.target.value / 100));
    byId('threshold').addEventListener('change', (e) => this.#setThreshold(e.target.value / 100));
    const person = byId('person');
    person.value = localStorage.getItem('saywhere-person') ?? '';
    person.addEventListener('change', () => localStorage.setItem('saywhere-person', person.value.trim()));
  }

  /** Tell screen readers which object is selected, when that is another one than before. */
  #tellSelected(list, active) {
    const { session } = this, key = `${session.row?.id} ${active?.id ?? ''}`;
    if (key === this.#announced) return;
    const had = this.#announced.startsWith(`${session.row?.id} `);
    this.#announced = key;
    const name = active && session.nameOf(active), at = list.indexOf(active) + 1;
    const text = active ? t('objects.selected', { object: name, at, count: list.length }) : had ? t('objects.none-selected') : '';
    byId('selected').textContent = active?.locked ? `${text} ${t('objects.locked')}` : text;
  }

  // The threshold: previewed here, applied by the server

  async #previewThreshold(threshold) {
    const { object, row } = this.session;
    if (!object) return;
    const { clicks, box, phrase, choices, candidates } = object;
    const key = JSON.stringify([row.id, object.id, clicks, box, phrase, choices, candidates]);
    this.threshold = threshold;
    if (this.#map?.key !== key) {
      this.#map = { key, map: null };
      try {
        this.#map.map = await decodeMap(await get(`/api/images/${row.id}/objects/${object.id}/probability`));
      } catch (error) {
        this.#map = null;
        return this.session.notice(error.message);
      }
    }
    if (!this.#map?.map || this.session.object?.id !== object.id || this.threshold === null) return;
    this.stage.preview = { object: object.id, map: this.#map.map, threshold: this.threshold };
    this.stage.draw();
  }

  async #setThreshold(value) {
    this.threshold = null;
    if (this.session.object) await this.session.act({ kind: 'threshold', value });
    this.stage.preview = null;
    this.stage.draw();
  }

  // Objects

  #renderObjects() {
    const { session } = this, list = session.state?.objects ?? [];
    const rows = list.map((object) => this.#objectRow(object));
    showRows(byId('objects'), rows, rows.find((row) => row.ariaCurrent === 'true'));
    byId('no-objects').hidden = list.length > 0 || !session.image;
    const threshold = byId('threshold'), active = session.object;
    this.#tellSelected(list, active);
    threshold.disabled = !active || (!active.clicks.length && !active.phrase && !active.box);
    if (!this.stage.preview) threshold.value = 100 * (active?.threshold ?? 0.5);
    byId('accept').disabled = !session.image;
    byId('skip').disabled = !session.state;
  }

  #objectRow(object) {
    const { session } = this, row = document.createElement('div');
    row.className = 'object';
    row.setAttribute('aria-current', object.id === session.active.id);
    const swatch = document.createElement('span'), name = document.createElement('b'), size = document.createElement('small');
    swatch.className = 'swatch';
    swatch.style.background = session.colourOf(object);
    name.textContent = session.nameOf(object);
    const interactions = object.clicks.length + (object.box ? 1 : 0) + (object.phrase ? 1 : 0) + object.choices + object.strokes;
    size.textContent = `${interactions}×`;
    row.title = t(object.score ? 'objects.details-and-score' : 'objects.details', { area: object.area ?? 0, count: interactions, score: formatNumber(object.score ?? 0, 2) });
    const remove = document.createElement('button');
    setName(remove, t('objects.delete'));
    remove.innerHTML = '<svg><use href="#i-bin"/></svg>';
    remove.addEventListener('click', (e) => {
      e.stopPropagation();
      session.act({ kind: 'delete' }, { object: { id: object.id } });
    });
    fillRow(row, object.id, [swatch, name, size], [...this.display.buttons(object), remove]);
    row.addEventListener('pointerenter', () => this.stage.setHovered(object));
    row.addEventListener('pointerleave', () => this.stage.setHovered(null));
    row.addEventListener('click', () => session.select(object.id));
    return row;
  }

  selectNext(step) {
    const list = this.session.state?.objects ?? [];
    if (!list.length) return false;
    const at = list.findIndex((o) => o.id === this.session.active.id);
    const next = at < 0 ? (step > 0 ? 0 : list.length - 1) : at + step;
    this.session.select(list[next]?.id ?? null);
    return next in list;  // after the last object the key moves the focus, as everywhere
  }
}
