// Key bindings: one table for the keyboard and for the dialog that lists them.

/**
 * [keys, description, how they are shown, action, whether they are shown]; keys are KeyboardEvent.key, with 'Mod+' for
 * Ctrl or Cmd.
 */
export function bindings({ session, stage, input, phrase, help, side }) {
  const moveBy = (dx, dy) => (e) => input.moveCrosshair(dx, dy, e.shiftKey);
  const openNeighbour = (step) => () => session.openNeighbour(step);
  const arrow = (step, dx, dy) => (e) => (input.crosshair ? moveBy(dx, dy)(e) : dx ? openNeighbour(step)() : false);
  return [
    [['n', 'Enter'], 'accept, next image', 'N or Enter', (e) => (input.crosshair && e.key === 'Enter' ? input.pressCrosshair(true) : session.markAndContinue('done'))],
    [['s'], 'skip this image', 'S', () => session.markAndContinue('skipped')],
    [['d', 'ArrowRight'], 'next image', 'D or →', (e) => (e.key === 'd' ? session.openNeighbour(1) : arrow(1, 1, 0)(e))],
    [['a', 'ArrowLeft'], 'previous image', 'A or ←', (e) => (e.key === 'a' ? session.openNeighbour(-1) : arrow(-1, -1, 0)(e))],
    [['z', 'Mod+z'], 'undo', 'Z or Ctrl Z', () => session.act({ kind: 'undo' }, { toObject: false })],
    [['y', 'Mod+y', 'Mod+Shift+z'], 'redo', 'Y or Ctrl Y', () => session.act({ kind: 'redo' }, { toObject: false })],
    [[' '], 'accept the proposed click; held: move', 'Space', null],
    [['o'], 'new object', 'O', () => session.select(null)],
    [['Tab'], 'next object', 'Tab', (e) => side.selectNext(e.shiftKey ? -1 : 1)],
    [['Delete', 'Backspace'], 'delete the object', 'Del', () => session.object && session.act({ kind: 'delete' })],
    [['1', '2', '3', '4', '5', '6', '7', '8', '9', '0'], 'label', '1 … 0', (e) => side.labelByKey(e.key)],
    [['/'], 'phrase', '/', () => phrase.focus(), () => session.project.phrases],
    [['v'], 'click', 'V', () => input.setTool('click')],
    [['r'], 'box: drag from corner to corner', 'R', () => input.setTool('box'), () => session.boxProblem === null],
    [['q', 'w'], 'smaller, larger candidate mask', 'Q or W or Alt+wheel', (e) => { session.stepCandidate(e.key.toLowerCase() === 'w' ? 1 : -1); }, () => session.project.candidates > 1],
    [['b'], 'brush', 'B', () => input.setTool('brush')],
    [['e'], 'eraser', 'E', () => input.setTool('eraser')],
    [['[', ']'], 'smaller, larger brush', '[ ]', (e) => input.setBrush(input.brush * (e.key === '[' ? 0.8 : 1.25))],
    [['x'], 'object / background', 'X', () => (input.crosshair ? input.pressCrosshair(false) : input.setSign(!input.positive)), () => session.project.negative_clicks],
    [['c'], 'crosshair: arrows move, Enter is the left button, X the right one', 'C', () => input.toggleCrosshair()],
    [['ArrowUp', 'ArrowDown'], null, '', (e) => (input.crosshair ? moveBy(0, e.key === 'ArrowUp' ? -1 : 1)(e) : session.openNeighbour(e.key === 'ArrowUp' ? -1 : 1))],
    [['f'], 'whole image', 'F', () => stage.fit()],
    [['+', '=', '-', '_'], 'zoom', '+ −', (e) => stage.zoom('+='.includes(e.key) ? 1.25 : 0.8)],
    [['h'], 'hide or show masks', 'H', () => side.toggleMasks()],
    [['l'], 'contour', 'L', () => side.toggleContour()],
    [['?'], 'these keys', '?', () => help.showModal()],
    [['Escape'], null, '', () => { if (input.cancelGesture()) return; if (input.crosshair) input.toggleCrosshair(); phrase.clear(); }],
  ];
}

export function listenForKeys(table, { session, input }) {
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
    if (e.key.startsWith('Arrow') && e.target.closest?.('[type=range]')) return;
    if (e.altKey) return;
    const mod = e.ctrlKey || e.metaKey;
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
    if (!moved && !session.acceptProposal()) session.notice('No click is proposed here; click, or choose a label first.', false);
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
      mark.textContent = key;
      keys.append(mark);
    }
    row.append(keys);
    into.append(row);
  }
}
