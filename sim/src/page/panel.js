// What stands beside the drawing: what is wrong, what is picked, what replicas hold, the legend.

const at = (id) => document.getElementById(id);

// An element of a tag, with a class, and with texts and elements in it; never with markup.
function make(tag, type, ...inside) {
  const element = document.createElement(tag);
  if (type) element.className = type;
  element.append(...inside.map((one) => (one instanceof Node ? one : String(one))));
  return element;
}

const say = (text) => { at('said').textContent = text; };

function facts(rows) {
  const list = make('dl');
  rows.filter((row) => row[1] !== '').forEach(([name, value]) => {
    list.append(make('dt', '', name), make('dd', '', value));
  });
  return list;
}

function showVerdict() {
  const size = `, ${count(run.nodes, 'node', 'nodes')}, ${count(run.clients, 'client', 'clients')}`;
  at('seed').replaceChildren(`seed ${run.seed}`, make('span', 'wide', size));
  document.title = `quorate: seed ${run.seed}${failure ? ', failed' : ''}`;
  at('case').textContent = `${run.case}\nhash ${run.hash}\n${run.again}`;
  const verdict = at('verdict');
  if (!failure) {
    verdict.className = 'fine';
    const settled = run.settled === null ? '' : ` Replicas were one within ${run.settled} ms of quiet.`;
    verdict.append(make('b', '', '\u2713 ok'), `All oracles hold.${settled}`);
    return;
  }
  verdict.className = 'failed';
  const about = failure.about ? `, key ${failure.about}` : '';
  verdict.append(make('b', '', '\u2717 failed'), `${failure.kind}, oracle \u201c${failure.oracle}\u201d${about}`);
  verdict.title = verdict.textContent;
  at('bad').hidden = false;
  const broken = at('broken');
  broken.hidden = false;
  const bad = failure.op === null ? '' : opWords(ops[failure.op]);
  const where = failure.node === null ? '' : `n${failure.node}`;
  broken.append(make('h2', '', `Broken promise: ${failure.oracle}`), facts([
    ['Promised', failure.promised],
    ['Seen', failure.seen],
    ['First bad', [ms(failure.at), where, bad].filter((part) => part).join(', ')],
    ['', failure.why],
  ]));
}

const opWords = (op) => `c${op.client} on n${op.node}: ${op.request} \u2192 ${op.reply}`;
const opSpan = (op) => `${ms(op.start)} to ${op.end < 0 ? 'never' : ms(op.end)}`;
const namesOf = (list) => list.map((key) => keys[key].name).join(', ');
const fateOf = (one) => [`delivered at ${ms(one.end)}`, `lost at ${ms(one.end)}: its connection was gone`, 'still under way when the run ended'][one.fate];

// What is said of a thing: a headline, and more.
function tell(type, item) {
  if (type === 'op') {
    return [opWords(item), [
      ['Outcome', OUTCOMES[item.outcome]], ['Asked', ms(item.start)],
      ['Answered', item.end < 0 ? 'never' : `${ms(item.end)}, after ${ms(item.end - item.start)}`],
      ['Database', item.db], ['Keys', namesOf(item.keys)],
      ['', failure && failure.op === item.index ? 'This is the first bad event.' : ''],
    ]];
  }
  if (type === 'message') {
    return [`${kinds[item.kind].name} from ${hostName(item.from)} to ${hostName(item.to)}`, [
      ['About', namesOf(item.keys)], ['Sent', ms(item.sent)], ['Fate', fateOf(item)],
      ['Took', item.fate === 0 ? ms(item.end - item.sent) : ''],
      ['Size', count(item.size, 'byte', 'bytes')], ['Group', run.groups[item.group]],
      ['Requests', item.count ? ops.slice(item.op, item.op + item.count).map((op) => op.request).join('; ') : ''],
    ]];
  }
  if (type === 'fault') {
    return [item.words, [['Began', ms(item.from)], ['Over', ms(item.to)], ['Lasted', ms(item.to - item.from)], ['Kind', item.type]]];
  }
  return [`n${item.node} ${item.kind === 'hook' ? `passed \u201c${item.text}\u201d` : item.text}`, [['At', ms(item.at)]]];
}

function showPicked() {
  const box = at('picked');
  box.replaceChildren(make('h2', '', 'Picked'));
  if (!state.picked) {
    box.append(make('p', 'hint', 'Point at anything to see what it is; click to pick it and to set the cursor.'));
    return;
  }
  const [head, rows] = tell(state.picked.type, state.picked.item);
  box.append(make('p', 'mono', head), facts(rows));
}

const KEYS_MAX = 4;

// The keys that the table is about: the chosen one, or those that changed last before the cursor.
function keysToShow() {
  if (state.key >= 0) return [state.key];
  const found = [];
  let index = changes.findLastIndex((change) => change.at <= state.cursor);
  for (; index >= 0 && found.length < KEYS_MAX; index -= 1) {
    if (!found.includes(changes[index].key)) found.push(changes[index].key);
  }
  return found;
}

function showReplicas() {
  const box = at('replicas');
  const chosen = keysToShow();
  const what = state.key >= 0 ? '' : ', keys touched last';
  box.replaceChildren(make('h2', '', `Replicas at ${ms(state.cursor)}${what}`));
  if (chosen.length === 0) {
    box.append(make('p', 'hint', 'No node holds anything yet.'));
    return;
  }
  const table = make('table');
  const head = ['Node', 'Holds', 'Version', 'Slot'].map((name) => {
    const cell = make('th', '', name);
    cell.scope = 'col';
    return cell;
  });
  table.append(make('thead', '', make('tr', '', ...head)));
  for (const key of chosen) table.append(replicaRows(keys[key]));
  box.append(table);
  if (chosen.some((key) => keys[key].db === 0)) {
    box.append(make('p', 'hint', 'Slot: whom the node follows in it, and the ballot that it has promised.'));
  }
}

function replicaRows(key) {
  const body = make('tbody');
  const title = make('th', '', `${key.name} \u00b7 database ${key.db}, slot ${key.slot}`);
  title.colSpan = 4;
  title.scope = 'rowgroup';
  body.append(make('tr', 'key', title));
  const held = [];
  for (let node = 0; node < NODES; node += 1) held.push(heldAt(node, key.index, state.cursor));
  const newest = Math.max(...held.map((change) => (change && !change.gone ? change.rank : -1)));
  held.forEach((change, node) => {
    if (state.hidden.has(node)) return;
    const up = lifeAt(node, state.cursor) !== undefined;
    const name = make('th', '', `n${node}`);
    name.scope = 'row';
    const missing = !change || change.gone;
    const holds = missing ? 'nothing' : change.value === null ? 'a tombstone' : change.value;
    const cell = make('td', 'mono', holds);
    if (missing ? newest >= 0 : change.rank < newest) cell.append(make('span', 'tag', missing ? 'lacks it' : 'older'));
    const version = make('td', 'mono version', missing ? '' : versionWords(change.version));
    body.append(make('tr', up ? '' : 'down', name, cell, version, slotCell(key, node, up)));
  });
  return body;
}

// A stamp may be broken before its life, which is long and seldom of interest.
function versionWords(version) {
  const words = make('span');
  version.split('/').forEach((part, place) => words.append(...(place > 0 ? [make('wbr'), `/${part}`] : [part])));
  return words;
}

function slotCell(key, node, up) {
  if (!up) return make('td', '', 'down');
  const paused = isPaused(node, state.cursor) ? 'stands still; ' : '';
  if (key.db !== 0) return make('td', '', paused || 'up');
  const office = officeAt(node, key.slot, state.cursor);
  if (!office) return make('td', '', `${paused}none yet`);
  const who = office.leader === node ? make('span', 'lead', '\u2691 leads') : office.leader < 0 ? 'no leader' : `follows n${office.leader}`;
  return make('td', '', paused, who, `, ${office.promised}`);
}

// Hints of a pointer that rests on something.
function showTip(found, x, y) {
  const tip = at('tip');
  tip.hidden = !found;
  if (!found) return;
  const [head, rows] = tell(found.type, found.item);
  const lines = rows.filter((row) => row[1] !== '').slice(0, 4).map(([name, value]) => `${name} ${value}`.trim());
  tip.replaceChildren(make('b', 'mono', head), make('span', '', lines.join(' \u00b7 ')));
  const stage = at('stage').getBoundingClientRect();
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x - stage.left + 14, stage.width - box.width - 8))}px`;
  const below = y - stage.top + 16;
  tip.style.top = `${below + box.height < stage.height ? below : y - stage.top - box.height - 10}px`;
}

// What is under a point of the plot, the smallest things first.
function find(x, y) {
  const near = (a, b, reach) => Math.abs(a - b) <= reach;
  const mark = shown.marks.find((one) => {
    const lane = laneOf.get(one.node);
    return lane && near(xOf(one.at) + (one.kind === 'won' ? 4 : 0), x, 6) && y > lane.line + (one.kind === 'won' ? -15 : 4) && y < lane.line + (one.kind === 'won' ? -5 : 13);
  });
  if (mark) return { type: 'mark', item: mark };
  const lane = lanes.find((one) => y >= one.y && y < one.y + one.h);
  if (lane && lane.kind === 'client') {
    const op = lane.ops.find((one) => {
      const [left, top, wide, high] = barBox(lane, one);
      return x >= left - 2 && x <= left + wide + 2 && y >= top - 1 && y <= top + high + 1;
    });
    if (op) return { type: 'op', item: op };
  }
  if (lane && lane.kind === 'node') {
    const time = timeOf(x);
    const reach = timeOf(3) - timeOf(0);
    const fault = lane.faults.find((one) => {
      const top = lane.y + 2 + (one.rows[lane.host] || 0) * ROW;
      return y >= top && y <= top + ROW && time >= one.from - reach && time <= one.to + reach;
    });
    if (fault) return { type: 'fault', item: fault };
  }
  let best = null;
  let closest = 6;
  for (const one of inSight.messages) {
    const [x0, y0, x1, y1] = arrow(one);
    const away = distance(x, y, x0, y0, x1, y1);
    if (away < closest) [best, closest] = [one, away];
  }
  return best && { type: 'message', item: best };
}

function distance(x, y, x0, y0, x1, y1) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const way = dx * dx + dy * dy;
  const part = way === 0 ? 0 : Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / way));
  return Math.hypot(x - x0 - part * dx, y - y0 - part * dy);
}

function showRange() {
  at('range').textContent = `${group(Math.round((state.to - state.from) / 1000))} ms wide`;
}

function showLanes() {
  const box = at('lanes');
  const before = document.activeElement && document.activeElement.dataset.lane;
  box.style.height = `${height}px`;
  box.replaceChildren(...lanes.filter((lane) => lane.name).map((lane) => {
    const button = make('button', lane.kind === 'client' ? 'small' : lane.kind, lane.name);
    button.type = 'button';
    button.dataset.lane = lane.id || lane.name;
    const middle = lane.kind === 'node' ? lane.line - 9 : lane.y + 1;
    button.style.top = `${middle}px`;
    button.style.height = `${lane.kind === 'node' ? 18 : Math.min(lane.h, 20)}px`;
    if (lane.kind === 'group') button.setAttribute('aria-expanded', String(!state.closed.has(lane.id)));
    if (lane.kind === 'client') {
      button.setAttribute('aria-expanded', String(!state.compact.has(lane.host - NODES)));
      button.title = 'Fold or unfold this client';
    }
    if (lane.kind === 'node') button.tabIndex = -1;
    button.addEventListener('click', () => fold(lane));
    return button;
  }));
  if (before) {
    const same = [...box.children].find((button) => button.dataset.lane === before);
    if (same) same.focus();
  }
}

function swatch(wide, high, paint) {
  const canvas = make('canvas');
  canvas.style.width = `${wide}px`;
  canvas.style.height = `${high}px`;
  paint(prepare(canvas, wide, high));
  return canvas;
}

function showLegend() {
  const line = (group) => (context) => {
    context.strokeStyle = colours.groups[group];
    context.lineWidth = 2;
    context.setLineDash(DASHES[group]);
    context.beginPath();
    context.moveTo(0, 8);
    context.lineTo(36, 8);
    context.stroke();
  };
  const fault = (look) => (context) => {
    context.fillStyle = pattern(context, look);
    context.fillRect(0, 1, 36, 14);
    context.strokeStyle = colours.faults[look] || colours.soft;
    context.strokeRect(0.5, 1.5, 35, 13);
  };
  const bar = (outcome) => (context) => drawBar(context, outcome, 1, 2, 34, 12);
  const mark = (kind) => (context) => drawMark(context, kind, 16, kind === 'won' ? 15 : 0);
  const lost = (context) => {
    line(0)(context);
    context.setLineDash([]);
    context.clearRect(24, 0, 12, 16);
    context.beginPath();
    context.moveTo(20, 4); context.lineTo(28, 12); context.moveTo(20, 12); context.lineTo(28, 4);
    context.stroke();
  };
  const rows = [
    ...run.groups.map((name, group) => [line(group), `message: ${name}`]),
    [lost, 'message that was lost'],
    [bar(0), 'request, answered'], [bar(1), 'failed: nothing was written'], [bar(2), 'unknown: may have happened'],
    [fault('crash'), 'no process, no power'], [fault('net'), 'cut off, links broken'], [fault('pause'), 'stands still'],
    [fault('disk'), 'disk fails'], [fault('slow'), 'slow, or clock jumps'], [fault('down'), 'down'],
    [mark('won'), 'take-over of slots'], [mark('commit'), 'commit by a leader'], [mark('vote'), 'votes, or no more'], [mark('hook'), 'something else is passed'],
  ];
  const list = make('ul');
  rows.forEach(([paint, text]) => list.append(make('li', '', swatch(36, 16, paint), text)));
  at('legend').replaceChildren(make('h2', '', 'Legend'), list, make('p', 'hint',
    'Wheel zooms, dragging and arrow keys move. A click sets the cursor, which the table of replicas follows; '
    + 'comma and full stop step it from event to event. b: first bad event. 0: whole run. k: choose a key. '
    + 'Esc: nothing picked, all keys. Names at the left fold clients.'));
}
