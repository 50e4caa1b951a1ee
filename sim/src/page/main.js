// What the reader does: filters, zoom, keys and pointer.

// Nothing is drawn wider than this many microseconds across the page.
const SPAN_MIN = 200;

function refilter() {
  filter();
  arrange();
  showReplicas();
  redraw();
}

function arrange() {
  layout(scroller.clientHeight);
  showLanes();
}

function setView(from, to) {
  const span = Math.min(Math.max(to - from, SPAN_MIN), END);
  state.from = Math.max(0, Math.min(from + (to - from - span) / 2, END - span));
  state.to = state.from + span;
  showRange();
  redraw();
}

function zoom(factor, around) {
  const middle = around === undefined ? (state.from + state.to) / 2 : around;
  setView(middle - (middle - state.from) * factor, middle + (state.to - middle) * factor);
}

const pan = (by) => {
  const span = state.to - state.from;
  const from = Math.max(0, Math.min(state.from + by * span, END - span));
  setView(from, from + span);
};

function setCursor(time) {
  state.cursor = Math.max(0, Math.min(time, END));
  showReplicas();
  redraw();
}

function pick(found) {
  state.picked = found;
  showPicked();
  if (found) say(tell(found.type, found.item)[0]);
  redraw();
}

function setKey(key) {
  state.key = key;
  at('key').value = String(key);
  refilter();
  if (key < 0) return say(`All keys: ${count(shown.ops.length, 'request', 'requests')}, ${count(shown.messages.length, 'message', 'messages')}.`);
  return say(`Key ${keyName(keys[key])}: ${count(shown.ops.length, 'request', 'requests')}, ${count(shown.messages.length, 'message', 'messages')}.`);
}

// Goes to the first bad event, with the key that it is about.
function toBad() {
  if (!failure) return say('Nothing is wrong in this run.');
  if (failure.key !== null && failure.key !== undefined && failure.key !== state.key) setKey(failure.key);
  const op = failure.op === null ? null : ops[failure.op];
  if (op && isProbe(op.client) && state.closed.delete('ends')) refilter();
  if (failure.node !== null && state.hidden.delete(failure.node)) showFilters();
  const from = op ? op.start : failure.at;
  const room = op ? Math.max((failure.at - from) * 0.7, 40000) : 200000;
  setView(from - room, failure.at + room);
  setCursor(failure.at);
  pick(op ? { type: 'op', item: op } : null);
  const lane = op && laneOf.get(NODES + op.client);
  if (lane) {
    const lowest = lane.y - 6;
    const highest = lane.y + lane.h + 24 - scroller.clientHeight;
    scroller.scrollTop = Math.min(Math.max(scroller.scrollTop, highest), lowest);
  }
  const where = failure.node === null ? '' : ` in a turn of n${failure.node}`;
  return say(`First bad event at ${ms(failure.at)}${where}${op ? `: ${opWords(op)}` : ''}. Oracle ${failure.oracle}: ${failure.seen}`);
}

function fold(lane) {
  const flip = (set, item) => { if (!set.delete(item)) set.add(item); };
  if (lane.kind === 'group') flip(state.closed, lane.id);
  else if (lane.kind === 'client') flip(state.compact, lane.host - NODES);
  else return;
  refilter();
}

// From event to event: all that is shown, in order of time.
function step(way) {
  const times = [
    ...shown.ops.flatMap((op) => (op.end < 0 ? [op.start] : [op.start, op.end])),
    ...shown.messages.flatMap((one) => [one.sent, one.end]),
    ...shown.marks.map((mark) => mark.at), ...faults.flatMap((fault) => [fault.from, fault.to]),
  ];
  const next = way > 0
    ? times.reduce((best, time) => (time > state.cursor && time < best ? time : best), Infinity)
    : times.reduce((best, time) => (time < state.cursor && time > best ? time : best), -Infinity);
  if (!Number.isFinite(next)) return;
  setCursor(next);
  if (next < state.from || next > state.to) setView(next - (state.to - state.from) / 2, next + (state.to - state.from) / 2);
  pick(eventAt(next));
  if (!state.picked) say(`Cursor at ${ms(next)}.`);
}

function eventAt(time) {
  const op = shown.ops.find((one) => one.start === time || one.end === time);
  if (op) return { type: 'op', item: op };
  const message = shown.messages.find((one) => one.end === time || one.sent === time);
  if (message) return { type: 'message', item: message };
  const mark = shown.marks.find((one) => one.at === time);
  if (mark) return { type: 'mark', item: mark };
  const fault = faults.find((one) => one.from === time || one.to === time);
  return fault ? { type: 'fault', item: fault } : null;
}

function check(name, on, change, lines) {
  const box = make('input');
  box.type = 'checkbox';
  box.checked = on;
  box.addEventListener('change', () => { change(box.checked); refilter(); say(`${name} ${box.checked ? 'shown' : 'hidden'}: ${count(shown.messages.length, 'message', 'messages')}.`); });
  return make('label', '', box, ...lines, name);
}

function showFilters() {
  const flip = (set, item) => (on) => { if (on) set.add(item); else set.delete(item); };
  const rest = (id) => [...at(id).children].slice(0, 1);
  at('nodes').replaceChildren(...rest('nodes'), ...run.nodesList.map((node) => check(`n${node}`, !state.hidden.has(node),
    (on) => flip(state.hidden, node)(!on), [])));
  at('groups').replaceChildren(...rest('groups'), ...run.groups.map((name, group) => check(name, state.groups.has(group),
    flip(state.groups, group), [swatch(24, 8, (context) => {
      context.strokeStyle = colours.groups[group];
      context.lineWidth = 2;
      context.setLineDash(DASHES[group]);
      context.beginPath();
      context.moveTo(0, 4);
      context.lineTo(24, 4);
      context.stroke();
    })])));
}

function fillKeys() {
  const option = (value, text) => { const one = make('option', '', text); one.value = String(value); return one; };
  const used = keys.filter((key) => key.ops > 0 || changesOf.size === 0 || key.index === (failure && failure.key) || !key.name.startsWith('probe'));
  used.sort((a, b) => a.db - b.db || a.name.localeCompare(b.name, 'en', { numeric: true }));
  at('key').append(option(-1, `all ${keys.length}`), ...used.map((key) => option(key.index, `db ${key.db} \u00b7 ${key.name} (${count(key.ops, 'request', 'requests')})`)));
  at('key').addEventListener('change', () => setKey(Number(at('key').value)));
}

function pointOf(event) {
  const box = plot.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function listenToPlot() {
  let drag = null;
  plot.addEventListener('wheel', (event) => {
    event.preventDefault();
    const [x] = pointOf(event);
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / 800);
    else zoom(Math.exp(Math.max(-120, Math.min(event.deltaY, 120)) * 0.0025), timeOf(x));
  }, { passive: false });
  plot.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    const [x, y] = pointOf(event);
    drag = { x, y, from: state.from, to: state.to, top: scroller.scrollTop, client: event.clientY, moved: false };
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener('pointermove', (event) => {
    const [x, y] = pointOf(event);
    if (!drag) return showTip(find(x, y), event.clientX, event.clientY);
    if (!drag.moved && Math.hypot(x - drag.x, event.clientY - drag.client) < 4) return undefined;
    drag.moved = true;
    plot.classList.add('dragged');
    showTip(null);
    const span = drag.to - drag.from;
    const from = Math.max(0, Math.min(drag.from - ((x - drag.x) / width) * span, END - span));
    setView(from, from + span);
    scroller.scrollTop = drag.top - (event.clientY - drag.client);
    return undefined;
  });
  const release = (event) => {
    if (!drag) return;
    const [x, y] = pointOf(event);
    if (!drag.moved) {
      setCursor(timeOf(x));
      pick(find(x, y));
      if (!state.picked) say(`Cursor at ${ms(state.cursor)}.`);
    }
    drag = null;
    plot.classList.remove('dragged');
  };
  plot.addEventListener('pointerup', release);
  plot.addEventListener('pointercancel', () => { drag = null; });
  plot.addEventListener('pointerleave', () => showTip(null));
}

// Held down and moved, the pointer goes on doing it.
function whileHeld(element, act) {
  element.addEventListener('pointerdown', (event) => { element.setPointerCapture(event.pointerId); act(event); });
  element.addEventListener('pointermove', (event) => { if (event.buttons & 1) act(event); });
}

const KEYS = {
  ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1),
  ArrowUp: () => { scroller.scrollTop -= 60; }, ArrowDown: () => { scroller.scrollTop += 60; },
  '+': () => zoom(1 / 1.4), '=': () => zoom(1 / 1.4), '-': () => zoom(1.4),
  Home: () => pan(-1e6), End: () => pan(1e6), 0: () => setView(0, END),
  ',': () => step(-1), '.': () => step(1), b: () => toBad(), k: () => at('key').focus(),
  '?': () => toggleLegend(),
  Escape: () => { toggleLegend(false); pick(null); setKey(-1); },
};

function toggleLegend(open) {
  const legend = at('legend');
  legend.hidden = open === undefined ? !legend.hidden : !open;
  at('help').setAttribute('aria-expanded', String(!legend.hidden));
}

function listen() {
  listenToPlot();
  whileHeld(axis, (event) => setCursor(timeOf(event.clientX - axis.getBoundingClientRect().left)));
  whileHeld(overview, (event) => {
    const middle = ((event.clientX - overview.getBoundingClientRect().left) / width) * END;
    const span = state.to - state.from;
    const from = Math.max(0, Math.min(middle - span / 2, END - span));
    setView(from, from + span);
  });
  document.addEventListener('keydown', (event) => {
    const typing = event.target instanceof HTMLSelectElement && event.key !== 'Escape';
    const act = KEYS[event.key];
    const pressing = event.target instanceof HTMLButtonElement && (event.key === ' ' || event.key === 'Enter');
    if (!act || typing || pressing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  at('bad').addEventListener('click', toBad);
  at('fit').addEventListener('click', () => setView(0, END));
  at('in').addEventListener('click', () => zoom(1 / 1.6));
  at('out').addEventListener('click', () => zoom(1.6));
  at('help').addEventListener('click', () => toggleLegend());
  new ResizeObserver(() => { arrange(); redraw(); }).observe(scroller);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
}

function repaint() {
  readColours();
  showFilters();
  showLegend();
  redraw();
}

run.nodesList = Array.from({ length: NODES }, (_, node) => node);
readColours();
showVerdict();
fillKeys();
showFilters();
showLegend();
showPicked();
listen();
refilter();
setView(0, END);
say(`${count(ops.length, 'request', 'requests')}, ${count(messages.length, 'message', 'messages')}, ${count(faults.length, 'fault', 'faults')} in ${ms(END)}.${failure ? ' The run failed; b goes to the first bad event.' : ''}`);
