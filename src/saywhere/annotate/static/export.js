// The export dialog: annotations of the project, and cut-outs of the image that is open.

import { get, post } from './api.js';
import { t } from './i18n.js';
import { isReviewed } from './order.js';

const byId = (id) => document.getElementById(id);

/** "3 images", or "3 images with 4 objects". */
export function describeImages(images, objects = null) {
  const text = t('export.images', { count: images });
  return objects === null ? text : t('export.objects', { images: text, count: objects });
}

/** Show lines, and a list below them, in an element for results. */
export function showResult(element, lines, list = []) {
  element.replaceChildren(...lines.map((line) => Object.assign(document.createElement('p'), { textContent: line })));
  if (list.length) {
    const items = document.createElement('ul');
    items.append(...list.map((line) => Object.assign(document.createElement('li'), { textContent: line })));
    element.append(items);
  }
  element.hidden = false;
}

export class ExportDialog {
  constructor(session) {
    this.session = session;
    const dialog = byId('exporting');
    byId('export').addEventListener('click', async () => {
      await session.allAnswered();
      byId('cutout-of').value = session.object?.area ? 'selected' : 'all';
      byId('export-result').hidden = true;
      byId('export-approved-row').hidden = !isReviewed(session.rows);
      this.#link();
      this.#preview();
      dialog.showModal();
    });
    byId('export-close').addEventListener('click', () => dialog.close());
    for (const id of ['cutout-of', 'blur-radius']) byId(id).addEventListener('input', () => this.#link());
    for (const id of ['export-done', 'export-approved']) byId(id).addEventListener('change', () => this.#preview());
    byId('export-split').addEventListener('change', (e) => { byId('export-shares').hidden = !e.target.checked; });
    byId('export-formats').addEventListener('click', (e) => {
      const button = e.target.closest('[data-format]');
      if (button) this.#export(button.dataset.format);
    });
  }

  // Annotations

  /** Say what would be exported, and what would be left out. */
  async #preview() {
    const query = () => `done=${byId('export-done').checked}&approved=${this.#onlyApproved}`, asked = query();
    try {
      const found = await get(`/api/export/preview?${asked}`);
      if (asked !== query()) return;
      byId('export-preview').textContent = [describeImages(found.images, found.objects), ...found.left_out].join('; ');
    } catch (error) {
      byId('export-preview').textContent = error.message;
    }
  }

  get #onlyApproved() {
    return byId('export-approved').checked && !byId('export-approved-row').hidden;
  }

  async #export(format) {
    const share = (id) => Number(byId(`share-${id}`).value);
    const split = byId('export-split').checked ? { train: share('train'), val: share('val'), test: share('test') } : null;
    const request = { format, done: byId('export-done').checked, approved: this.#onlyApproved, images: byId('export-images').checked, split, simplify: Number(byId('export-simplify').value) };
    const buttons = document.querySelectorAll('#export-formats button');
    for (const button of buttons) button.disabled = true;
    const result = byId('export-result');
    showResult(result, [t('export.working')]);
    try {
      const made = await post('/api/exports', request);
      showResult(result, describe(made), made.notes);
      const link = Object.assign(document.createElement('a'), { href: `/api/exports/${made.version}/file`, download: made.name });
      link.click();
    } catch (error) {
      showResult(result, [error.message]);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }

  // Cut-outs

  #link() {
    const { session } = this, objects = (session.state?.objects ?? []).filter((object) => object.area);
    byId('cutouts').hidden = !objects.length;
    byId('no-cutout').hidden = objects.length > 0;
    if (!objects.length) return;
    const selected = session.object?.area ? session.object : null, radius = byId('blur-radius');
    byId('cutout-of').options[0].disabled = !selected;
    radius.max = Math.min(500, Math.max(session.image.width, session.image.height));
    const query = new URLSearchParams(byId('cutout-of').value === 'selected' && selected ? { object: selected.id } : {});
    this.#setLink('cutout', query);
    query.set('blur', radius.value);
    this.#setLink('blurred', radius.value && radius.checkValidity() ? query : null);
  }

  #setLink(id, query) {
    const link = byId(id);
    link.ariaDisabled = query === null ? 'true' : null;
    if (query === null) link.removeAttribute('href');
    else link.href = `/api/images/${this.session.row.id}/cutout?${query}`;
  }
}

/** Lines that say what an export holds, and what changed since the one before. */
function describe(made) {
  const { counts, changes } = made, lines = [t('export.version', { version: made.version, content: describeImages(counts.images, counts.objects) })];
  const parts = Object.entries(counts.splits).map(([part, number]) => t('export.part', { part: t(`export.${part}`), number }));
  if (parts.length) lines.push(t('export.parts', { parts: parts.join(', ') }));
  lines.push(...made.left_out);
  if (changes) {
    const said = ['added', 'removed', 'changed', 'moved'].filter((kind) => changes[kind].length).map((kind) => t(`export.${kind}`, { count: changes[kind].length }));
    lines.push(t('export.since', { version: changes.from, changes: said.join(', ') || t('export.unchanged') }));
  }
  return lines;
}
