// Key bindings: one table for the keyboard and for the dialog that lists them.

import { t } from './i18n.js';

/**
 * [keys, description, how they are shown, action, whether they are shown]; keys are KeyboardEvent.key, with 'Mod+' for
 * Ctrl or Cmd.
 */
export function bindings({ session, stage, input, phrase, help, side, labels, offers, display, instances, attributes, review }) {
  const moveBy = (dx, dy) => (e) => input.moveCrosshair(dx, dy, e.shiftKey);
  const openNeighbour = (step) => () => session.flow.openNeighbour(step);
  const accept = (e) => {
    if (e.key === 'Enter' && phrase.justSaid) return session.notice(t('finish.press-n'), false);
    return session.flow.accept();
  };
  const arrow = (step, dx, dy) => (e) => (input.crosshair ? moveBy(dx, dy)(e) : dx ? openNeighbour(step)() : false);
  return [
    [['n', 'Enter'], t('keys.accept'), 'N or Enter', (e) => (input.crosshair && e.key === 'Enter' ? input.pressCrosshair(true) : accept(e))],
    [['s'], t('keys.skip'), 'S', () => { session.flow.skip(true); }],
    [['d', 'ArrowRight'], t('keys.next'), 'D or →', (e) => (e.key === 'd' ? session.flow.openNeighbour(1) : arrow(1, 1, 0)(e))],
    [['a', 'ArrowLeft'], t('keys.previous'), 'A or ←', (e) => (e.key === 'a' ? session.flow.openNeighbour(-1) : arrow(-1, -1, 0)(e))],
    [['z', 'Mod+z'], t('keys.undo'), 'Z or Ctrl Z', () => { session.undo(); }],
    [['y', 'Mod+y', 'Mod+Shift+z'], t('keys.redo'), 'Y or Ctrl Y', () => { session.redo(); }],
    [[' '], t('keys.space'), 'Space', null],
    [['o'], t('keys.new-object'), 'O', () => session.beginObject()],
    [['Tab'], t('keys.next-object'), 'Tab', (e) => side.selectNext(e.shiftKey ? -1 : 1)],
    [['Delete', 'Backspace'], t('keys.delete'), 'Del', () => session.object && session.act({ kind: 'delete' })],
    [['1', '2', '3', '4', '5', '6', '7', '8', '9', '0'], t('keys.label'), '1 … 0', (e) => labels.byKey(e.key)],
    [['F2'], t('keys.relabel'), 'F2', () => labels.openRelabel()],
    [['F8'], t('keys.approve'), 'F8', () => { review.approve(); }],
    [['F9'], t('keys.reject'), 'F9', () => { review.reject(); }],
    [[';'], t('keys.attributes'), ';', () => attributes.focus()],
    [['.', ','], t('keys.offer'), '. or ,', (e) => offers.take(e.key === '.' ? 0 : 1)],
    [['/'], t('keys.phrase'), '/', () => phrase.focus(), () => session.project.phrases],
    [['i'], t('keys.instances'), 'I', () => instances.findAll()],
    [['v'], t('keys.click'), 'V', () => input.setTool('click')],
    [['r'], t('keys.box'), 'R', () => input.setTool('box'), () => session.boxProblem === null],
    [['q', 'w'], t('keys.candidates'), 'Q or W or Alt+wheel', (e) => { session.stepCandidate(e.key.toLowerCase() === 'w' ? 1 : -1); }, () => session.project.candidates > 1],
    [['b'], t('keys.brush'), 'B', () => input.setTool('brush')],
    [['e'], t('keys.eraser'), 'E', () => input.setTool('eraser')],
    [['u'], t('keys.lasso'), 'U', () => input.setTool('lasso')],
    [['p'], t('keys.polygon'), 'P', () => input.setTool('polygon')],
    [['m'], t('keys.vertices'), 'M', () => input.setTool('vertices')],
    [['k'], t('keys.rectangle'), 'K', () => input.setTool('rectangle')],
    [['[', ']'], t('keys.brush-size'), '[ ]', (e) => input.setBrush(input.brush * (e.key === '[' ? 0.8 : 1.25))],
    [['x'], t('keys.sign'), 'X', () => (input.crosshair ? input.pressCrosshair(false) : input.setSign(!input.positive)), () => session.project.negative_clicks],
    [['c'], t('keys.crosshair'), 'C', () => input.toggleCrosshair()],
    [['ArrowUp', 'ArrowDown'], null, '', (e) => (input.crosshair ? moveBy(0, e.key === 'ArrowUp' ? -1 : 1)(e) : session.flow.openNeighbour(e.key === 'ArrowUp' ? -1 : 1))],
    [['f'], t('keys.fit'), 'F', () => stage.fit()],
    [['+', '=', '-', '_'], t('keys.zoom'), '+ −', (e) => stage.zoom('+='.includes(e.key) ? 1.25 : 0.8)],
    [['g'], t('keys.zoom-object'), 'G', () => session.object && stage.zoomTo(session.object)],
    [['j'], t('keys.hide-object'), 'J', () => display.toggleHidden()],
    [['t'], t('keys.lock-object'), 'T', () => display.toggleLocked()],
    [['h'], t('keys.hide'), 'H', () => display.toggleMasks()],
    [['l'], t('keys.contour'), 'L', () => display.toggleContour()],
    [['?'], t('keys.keys'), '?', () => help.showModal()],
    [['Mod+a'], null, '', () => {}],  // the browser would select the page's texts
    [['Escape'], null, '', () => { if (input.cancelGesture()) return; if (input.crosshair) input.toggleCrosshair(); phrase.clear(); }],
  ];
}

/** Keys whose names depend on the language. */
const KEY_NAMES = { Space: t('keys.name-space'), Enter: t('keys.name-enter'), Del: t('keys.name-delete'), 'Alt+wheel': t('keys.name-alt-wheel') };

export function listenForKeys(table, { session, input, instances }) {
  const byKey = new Map();
  for (const [keys, , , action] of table) if (action) for (const key of keys) byKey.set(key, action);
  addEventListener('keydown', (e) => {
    if (document.querySelector('dialog[open]') || e.isComposing) return;
    const field = e.target.closest?.('input:not([type=range]):not([type=checkbox]), textarea, select');
    if (field) return;
    if (e.key === ' ' && !e.target.closest?.('button, a, [type=checkbox]')) {
      if (!e.repeat) input.setSpace(true);
      return e.preventDefault();
    }
    // Buttons and sliders keep their own keys.
    if (e.key === 'Enter' && e.target.closest?.('button, a, summary')) return;
    if (e.key === 'Tab' && e.target !== input.canvas) return;
    if (instances.onKey(e)) return e.preventDefault();
    if (e.key.startsWith('Arrow') && e.target.closest?.('[type=range]')) return;
    if (e.altKey) return;
    // Held down, a key neither accepts nor skips images.
    if (e.repeat && ['n', 's', '.', ',', 'Enter'].includes(e.key)) return e.preventDefault();
    const mod = e.ctrlKey || e.metaKey;
    if (!mod && input.special?.key?.(e.key)) return e.preventDefault();
    const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
    const name = mod ? `Mod+${e.shiftKey ? 'Shift+' : ''}${key}` : key;
    const action = byKey.get(name);
    if (!action || action(e) === false) return;
    e.preventDefault();
  });
  addEventListener('keyup', (e) => {
    if (e.key === 'Alt' && input.wheelStepped) {
      input.wheelStepped = false;
      return e.preventDefault();  // Alt alone would open the browser's menu
    }
    if (e.key !== ' ' || !input.spaceHeld) return;
    const moved = input.panned;
    input.setSpace(false);
    if (!moved && !session.proposals.accept()) session.notice(t('keys.no-proposal'), false);
  });
  addEventListener('blur', () => input.setSpace(false));
}

export function describeKeys(table, into) {
  into.replaceChildren();
  for (const [, text, shown, , visible] of table) {
    if (!text || visible?.() === false) continue;
    const row = document.createElement('div'), keys = document.createElement('span');
    row.append(text);
    for (const key of shown.split(' or ')) {
      const mark = document.createElement('kbd');
      mark.textContent = KEY_NAMES[key] ?? key;
      keys.append(mark);
    }
    row.append(keys);
    into.append(row);
  }
}
