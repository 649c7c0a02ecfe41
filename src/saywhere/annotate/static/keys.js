// Every key and what it does: one table for the keyboard and for the page that explains it.

/** [keys, what they do, how they are shown, action]; keys are KeyboardEvent.key, with 'Mod+' for Ctrl or Cmd. */
export function bindings({ session, stage, input, phrase, help, side }) {
  const cross = (dx, dy) => (e) => input.moveCross(dx, dy, e.shiftKey);
  const photo = (step) => () => session.go(step);
  const arrow = (step, dx, dy) => (e) => (input.cross ? cross(dx, dy)(e) : dx ? photo(step)() : false);
  return [
    [['n', 'Enter'], 'accept, next photograph', 'N or Enter', (e) => (input.cross && e.key === 'Enter' ? input.pressCross(true) : session.finish('done'))],
    [['s'], 'skip this photograph', 'S', () => session.finish('skipped')],
    [['d', 'ArrowRight'], 'next photograph', 'D or →', (e) => (e.key === 'd' ? session.go(1) : arrow(1, 1, 0)(e))],
    [['a', 'ArrowLeft'], 'photograph before', 'A or ←', (e) => (e.key === 'a' ? session.go(-1) : arrow(-1, -1, 0)(e))],
    [['z', 'Mod+z'], 'undo', 'Z or Ctrl Z', () => session.act({ kind: 'undo' }, { toObject: false })],
    [['y', 'Mod+y', 'Mod+Shift+z'], 'redo', 'Y or Ctrl Y', () => session.act({ kind: 'redo' }, { toObject: false })],
    [[' '], 'accept the proposed point; held: move', 'Space', null],
    [['o'], 'new object', 'O', () => session.select(null)],
    [['Tab'], 'next object', 'Tab', (e) => side.cycle(e.shiftKey ? -1 : 1)],
    [['Delete', 'Backspace'], 'delete the object', 'Del', () => session.object && session.act({ kind: 'delete' })],
    [['1', '2', '3', '4', '5', '6', '7', '8', '9', '0'], 'label', '1 … 0', (e) => side.labelByKey(e.key)],
    [['/'], 'say what it is', '/', () => phrase.focus()],
    [['v'], 'point', 'V', () => input.setTool('point')],
    [['b'], 'brush', 'B', () => input.setTool('brush')],
    [['e'], 'eraser', 'E', () => input.setTool('eraser')],
    [['[', ']'], 'smaller, larger brush', '[ ]', (e) => input.setBrush(input.brush * (e.key === '[' ? 0.8 : 1.25))],
    [['x'], 'on it / not it', 'X', () => (input.cross ? input.pressCross(false) : input.setSign(!input.positive))],
    [['c'], 'crosshair: arrows move, Enter is on it, X is not', 'C', () => input.toggleCross()],
    [['ArrowUp', 'ArrowDown'], null, '', (e) => (input.cross ? cross(0, e.key === 'ArrowUp' ? -1 : 1)(e) : session.go(e.key === 'ArrowUp' ? -1 : 1))],
    [['f'], 'whole photograph', 'F', () => stage.fit()],
    [['+', '=', '-', '_'], 'zoom', '+ −', (e) => stage.zoom('+='.includes(e.key) ? 1.25 : 0.8)],
    [['h'], 'hide or show masks', 'H', () => side.toggleMasks()],
    [['l'], 'contour', 'L', () => side.toggleContour()],
    [['?'], 'these keys', '?', () => help.showModal()],
    [['Escape'], null, '', () => { if (input.cross) input.toggleCross(); phrase.leave(); }],
  ];
}

export function listen(table, { session, input }) {
  const byKey = new Map();
  for (const [keys, , , action] of table) if (action) for (const key of keys) byKey.set(key, action);
  addEventListener('keydown', (e) => {
    if (document.querySelector('dialog[open]') || e.isComposing) return;
    const field = e.target.closest?.('input:not([type=range]):not([type=checkbox]), textarea, select');
    if (field) return;
    if (e.key === ' ' && !e.target.closest?.('button, a, [type=checkbox]')) {
      if (!e.repeat) input.space(true);
      return e.preventDefault();
    }
    // Buttons and lists keep the keys that belong to them.
    if (e.key === 'Enter' && e.target.closest?.('button, a, summary')) return;
    if (e.key === 'Tab' && e.target !== input.canvas) return;
    if (e.key.startsWith('Arrow') && e.target.closest?.('[type=range]')) return;
    if (e.altKey) return;
    const mod = e.ctrlKey || e.metaKey;
    const plain = e.key.length === 1 ? e.key.toLowerCase() : e.key;
    const name = mod ? `Mod+${e.shiftKey ? 'Shift+' : ''}${plain}` : plain;
    const action = byKey.get(name);
    if (!action || action(e) === false) return;
    e.preventDefault();
  });
  addEventListener('keyup', (e) => {
    if (e.key !== ' ' || !input.spaceHeld) return;
    const moved = input.panned;
    input.space(false);
    if (!moved && !session.agree()) session.notice('No point is proposed here; click, or choose a label first.', false);
  });
  addEventListener('blur', () => input.space(false));
}

export function explain(table, into) {
  for (const [, text, shown] of table) {
    if (!text) continue;
    const row = document.createElement('div'), keys = document.createElement('span');
    row.append(text);
    for (const key of shown.split(' or ')) {
      const mark = document.createElement('kbd');
      mark.textContent = key;
      keys.append(mark);
    }
    row.append(keys);
    into.append(row);
  }
}
