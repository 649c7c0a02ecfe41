// The import dialog: a file is uploaded, the page shows what it would add, and then adds it.

import { call, post } from './api.js';
import { describeImages, showResult } from './export.js';
import { t } from './i18n.js';

const byId = (id) => document.getElementById(id);

export class ImportDialog {
  #preview = null;  // of the file that was uploaded last
  #count = 0;       // of uploads: only the last one's answer counts

  constructor(session) {
    this.session = session;
    const dialog = byId('importing');
    byId('import').addEventListener('click', () => {
      this.#forget();
      byId('import-file').value = '';
      byId('import-result').hidden = true;
      dialog.showModal();
    });
    byId('import-close').addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => this.#forget());
    for (const id of ['import-file', 'import-crowds']) byId(id).addEventListener('change', () => this.#upload());
    byId('import-add').addEventListener('click', () => this.#add());
  }

  /** Upload the file, and show what it would add. */
  async #upload() {
    const file = byId('import-file').files[0], count = ++this.#count, result = byId('import-result');
    this.#forget();
    if (!file) return;
    showResult(result, [t('import.reading')]);
    try {
      const query = new URLSearchParams({ name: file.name.slice(-200), crowds: byId('import-crowds').checked });
      const preview = await call('POST', `/api/imports?${query}`, undefined, { body: file });
      if (count !== this.#count) return;
      this.#preview = preview;
      showResult(result, describe(preview), preview.left_out);
      byId('import-add').disabled = !preview.objects && !preview.empty_images && !preview.with_data && !Object.keys(preview.attributes).length;
    } catch (error) {
      if (count === this.#count) showResult(result, [error.message]);
    }
  }

  async #add() {
    const { session } = this, preview = this.#preview, result = byId('import-result');
    if (!preview) return;
    this.#preview = null;
    byId('import-add').disabled = true;
    showResult(result, [t('import.adding')]);
    try {
      await session.allAnswered();
      const added = await post(`/api/imports/${preview.id}`, { status: byId('import-status').value });
      showResult(result, [t('import.added', { count: added.objects, images: describeImages(added.images.length) })], added.left_out);
      await session.loadProject();
      await session.loadList();
      if (session.row) await session.open(session.row.id);
    } catch (error) {
      showResult(result, [error.message]);
    }
  }

  #forget() {
    if (this.#preview) call('DELETE', `/api/imports/${this.#preview.id}`).catch(() => {});
    this.#preview = null;
    byId('import-add').disabled = true;
  }
}

/** Lines that say what a file would add. */
function describe(preview) {
  const lines = [t('import.found', { count: preview.objects, images: describeImages(preview.images) })];
  if (preview.new_labels.length) lines.push(t('import.new-labels', { labels: preview.new_labels.join(', ') }));
  for (const [label, names] of Object.entries(preview.attributes)) lines.push(t('import.attributes', { label, attributes: names.join(', ') }));
  if (preview.with_data) lines.push(t('import.with-data', { count: preview.with_data }));
  if (preview.empty_images) lines.push(t('import.negatives', { count: preview.empty_images }));
  if (preview.left_out.length) lines.push(t('import.left-out'));
  return lines;
}
