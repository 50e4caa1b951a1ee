// Drawing: the lanes, the axis above them and the whole run below. Only what is to be seen is drawn.

const plot = document.getElementById('plot');
const axis = document.getElementById('axis');
const overview = document.getElementById('overview');
const scroller = document.getElementById('scroll');
const GUTTER = 112;

// Messages drawn at most; of more, every so-and-so-many-th.
const MESSAGES_MAX = 3000;
// Up to so many in sight have heads, and up to so many are named.
const HEADS_MAX = 900;
const NAMES_MAX = 60;

const DASHES = [[], [9, 4], [2, 3], [9, 3, 2, 3], [1, 4], []];
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

let colours = {};
let patterns = {};
let width = 800;

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ['back', 'card', 'ink', 'soft', 'line', 'lane', 'accent', 'bad', 'cursor', 'ok', 'fail', 'unknown', 'on-ok'];
  colours = Object.fromEntries(names.map((name) => [name, value(name)]));
  colours.groups = run.groups.map((_, group) => value(`g${group}`));
  colours.faults = Object.fromEntries(Object.keys(faultKinds).map((look) => [look, value(`f-${look}`)]));
  patterns = {};
}

// Hatches, so that faults differ without colour: each kind has its own.
function pattern(context, look) {
  if (patterns[look]) return patterns[look];
  const tile = document.createElement('canvas');
  tile.width = 8;
  tile.height = 8;
  const ink = tile.getContext('2d');
  ink.strokeStyle = look === 'down' ? colours.soft : look === 'fail' ? colours.card : colours.faults[look];
  ink.fillStyle = ink.strokeStyle;
  ink.globalAlpha = look === 'fail' ? 0.7 : 0.55;
  ink.lineWidth = look === 'fail' ? 2 : 1;
  const lines = {
    crash: [[0, 8, 8, 0], [-1, 1, 1, -1], [7, 9, 9, 7]],
    down: [[1, 4.5, 5, 4.5]],
    net: [[0, 4.5, 8, 4.5]],
    pause: [[4.5, 0, 4.5, 8]],
    disk: [[0, 8, 8, 0], [0, 0, 8, 8]],
    slow: [],
    fail: [[0, 8, 8, 0], [-1, 1, 1, -1], [7, 9, 9, 7]],
  }[look];
  for (const [x0, y0, x1, y1] of lines) {
    ink.beginPath();
    ink.moveTo(x0, y0);
    ink.lineTo(x1, y1);
    ink.stroke();
  }
  if (look === 'slow') ink.fillRect(3, 3, 2, 2);
  patterns[look] = context.createPattern(tile, 'repeat');
  return patterns[look];
}

const xOf = (time) => ((time - state.from) / (state.to - state.from)) * width;
const timeOf = (x) => state.from + (x / width) * (state.to - state.from);

function prepare(canvas, wide, high) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, wide, high);
  context.font = FONT;
  context.textBaseline = 'middle';
  return context;
}

let due = false;
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

let inSight = { messages: [], step: 1 };

function draw() {
  width = Math.max(scroller.clientWidth - GUTTER, 100);
  const high = Math.max(height, scroller.clientHeight);
  plot.style.height = `${high}px`;
  axis.style.width = `${width}px`;
  overview.style.width = `${width}px`;
  const context = prepare(plot, width, high);
  drawTicks(context, high);
  lanes.forEach((lane) => drawLane(context, lane));
  drawMessages(context);
  lanes.filter((lane) => lane.kind === 'node').forEach((lane) => lane.faults.forEach((fault) => nameFault(context, lane, fault)));
  lanes.filter((lane) => lane.kind === 'client').forEach((lane) => drawOps(context, lane));
  drawMarks(context);
  drawMoments(context, high);
  drawAxis();
  drawOverview();
}

function ticks() {
  const span = state.to - state.from;
  const rough = span / Math.max(width / 110, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough) || rough;
  const found = [];
  for (let at = Math.ceil(state.from / step) * step; at <= state.to; at += step) found.push(at);
  return { found, step };
}

const tickName = (at, step) => {
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
  const [whole, part] = (at / 1000).toFixed(digits).split('.');
  return group(whole) + (part ? `.${part}` : '');
};

function drawTicks(context, high) {
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.globalAlpha = 0.55;
  context.beginPath();
  for (const at of ticks().found) {
    const x = Math.round(xOf(at)) + 0.5;
    context.moveTo(x, 0);
    context.lineTo(x, high);
  }
  context.stroke();
  context.globalAlpha = 1;
}

function drawLane(context, lane) {
  if (lane.kind === 'group') {
    context.strokeStyle = colours.line;
    context.beginPath();
    context.moveTo(0, lane.y + 0.5);
    context.lineTo(width, lane.y + 0.5);
    context.stroke();
    return;
  }
  context.fillStyle = colours.lane;
  context.globalAlpha = 0.6;
  context.fillRect(0, lane.y, width, lane.h - 3);
  context.globalAlpha = 1;
  if (lane.kind !== 'node') return;
  drawLife(context, lane);
  for (const fault of lane.faults) shadeFault(context, lane, fault);
}

function drawLife(context, lane) {
  const own = lives.filter((life) => life.node === lane.host);
  context.lineWidth = 1;
  context.strokeStyle = colours.soft;
  context.setLineDash([2, 4]);
  context.beginPath();
  context.moveTo(0, lane.line);
  context.lineTo(width, lane.line);
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 2;
  context.strokeStyle = colours.ink;
  let last = 0;
  const gap = (from, to) => {
    const [x0, x1] = [Math.max(xOf(from), -2), Math.min(xOf(to), width + 2)];
    if (x1 <= x0) return;
    context.fillStyle = pattern(context, 'down');
    context.fillRect(x0, lane.line - 10, x1 - x0, 20);
    label(context, 'down', x0 + 4, lane.line, x1 - x0 - 6, colours.soft);
  };
  for (const life of own) {
    gap(last, life.from);
    const [x0, x1] = [xOf(life.from), xOf(life.to)];
    if (x1 >= 0 && x0 <= width) {
      context.beginPath();
      context.moveTo(Math.max(x0, 0), lane.line);
      context.lineTo(Math.min(x1, width), lane.line);
      context.stroke();
      [[x0, true], [x1, life.ended]].forEach(([x, end]) => {
        if (end && x >= 0 && x <= width) context.strokeRect(x - 0.5, lane.line - 5, 1, 10);
      });
    }
    last = life.ended ? life.to : Infinity;
  }
  if (last < END) gap(last, END);
}

// Where a fault is drawn, from left to right; nothing if it is not in sight.
function reachOf(fault) {
  const [x0, x1] = [Math.max(xOf(fault.from), -2), Math.min(Math.max(xOf(fault.to), xOf(fault.from) + 3), width + 2)];
  return x1 < 0 || x0 > width ? null : [x0, x1];
}

function shadeFault(context, lane, fault) {
  const reach = reachOf(fault);
  if (!reach) return;
  context.fillStyle = colours.faults[fault.look];
  context.globalAlpha = 0.08;
  context.fillRect(reach[0], lane.y, reach[1] - reach[0], lane.h - 3);
  context.globalAlpha = 1;
}

// Over the messages, so that the words can be read.
function nameFault(context, lane, fault) {
  const reach = reachOf(fault);
  if (!reach) return;
  const [x0, x1] = reach;
  const y = lane.y + 2 + (fault.rows[lane.host] || 0) * ROW;
  const colour = colours.faults[fault.look];
  context.fillStyle = colours.card;
  context.globalAlpha = 0.8;
  context.fillRect(x0, y, x1 - x0, ROW - 3);
  context.globalAlpha = 1;
  context.fillStyle = pattern(context, fault.look);
  context.fillRect(x0, y, x1 - x0, ROW - 3);
  context.strokeStyle = colour;
  context.lineWidth = isPicked('fault', fault) ? 2.5 : 1;
  context.strokeRect(x0, y + 0.5, x1 - x0, ROW - 4);
  label(context, fault.words, x0 + 5, y + 7.5, x1 - x0 - 8, colours.ink, true);
}

const widths = new Map();
function measure(context, text) {
  if (!widths.has(text)) widths.set(text, context.measureText(text).width);
  return widths.get(text);
}

// A text where it has room, shortened if that leaves something to read.
function label(context, text, x, y, room, colour, backed) {
  if (room < 24) return;
  let fits = text;
  if (measure(context, text) > room) {
    const letters = Math.floor((room / measure(context, text)) * text.length) - 1;
    if (letters < 3) return;
    fits = `${text.slice(0, letters)}\u2026`;
  }
  if (backed) {
    context.fillStyle = colours.card;
    context.globalAlpha = 0.85;
    context.fillRect(x - 2, y - 7, Math.min(measure(context, fits), room) + 4, 14);
    context.globalAlpha = 1;
  }
  context.fillStyle = colour;
  context.fillText(fits, x, y);
}

function drawMessages(context) {
  const found = messagesBetween(state.from, state.to).filter((one) => lineOf(one.from) !== undefined && lineOf(one.to) !== undefined);
  const step = Math.ceil(found.length / MESSAGES_MAX);
  inSight = { messages: found, step };
  const drawn = step > 1 ? found.filter((one, place) => place % step === 0 || one.fate === 1) : found;
  const crowded = drawn.length > HEADS_MAX;
  context.lineWidth = crowded ? 0.7 : 1.2;
  context.globalAlpha = crowded ? Math.max(0.14, Math.min(0.5, 450 / drawn.length)) : 0.9;
  run.groups.forEach((_, group) => {
    context.strokeStyle = colours.groups[group];
    context.setLineDash(crowded ? [] : DASHES[group]);
    context.beginPath();
    for (const one of drawn) {
      if (one.group !== group) continue;
      const [x0, y0, x1, y1] = arrow(one);
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  });
  context.setLineDash([]);
  context.globalAlpha = 1;
  for (const one of drawn) {
    if (one.fate === 1) cross(context, one);
    else if (!crowded && one.fate === 0) head(context, one);
  }
  if (drawn.length <= NAMES_MAX) {
    const taken = [];
    drawn.forEach((one) => nameArrow(context, one, taken));
  }
  if (state.picked && state.picked.type === 'message') {
    const one = state.picked.item;
    if (lineOf(one.from) === undefined || lineOf(one.to) === undefined) return;
    const [x0, y0, x1, y1] = arrow(one);
    context.strokeStyle = colours.ink;
    context.lineWidth = 3;
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }
}

// From where to where it is drawn. What is lost ends on the way.
function arrow(one) {
  const [x0, x1, y0] = [xOf(one.sent), xOf(one.end), lineOf(one.from)];
  const y1 = lineOf(one.to);
  const way = one.fate === 0 ? 1 : 0.8;
  return [x0, y0, x1, y0 + (y1 - y0) * way];
}

function head(context, one) {
  const [x0, y0, x1, y1] = arrow(one);
  const angle = Math.atan2(y1 - y0, x1 - x0);
  context.fillStyle = colours.groups[one.group];
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x1 - 8 * Math.cos(angle - 0.35), y1 - 8 * Math.sin(angle - 0.35));
  context.lineTo(x1 - 8 * Math.cos(angle + 0.35), y1 - 8 * Math.sin(angle + 0.35));
  context.fill();
}

function cross(context, one) {
  const [, , x, y] = arrow(one);
  context.strokeStyle = colours.groups[one.group];
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x - 4, y - 4);
  context.lineTo(x + 4, y + 4);
  context.moveTo(x - 4, y + 4);
  context.lineTo(x + 4, y - 4);
  context.stroke();
}

function nameArrow(context, one, taken) {
  const [x0, y0, x1, y1] = arrow(one);
  const text = kinds[one.kind].name;
  const wide = measure(context, text);
  if (Math.hypot(x1 - x0, y1 - y0) < wide * 0.8) return;
  // Not in the middle, where those that cross would meet.
  const [x, y] = [x0 + (x1 - x0) * 0.34, y0 + (y1 - y0) * 0.34];
  if (x < wide / 2 || taken.some((other) => Math.abs(other.y - y) < 14 && Math.abs(other.x - x) < (other.wide + wide) / 2 + 4)) return;
  taken.push({ x, y, wide });
  context.fillStyle = colours.back;
  context.globalAlpha = 0.8;
  context.fillRect(x - wide / 2 - 2, y - 7, wide + 4, 14);
  context.globalAlpha = 1;
  context.fillStyle = colours.groups[one.group];
  context.fillText(text, x - wide / 2, y);
}

function barBox(lane, op) {
  const row = Math.min(op.row || 0, lane.rows - 1);
  const x0 = xOf(op.start);
  return [x0, lane.y + 2 + row * lane.row, Math.max(xOf(op.drawn) - x0, 3), lane.row - (lane.row > 6 ? 3 : 1)];
}

function drawOps(context, lane) {
  const called = [];
  for (const op of lane.ops) {
    const [x, y, wide, high] = barBox(lane, op);
    if (x + wide < 0 || x > width) continue;
    const [x0, x1] = [Math.max(x, -3), Math.min(x + wide, width + 3)];
    drawBar(context, op.outcome, x0, y, x1 - x0, high);
    if (isPicked('op', op) || (failure && failure.op === op.index)) {
      context.strokeStyle = failure && failure.op === op.index ? colours.bad : colours.ink;
      context.lineWidth = 2.5;
      context.strokeRect(x0 - 1.5, y - 1.5, x1 - x0 + 3, high + 3);
      if (lane.row < ROW) called.push([op, x0, y + high]);
    }
    if (lane.row >= ROW) {
      label(context, `${op.request} \u2192 ${op.reply}`, x0 + 6, y + high / 2 + 0.5, x1 - x0 - 14,
        op.outcome === 0 ? colours['on-ok'] : colours.ink, op.outcome === 1);
    }
  }
  // Where rows are too low for words, those that matter have them below.
  for (const [op, x, y] of called) label(context, `${op.request} \u2192 ${op.reply}`, Math.max(x, 2) + 2, y + 10, 360, colours.ink, true);
}

// Done is a filled bar, failed a hatched one, unknown an empty one that does not close.
function drawBar(context, outcome, x, y, wide, high) {
  const colour = [colours.ok, colours.fail, colours.unknown][outcome];
  context.lineWidth = 1.3;
  context.strokeStyle = colour;
  if (outcome === 2) {
    context.fillStyle = colours.card;
    context.fillRect(x, y, wide, high);
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(x + wide, y + 0.5);
    context.lineTo(x + 0.5, y + 0.5);
    context.lineTo(x + 0.5, y + high - 0.5);
    context.lineTo(x + wide, y + high - 0.5);
    context.stroke();
    context.setLineDash([]);
    return;
  }
  context.fillStyle = colour;
  context.fillRect(x, y, wide, high);
  if (outcome === 1) {
    context.fillStyle = pattern(context, 'fail');
    context.fillRect(x, y, wide, high);
    context.strokeRect(x + 0.5, y + 0.5, Math.max(wide - 1, 1), high - 1);
  }
}

function drawMarks(context) {
  for (const mark of shown.marks) {
    const lane = laneOf.get(mark.node);
    const x = xOf(mark.at);
    if (!lane || x < -4 || x > width + 4) continue;
    drawMark(context, mark.kind, x, lane.line);
    if (isPicked('mark', mark)) {
      context.strokeStyle = colours.ink;
      context.lineWidth = 2;
      context.strokeRect(x - 9, lane.line - 16, 18, 26);
    }
  }
}

// A flag for a take-over, a diamond for a vote, a dot for a commit, a stroke for what else is passed.
function drawMark(context, kind, x, y) {
  context.fillStyle = kind === 'commit' ? colours.groups[0] : colours.groups[1];
  context.strokeStyle = kind === 'hook' ? colours.soft : context.fillStyle;
  context.lineWidth = 1;
  context.beginPath();
  if (kind === 'won') {
    context.lineWidth = 1.5;
    context.moveTo(x, y);
    context.lineTo(x, y - 14);
    context.stroke();
    context.beginPath();
    context.moveTo(x, y - 14);
    context.lineTo(x + 9, y - 10.5);
    context.lineTo(x, y - 7);
    context.fill();
  } else if (kind === 'vote') {
    context.moveTo(x, y + 4);
    context.lineTo(x + 4, y + 8);
    context.lineTo(x, y + 12);
    context.lineTo(x - 4, y + 8);
    context.fill();
  } else if (kind === 'commit') {
    context.arc(x, y + 8, 2.6, 0, 7);
    context.fill();
  } else {
    context.moveTo(x, y + 4);
    context.lineTo(x, y + 11);
    context.stroke();
  }
}

// The cursor, the first bad event, and the end of all faults.
function drawMoments(context, high) {
  const stroke = (at, colour, dash, wide) => {
    const x = Math.round(xOf(at)) + 0.5;
    if (x < -1 || x > width + 1) return;
    context.strokeStyle = colour;
    context.setLineDash(dash);
    context.lineWidth = wide;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, high);
    context.stroke();
    context.setLineDash([]);
  };
  if (run.quiet >= 0) stroke(run.quiet, colours.soft, [8, 6], 1);
  if (failure) stroke(failure.at, colours.bad, [6, 4], 1.5);
  stroke(state.cursor, colours.cursor, [], 1);
}

function drawAxis() {
  const context = prepare(axis, width, 44);
  const { found, step } = ticks();
  context.fillStyle = colours.soft;
  context.textAlign = 'center';
  for (const at of found) {
    const x = xOf(at);
    if (x > 20 && x < width - 24) context.fillText(tickName(at, step), x, 29);
    context.fillRect(Math.round(x), 38, 1, 6);
  }
  let taken = [width, 0];
  const flag = (at, text, colour, y) => {
    const x = xOf(at);
    if (x < 0 || x > width + 0.5) return;
    const wide = measure(context, text) + 10;
    const left = Math.min(Math.max(x - wide / 2, 0), width - wide);
    context.fillStyle = colour;
    context.fillRect(Math.round(x) - 0.5, y + 16, 1.5, 44 - y - 16);
    if (y < 10 && left < taken[1] && left + wide > taken[0]) return;
    if (y < 10) taken = [left, left + wide];
    context.fillRect(left, y, wide, 16);
    context.fillStyle = colours.card;
    context.fillText(text, left + wide / 2, y + 8.5);
  };
  if (failure) flag(failure.at, 'first bad event', colours.bad, 3);
  if (run.quiet >= 0) flag(run.quiet, 'faults over', colours.soft, 3);
  flag(state.cursor, ms(state.cursor), colours.cursor, 21);
  context.textAlign = 'left';
}

function drawOverview() {
  const high = overview.clientHeight;
  const context = prepare(overview, width, high);
  const x = (time) => (time / END) * width;
  context.globalAlpha = 0.45;
  for (const fault of faults) {
    context.fillStyle = colours.faults[fault.look];
    context.fillRect(x(fault.from), 2, Math.max(x(fault.to) - x(fault.from), 1), 4);
  }
  context.globalAlpha = 0.9;
  const bins = new Array(Math.ceil(width / 3)).fill(0);
  shown.messages.forEach((one) => { bins[Math.min(Math.floor(x(one.sent) / 3), bins.length - 1)] += 1; });
  const most = Math.max(...bins, 1);
  context.fillStyle = colours.line;
  bins.forEach((number, bin) => {
    const tall = Math.sqrt(number / most) * (high - 16);
    context.fillRect(bin * 3, high - 2 - tall, 2, tall);
  });
  shown.ops.forEach((op) => {
    context.fillStyle = [colours.ok, colours.fail, colours.unknown][op.outcome];
    context.fillRect(x(op.start), 8, Math.max(x(op.drawn) - x(op.start), 1.5), 3);
  });
  context.globalAlpha = 1;
  if (failure) {
    context.fillStyle = colours.bad;
    context.fillRect(x(failure.at) - 1, 0, 2, high);
  }
  context.fillStyle = colours.accent;
  context.globalAlpha = 0.12;
  context.fillRect(x(state.from), 0, x(state.to) - x(state.from), high);
  context.globalAlpha = 1;
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.5;
  context.strokeRect(x(state.from) + 0.75, 0.75, Math.max(x(state.to) - x(state.from) - 1.5, 2), high - 1.5);
}

const isPicked = (type, item) => state.picked !== null && state.picked.type === type && state.picked.item === item;
