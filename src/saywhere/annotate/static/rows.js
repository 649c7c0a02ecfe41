// Lists whose rows have controls of their own (ARIA's grid): one tab stop for the list, the up and down arrows go from
// row to row, left and right to the controls of a row, Enter and Space do what a click does.

/** Fill a row: what it shows, then its controls. `key` finds it again when the list is made anew. */
export function fillRow(row, key, content, controls) {
  const cell = (...nodes) => {
    const box = document.createElement('span');
    box.className = 'cell';
    box.setAttribute('role', 'gridcell');
    box.append(...nodes);
    return box;
  };
  row.dataset.key = key;
  row.tabIndex = -1;
  row.setAttribute('role', 'row');
  for (const control of controls) control.tabIndex = -1;
  row.replaceChildren(cell(...content), ...controls.map((control) => cell(control)));
}

const stopsOf = (row) => [row, ...row.querySelectorAll('button:not(:disabled), input:not(:disabled)')];

/** Show rows in their list; the focus stays where it is. `current` is the row that Tab comes to. */
export function showRows(list, rows, current = null) {
  const active = document.activeElement?.closest('[role="row"]');
  const held = active && list.contains(active) ? { key: active.dataset.key, stop: stopsOf(active).indexOf(document.activeElement), index: [...list.children].indexOf(active) } : null;
  if (list.role !== 'grid') {
    list.role = 'grid';
    list.addEventListener('keydown', (e) => moveByKey(e, list));
    list.addEventListener('focusin', (e) => setStop(list, e.target.closest('[role="row"]')));
  }
  list.replaceChildren(...rows);
  setStop(list, current ?? rows[0]);
  if (!held || !rows.length) return;
  const same = rows.find((row) => row.dataset.key === held.key);
  if (same) (stopsOf(same)[held.stop] ?? same).focus();
  else rows[Math.min(held.index, rows.length - 1)].focus();
}

function setStop(list, row) {
  for (const each of list.children) each.tabIndex = each === row ? 0 : -1;
}

function moveByKey(e, list) {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const row = e.target.closest('[role="row"]'), rows = [...list.children], at = rows.indexOf(row), last = rows.length - 1;
  const stops = stopsOf(row), stop = stops.indexOf(e.target);
  const next = {
    ArrowDown: rows[Math.min(at + 1, last)], ArrowUp: rows[Math.max(at - 1, 0)], Home: rows[0], End: rows[last],
    ArrowRight: stops[Math.min(stop + 1, stops.length - 1)], ArrowLeft: stops[Math.max(stop - 1, 0)],
  }[e.key];
  if (next) next.focus();
  else if ((e.key === 'Enter' || e.key === ' ') && e.target === row) row.click();
  else if (e.key !== 'Enter' && e.key !== ' ') return;
  if (next || e.target === row) e.preventDefault();
  e.stopPropagation();
}
