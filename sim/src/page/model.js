'use strict';
// The run: its tables as objects, what is looked for in them, and what of it is to be seen now.

const run = JSON.parse(document.getElementById('run').textContent);
const NODES = run.nodes;
const END = Math.max(run.end, 1);
const OUTCOMES = ['ok', 'failed', 'unknown'];

const keys = run.keys.map(([db, name, slot], index) => ({ index, db, name, slot, ops: 0 }));
const kinds = run.kinds.map(([name, group]) => ({ name, group }));

const ops = run.ops.map(([client, node, db, start, end, outcome, request, reply, ofKeys], index) => {
  ofKeys.forEach((key) => { keys[key].ops += 1; });
  return { index, client, node, db, start, end, outcome, request, reply, keys: ofKeys };
});
const messages = run.messages.map(([from, to, sent, end, fate, kind, size, ofKeys, op, count], index) => ({
  index, from, to, sent, end: end < 0 ? END : end, fate, kind, group: kinds[kind].group, size,
  keys: ofKeys, op, count,
}));
const changes = run.changes.map(([at, node, key, version, value, expires, rank]) => ({
  at, node, key, version, value, expires, rank, gone: version === undefined,
}));
const offices = run.offices.map(([at, node, slot, leader, promised]) => ({ at, node, slot, leader, promised }));
const lives = run.lives.map(([node, number, from, to]) => ({ node, number, from, to: to < 0 ? END : to, ended: to >= 0 }));
const faults = run.faults.map(([from, to, type, words, nodes, client], index) => ({
  index, from, to: to < 0 ? END : to, type, words, nodes, client,
}));
const marks = run.marks.map(([at, node, kind, text], index) => ({ index, at, node, kind, text }));
const failure = run.failure;

// What a client writes or is told is about the keys of its step.
for (const message of messages) {
  if (message.count === 0) continue;
  const all = new Set();
  for (let op = message.op; op < message.op + message.count; op += 1) ops[op].keys.forEach((key) => all.add(key));
  message.keys = [...all];
}

// A request that was never answered is drawn until its client goes on.
{
  const next = new Map();
  for (let index = ops.length - 1; index >= 0; index -= 1) {
    const op = ops[index];
    const after = next.get(op.client);
    const until = after && after.start > op.start ? after.start : after ? after.until : END;
    op.drawn = op.end < 0 ? Math.max(op.start, Math.min(until, END)) : op.end;
    next.set(op.client, { start: op.start, until });
  }
}

const hostName = (host) => (host < NODES ? `n${host}` : `c${host - NODES}`);
const isProbe = (client) => client >= run.clients;
const group = (number) => number.toString().replace(/\B(?=(\d{3})+$)/g, ',');
const ms = (us) => {
  const all = Math.round(us);
  return `${group(Math.floor(all / 1000))}.${String(all % 1000).padStart(3, '0')} ms`;
};
const count = (number, one, many) => `${group(number)} ${number === 1 ? one : many}`;
const keyName = (key) => `${key.name} in database ${key.db}`;

const faultKinds = {
  crash: ['blackouts', 'cold restarts', 'kills', 'power losses', 'wiped disks'],
  net: ['half-open links', 'isolations', 'one-way partitions', 'partitions', 'resets'],
  pause: ['pauses'],
  disk: ['bits rotten', 'full disks', 'failed syncs', 'unreadable disks'],
  slow: ['clock jumps', 'slow disks', 'slow links', 'slow readers'],
};
for (const fault of faults) {
  fault.look = Object.keys(faultKinds).find((look) => faultKinds[look].includes(fault.type)) || 'slow';
}

// By node and key, or node and slot: what changed, in order of time.
const changesOf = new Map();
for (const change of changes) {
  const name = `${change.node}/${change.key}`;
  if (!changesOf.has(name)) changesOf.set(name, []);
  changesOf.get(name).push(change);
}
const officesOf = new Map();
for (const office of offices) {
  const name = `${office.node}/${office.slot}`;
  if (!officesOf.has(name)) officesOf.set(name, []);
  officesOf.get(name).push(office);
}

// The last of `list` not after `at`.
function lastBy(list, at) {
  let low = 0;
  let high = list ? list.length : 0;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at <= at) low = middle + 1; else high = middle;
  }
  return low > 0 ? list[low - 1] : undefined;
}
const heldAt = (node, key, at) => lastBy(changesOf.get(`${node}/${key}`), at);
const officeAt = (node, slot, at) => lastBy(officesOf.get(`${node}/${slot}`), at);
const lifeAt = (node, at) => lives.find((life) => life.node === node && life.from <= at && (at < life.to || !life.ended));
const isPaused = (node, at) => faults.some((fault) => fault.look === 'pause' && fault.nodes.includes(node) && fault.from <= at && at < fault.to);

// What is to be seen now.
const state = {
  from: 0,
  to: END,
  cursor: failure ? failure.at : END,
  key: -1,
  hidden: new Set(),
  groups: new Set(run.groups.map((name, group) => group).filter((group) => run.groups[group] !== 'links')),
  picked: null,
  compact: new Set(),
  closed: new Set(['ends']),
};

// What the filters let through, with what finds the messages of a span quickly: they are in order of
// sending, and `latest` is the latest end of each and all before it.
let shown = { ops: [], messages: [], latest: [], marks: [] };

function filter() {
  const about = (list) => state.key < 0 || list.includes(state.key);
  const node = (number) => !state.hidden.has(number);
  const host = (number) => number >= NODES || node(number);
  const chosen = messages.filter((message) => state.groups.has(message.group)
    && host(message.from) && host(message.to) && about(message.keys));
  let latest = 0;
  shown = {
    ops: ops.filter((op) => node(op.node) && about(op.keys)),
    messages: chosen,
    latest: chosen.map((message) => { latest = Math.max(latest, message.end); return latest; }),
    marks: marks.filter((mark) => node(mark.node) && isWonFor(mark)),
  };
}

// With one key chosen, only its slot counts, and what has no slot.
function isWonFor(mark) {
  if (state.key < 0 || mark.kind !== 'won') return true;
  const slots = mark.text.match(/\d+/g) || [];
  return slots.includes(String(keys[state.key].slot));
}

function messagesBetween(from, to) {
  const { messages: all, latest } = shown;
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (latest[middle] < from) low = middle + 1; else high = middle;
  }
  const found = [];
  for (let index = low; index < all.length && all[index].sent <= to; index += 1) {
    if (all[index].end >= from) found.push(all[index]);
  }
  return found;
}

// Lanes, from top to bottom.
let lanes = [];
let laneOf = new Map();
let height = 0;

function rowsFor(items) {
  const ends = [];
  for (const item of items) {
    let row = ends.findIndex((end) => end < item.start);
    if (row < 0) row = ends.push(0) - 1;
    ends[row] = Math.max(item.end, item.start + 1);
    item.row(row);
  }
  return Math.max(ends.length, 1);
}

const ROW = 18;

// Where there is room, node lanes are further apart.
const LANE_MIN = 44;
const LANE_MIN_LOW = 32;
const LANE_MAX = 120;

function layout(room) {
  const least = room < 420 ? LANE_MIN_LOW : LANE_MIN;
  place(least);
  const count = lanes.filter((lane) => lane.kind === 'node').length;
  if (room > height && count > 0) place(Math.min(least + Math.floor((room - height) / count), LANE_MAX));
}

function place(laneHeight) {
  lanes = [];
  laneOf = new Map();
  let y = 6;
  const add = (lane) => { lane.y = y; y += lane.h; lanes.push(lane); return lane; };
  for (let node = 0; node < NODES; node += 1) {
    if (state.hidden.has(node)) continue;
    const own = faults.filter((fault) => fault.nodes.includes(node));
    const rows = own.length === 0 ? 0 : rowsFor(own.map((fault) => ({
      start: fault.from, end: fault.to, row: (row) => { fault.rows = fault.rows || {}; fault.rows[node] = row; },
    })));
    const lane = add({ kind: 'node', host: node, name: `n${node}`, h: laneHeight + rows * ROW, faults: own });
    lane.line = lane.y + rows * ROW + Math.round(laneHeight / 2) + 2;
    laneOf.set(node, lane);
    y += 4;
  }
  y += 6;
  const clients = [...new Set(ops.map((op) => op.client))].sort((a, b) => a - b);
  addClients(add, 'clients', 'Clients', clients.filter((client) => !isProbe(client)));
  addClients(add, 'ends', 'Probes', clients.filter(isProbe));
  height = y + 8;
}

function addClients(add, id, name, clients) {
  if (clients.length === 0) return;
  const closed = state.closed.has(id);
  const head = add({ kind: 'group', id, name: `${closed ? '\u25b8' : '\u25be'} ${name} (${clients.length})`, h: 22 });
  const every = shown.ops.filter((op) => clients.includes(op.client));
  if (closed) {
    const rows = Math.min(rowsFor(every.map((op) => barOf(op))), 10);
    const lane = add({ kind: 'client', host: -1, name: '', h: rows * 5 + 8, row: 5, rows, ops: every });
    clients.forEach((client) => laneOf.set(NODES + client, lane));
    head.lane = lane;
    return;
  }
  for (const client of clients) {
    const own = every.filter((op) => op.client === client);
    if (state.key >= 0 && own.length === 0) continue;
    const rows = rowsFor(own.map((op) => barOf(op)));
    const compact = state.compact.has(client);
    const row = compact ? 5 : rows <= 3 ? ROW : rows <= 8 ? 8 : 5;
    const lane = add({ kind: 'client', host: NODES + client, name: `c${client}`, h: Math.max(rows * row + 6, compact ? 16 : 24), row, rows, ops: own });
    laneOf.set(NODES + client, lane);
  }
}

const barOf = (op) => ({ start: op.start, end: op.drawn, row: (row) => { op.row = row; } });

const lineOf = (host) => {
  const lane = laneOf.get(host);
  return lane ? lane.line || lane.y + 3 : undefined;
};
