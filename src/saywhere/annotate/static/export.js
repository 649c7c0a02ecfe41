// The export dialog: annotations of the project, and cut-outs of the image that is open.

const byId = (id) => document.getElementById(id);

export class ExportDialog {
  constructor(session) {
    this.session = session;
    const dialog = byId('exporting');
    byId('export').addEventListener('click', async () => {
      await session.allAnswered();
      byId('cutout-of').value = session.object?.area ? 'selected' : 'all';
      this.#link();
      dialog.showModal();
    });
    byId('export-close').addEventListener('click', () => dialog.close());
    for (const id of ['export-done', 'cutout-of', 'blur-radius']) byId(id).addEventListener('input', () => this.#link());
  }

  #link() {
    for (const link of document.querySelectorAll('#exporting [data-format]')) link.href = `/api/export?format=${link.dataset.format}&done=${byId('export-done').checked}`;
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
