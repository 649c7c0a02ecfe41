// Figures and plots of what annotation cost, made of one row for each object.

import { get } from './api.js';
import { formatNumber, language, t } from './i18n.js';

const SVG = 'http://www.w3.org/2000/svg', WIDTH = 440, HEIGHT = 200, LEFT = 36, BOTTOM = 26, TOP = 10;
const mean = (values) => values.reduce((a, b) => a + b, 0) / (values.length || 1);
const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length ? (sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2) : 0;
};
const number = (value, digits = 1) => formatNumber(value, digits);
const percent = (share) => t('stats.percent', { percent: number(100 * share, 0) });

function element(name, attributes = {}, text = '') {
  const svg = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  svg.textContent = text;
  return svg;
}

function panel(title, ...content) {
  const box = document.createElement('section'), head = document.createElement('h2');
  box.className = 'plot';
  head.textContent = title;
  box.append(head, ...content);
  document.getElementById('plots').append(box);
}

/** A plot with round numbers on the left, and the function from a value to its y coordinate. */
function frame(highest) {
  const svg = element('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' });
  const power = 10 ** Math.floor(Math.log10(Math.max(highest, 1) / 2)), step = [1, 2, 5, 10].map((m) => m * power).find((s) => highest / s <= 4) ?? power;
  const round = Math.max(step, 1), top = Math.max(Math.ceil(highest / round) * round, 1);
  const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / top;
  for (let value = 0; value <= top; value += round) {
    svg.append(element('line', { class: 'axis', x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }));
    svg.append(element('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, number(value)));
  }
  return { svg, y };
}

/** The number of values in each of the bins [from, to, name]. */
function histogram(title, unit, values, bins) {
  const counts = bins.map(([from, to]) => values.filter((v) => v >= from && v < to).length);
  const { svg, y } = frame(Math.max(...counts)), barWidth = (WIDTH - LEFT) / bins.length;
  svg.setAttribute('aria-label', `${title}: ${bins.map(([, , name], i) => `${name} ${unit}: ${counts[i]}`).join(', ')}`);
  counts.forEach((count, i) => {
    const bar = element('rect', { class: 'mark', x: LEFT + i * barWidth + 2, width: Math.max(barWidth - 4, 1), y: y(count), height: y(0) - y(count), rx: 3 });
    bar.append(element('title', {}, `${bins[i][2]} ${unit}: ${count}`));
    svg.append(bar, element('text', { x: LEFT + (i + 0.5) * barWidth, y: HEIGHT - 8, 'text-anchor': 'middle' }, bins[i][2]));
  });
  panel(title, svg);
}

function overTime(objects) {
  const times = objects.map((o) => o.ended_ms).sort((a, b) => a - b), first = times[0], span = Math.max(times.at(-1) - first, 1);
  const { svg, y } = frame(times.length), x = (t) => LEFT + ((WIDTH - LEFT - 4) * (t - first)) / span;
  let path = `M${x(first)},${y(0)}`;
  times.forEach((t, i) => { path += `L${x(t)},${y(i)}L${x(t)},${y(i + 1)}`; });
  svg.append(element('path', { class: 'area', d: `${path}L${x(times.at(-1))},${y(0)}Z` }), element('path', { class: 'line', d: path }));
  const day = span > 36e5 * 20, show = (t) => new Date(t).toLocaleString(language, day ? { dateStyle: 'short' } : { timeStyle: 'short' });
  svg.append(element('text', { x: LEFT, y: HEIGHT - 8 }, show(first)), element('text', { x: WIDTH, y: HEIGHT - 8, 'text-anchor': 'end' }, show(times.at(-1))));
  svg.setAttribute('aria-label', t('stats.over-time-details', { count: times.length, from: show(first), to: show(times.at(-1)) }));
  panel(t('stats.over-time'), svg);
}

/** Interactions per object over the project, a bar for each tenth of its objects. */
function overProject(effort) {
  const { svg, y } = frame(Math.max(...effort.map((e) => e.interactions))), barWidth = (WIDTH - LEFT) / effort.length;
  let done = 0;
  const descriptions = effort.map(({ objects, interactions, seconds, proposed }, i) => {
    const name = `${done + 1}–${done += objects}`, description = t('stats.part', { objects: name, interactions: number(interactions, 2), seconds: number(seconds), proposed: percent(proposed) });
    const bar = element('rect', { class: 'mark', x: LEFT + i * barWidth + 2, width: Math.max(barWidth - 4, 1), y: y(interactions), height: y(0) - y(interactions), rx: 3 });
    bar.append(element('title', {}, description));
    svg.append(bar, element('text', { x: LEFT + (i + 0.5) * barWidth, y: HEIGHT - 8, 'text-anchor': 'middle' }, effort.length > 5 ? `${done}` : name));
    return description;
  });
  svg.setAttribute('aria-label', descriptions.join('; '));
  panel(t('stats.over-project'), svg);
}

function table(title, objects, nameOf) {
  const groups = new Map();
  for (const object of objects) groups.set(nameOf(object), [...(groups.get(nameOf(object)) ?? []), object]);
  const tableElement = document.createElement('table');
  const row = (cells, kind) => {
    const line = tableElement.insertRow();
    for (const text of cells) { const cell = document.createElement(text ? kind : 'td'); cell.textContent = text; line.append(cell); }
  };
  row(['', t('stats.objects'), t('stats.interactions'), t('stats.seconds')], 'th');
  for (const [name, own] of [...groups].sort((a, b) => b[1].length - a[1].length).slice(0, 30)) {
    row([name, number(own.length), number(mean(own.map((o) => o.interactions)), 2), number(median(own.map((o) => o.seconds)))], 'td');
  }
  panel(title, tableElement);
}

function tile(value, name) {
  const box = document.createElement('div'), figure = document.createElement('b'), caption = document.createElement('span');
  box.className = 'tile';
  caption.className = 'quiet';
  figure.textContent = value;
  caption.textContent = name;
  box.append(figure, caption);
  document.getElementById('tiles').append(box);
}

async function show() {
  const { images, objects, effort } = await get('/api/stats');
  const all = Object.values(images).reduce((a, b) => a + b, 0), hours = objects.reduce((sum, o) => sum + o.seconds, 0) / 3600;
  tile(t('stats.of', { done: images.done ?? 0, all }), t('stats.images-done'));
  tile(number(objects.length), t('stats.objects'));
  document.getElementById('none').hidden = objects.length > 0;
  if (!objects.length) return;
  tile(number(mean(objects.map((o) => o.interactions)), 2), t('stats.mean-interactions'));
  tile(t('stats.n-seconds', { seconds: number(median(objects.map((o) => o.seconds))) }), t('stats.median-seconds'));
  tile(hours > 0 ? number(objects.length / hours, 0) : '–', t('stats.per-hour'));
  const proposed = objects.filter((o) => o.proposed > 0).length, start = effort[0], now = effort.at(-1);
  tile(`${number(proposed)} (${percent(proposed / objects.length)})`, t('stats.proposed'));
  const change = (before, after) => `${number(before)} → ${number(after)}${before > 0 ? ` (${after > before ? '+' : ''}${percent(after / before - 1)})` : ''}`;
  if (effort.length > 1) {
    tile(change(start.interactions, now.interactions), t('stats.change-interactions', { last: now.objects, first: start.objects }));
    tile(change(start.seconds, now.seconds), t('stats.change-seconds'));
    overProject(effort);
  }
  histogram(t('stats.per-object'), t('stats.interactions'), objects.map((o) => o.interactions),
    [...Array.from({ length: 10 }, (_, i) => [i + 1, i + 2, `${i + 1}`]), [11, 21, '≤20'], [21, Infinity, '>20']]);
  histogram(t('stats.seconds-per-object'), t('stats.seconds'), objects.map((o) => o.seconds),
    [[0, 2, '2'], [2, 5, '5'], [5, 10, '10'], [10, 20, '20'], [20, 40, '40'], [40, 80, '80'], [80, 160, '160'], [160, Infinity, '>160']]);
  overTime(objects);
  const totals = ['clicks', 'drags', 'boxes', 'choices', 'phrases', 'strokes'].map((kind) => [kind, objects.reduce((sum, o) => sum + o[kind], 0)])
    .filter(([kind, count]) => count || !['boxes', 'choices'].includes(kind));
  const { svg, y } = frame(Math.max(...totals.map(([, count]) => count))), barWidth = (WIDTH - LEFT) / totals.length;
  totals.forEach(([kind, count], i) => svg.append(
    element('rect', { class: 'mark', x: LEFT + (i + 0.2) * barWidth, width: 0.6 * barWidth, y: y(count), height: y(0) - y(count), rx: 4 }),
    element('text', { x: LEFT + (i + 0.5) * barWidth, y: HEIGHT - 8, 'text-anchor': 'middle' }, `${t(`stats.kind-${kind}`)}: ${number(count)}`)));
  svg.setAttribute('aria-label', totals.map(([kind, count]) => `${t(`stats.kind-${kind}`)}: ${number(count)}`).join(', '));
  panel(t('stats.by-kind'), svg);
  table(t('stats.by-label'), objects, (o) => o.label || t('stats.no-label'));
  table(t('stats.by-person'), objects, (o) => o.person);
}

document.title = `${t('list.statistics')} · Saywhere`;
document.documentElement.dataset.theme = localStorage.getItem('saywhere-theme') ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
show().catch((error) => { document.getElementById('tiles').textContent = error.message; }).finally(() => { document.documentElement.dataset.ready = 'true'; });
