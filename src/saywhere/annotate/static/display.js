// How the image and its objects are shown: colours, names, brightness, and which objects are hidden. The browser
// keeps it; nothing of it is an annotation. Locks of objects are, but have their buttons beside those that hide.

import { setName, t } from './i18n.js';

const byId = (id) => document.getElementById(id);
const STORED = 'saywhere-display';
const RANGES = { opacity: 100, brightness: 1, contrast: 1 };  // of a slider's value to the setting's

export class Display {
  #hidden = new Map();  // sets of objects' numbers, by the image's number

  constructor(session, stage) {
    Object.assign(this, { session, stage });
    Object.assign(stage.settings, JSON.parse(localStorage.getItem(STORED) ?? '{}'));
    for (const [name, unit] of Object.entries(RANGES)) byId(name).addEventListener('input', (e) => this.set({ [name]: e.target.value / unit }));
    for (const name of ['contour', 'others', 'names']) byId(name).addEventListener('change', (e) => this.set({ [name]: e.target.checked }));
    byId('colours').addEventListener('change', (e) => this.set({ colours: e.target.value }));
    byId('plain-image').addEventListener('click', () => this.set({ brightness: 100, contrast: 100 }));
    session.addEventListener('open', () => this.#open());
    session.addEventListener('project', () => this.#show());
  }

  set(change) {
    Object.assign(this.stage.settings, change);
    localStorage.setItem(STORED, JSON.stringify(this.stage.settings));
    this.#show();
    this.stage.draw();
  }

  #show() {
    const { settings } = this.stage, { session } = this;
    for (const [name, unit] of Object.entries(RANGES)) byId(name).value = unit * settings[name];
    for (const name of ['contour', 'others', 'names']) byId(name).checked = settings[name];
    byId('colours').value = settings.colours;
    byId('plain-image').hidden = settings.brightness === 100 && settings.contrast === 100;
    if (session.colouring === settings.colours) return;
    session.colouring = settings.colours;
    if (session.state) session.emit('state');
  }

  /** Hide everything that is drawn on the image, or show it again. Not kept: a page opens with masks shown. */
  toggleMasks() {
    this.stage.masksHidden = !this.stage.masksHidden;
    this.stage.draw();
  }

  toggleContour() {
    this.set({ contour: !this.stage.settings.contour });
  }

  // Single objects

  #open() {
    const id = this.session.row?.id;
    if (!this.#hidden.has(id)) this.#hidden.set(id, new Set());
    this.stage.hidden = this.#hidden.get(id);
  }

  toggleHidden(object = this.session.object) {
    if (!object) return;
    if (!this.stage.hidden.delete(object.id)) this.stage.hidden.add(object.id);
    this.session.emit('state');
  }

  /** Lock or unlock an object, on the server. */
  toggleLocked(object = this.session.object) {
    if (object) this.session.act({ kind: 'lock', locked: !object.locked }, { object: { id: object.id } });
  }

  /** The buttons in an object's row that hide and lock it. */
  buttons(object) {
    const button = (pressed, icons, name, run) => {
      const made = document.createElement('button');
      made.innerHTML = `<svg><use href="#i-${icons[Number(pressed)]}"/></svg>`;
      made.setAttribute('aria-pressed', pressed);
      setName(made, name);
      made.addEventListener('click', (e) => { e.stopPropagation(); run(object); });
      return made;
    };
    return [
      button(this.stage.hidden.has(object.id), ['eye', 'hidden'], t('objects.hide'), (one) => this.toggleHidden(one)),
      button(object.locked, ['unlocked', 'locked'], t('objects.lock'), (one) => this.toggleLocked(one)),
    ];
  }
}
