// The dialog of fine-tuning: the server learns from the images that are done, and its new weights are used or not.

import { call, get, post } from './api.js';
import { showResult } from './export.js';
import { formatNumber, t } from './i18n.js';

const byId = (id) => document.getElementById(id);
const EVERY = 1000;  // ms between questions how far it is

export class FineTuningDialog {
  #timer = 0;

  constructor(session) {
    this.session = session;
    const dialog = byId('finetuning');
    byId('finetune').addEventListener('click', () => {
      dialog.showModal();
      this.#ask(() => get('/api/finetuning'));
    });
    byId('finetune-close').addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => clearTimeout(this.#timer));
    byId('finetune-start').addEventListener('click', () => this.#ask(() => post('/api/finetuning')));
    byId('finetune-cancel').addEventListener('click', () => this.#ask(() => call('DELETE', '/api/finetuning')));
    byId('finetune-accept').addEventListener('click', () => this.#change('accept', 'finetune.accepted'));
    byId('finetune-undo').addEventListener('click', () => this.#change('undo', 'finetune.undone'));
  }

  /** Ask the server something, show how far it is then, and ask again as long as it goes on. */
  async #ask(question) {
    clearTimeout(this.#timer);
    try {
      const state = await question();
      this.#show(state);
      if (state.status === 'running' && byId('finetuning').open) this.#timer = setTimeout(() => this.#ask(() => get('/api/finetuning')), EVERY);
      return true;
    } catch (error) {
      showResult(byId('finetune-status'), [error.message]);
      return false;
    }
  }

  async #change(what, said) {
    await this.session.allAnswered();
    if (!await this.#ask(() => post(`/api/finetuning/${what}`))) return;
    this.session.notice(t(said));
    await this.session.loadProject();
  }

  #show(state) {
    const running = state.status === 'running', lines = describe(state), bar = byId('finetune-progress');
    bar.hidden = !running;
    bar.ariaValueNow = String(Math.round(100 * state.share));
    bar.firstElementChild.style.width = `${100 * state.share}%`;
    if (lines.length) showResult(byId('finetune-status'), lines, state.notes);
    else byId('finetune-status').hidden = true;
    showFigures(byId('finetune-figures'), state.figures);
    const show = (id, shown) => { byId(id).hidden = !shown; };
    show('finetune-start', !running && state.problem === null);
    byId('finetune-start').textContent = t(state.status === 'interrupted' ? 'finetune.continue' : 'finetune.start');
    show('finetune-cancel', running || state.status === 'interrupted');
    show('finetune-accept', state.status === 'finished' && state.improved && !state.in_use);
    show('finetune-undo', state.in_use);
  }
}

/** Lines that say how far it is, and what it brought. */
function describe(state) {
  const lines = [];
  if (state.problem !== null) lines.push(state.problem);
  if (state.status === 'running') lines.push(t({ before: 'finetune.before', training: 'finetune.training', after: 'finetune.after' }[state.phase]));
  if (state.status === 'interrupted') lines.push(t('finetune.interrupted'));
  if (state.status === 'failed') lines.push(t('finetune.failed', { message: state.message }));
  if (state.status === 'finished') {
    lines.push(t('finetune.finished', { trained: state.trained, held: state.held_out }));
    if (state.improved) lines.push(t('finetune.improved', { verdict: t(state.verdict === 'better' ? 'finetune.verdict-better' : 'finetune.verdict-chance') }));
    else lines.push(t('finetune.not-improved'));
  }
  if (state.in_use) lines.push(t('finetune.in-use'));
  return lines;
}

/** A table of the figures before and after. */
function showFigures(table, figures) {
  table.hidden = !figures.length;
  const row = (kind, cells) => {
    const made = document.createElement('tr');
    made.append(...cells.map((text, i) => Object.assign(document.createElement(i ? kind : 'th'), { textContent: text })));
    return made;
  };
  const header = ['figure', 'before', 'after', 'difference'].map((column) => t(`finetune.column-${column}`));
  table.replaceChildren(row('th', header), ...figures.map((each) => row('td', [
    nameOf(each.figure), formatNumber(each.before), formatNumber(each.after),
    `${formatNumber(each.after - each.before)} (${formatNumber(each.low)}; ${formatNumber(each.high)})`,
  ])));
}

function nameOf(figure) {
  const [, kind, number] = figure.match(/([a-z]+)(\d+)/);
  return kind === 'noc' ? t('finetune.noc', { iou: Number(number) / 100 }) : t('finetune.iou', { count: Number(number) });
}
