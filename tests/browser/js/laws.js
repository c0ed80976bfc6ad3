// Laws of the label page's modules; each function is run by a test of its own in Chromium and returns what it found.

import { strokeSpans, snapped } from "/static/labels/brush.js";
import { LabelDocument, eachRun } from "/static/labels/document.js";
import { History } from "/static/labels/history.js";
import { outlineSpans } from "/static/labels/outlines.js";
import { polygonSpans } from "/static/labels/polygon.js";
import { decodeRuns, encodeRuns, fromBase64, toBase64 } from "/static/labels/runs.js";
import { distanceToSegment, simplify } from "/static/labels/simplify.js";
import { TileMap } from "/static/labels/tiles.js";
import { View } from "/static/labels/view.js";
import { BINDINGS, KeyMap, keyName } from "/static/base/keymap.js";
import { niceTicks } from "/static/base/chart.js";
import { Journal, keyOf } from "/static/label/journal.js";

/** A generator of numbers in 0..1 that begins anew with its seed. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const whole = (next, low, high) => low + Math.floor(next() * (high - low + 1));
const attempt = (work) => {
  try {
    work();
    return "";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

/** Base64 of runs of each list of values, and of the values decoded again. */
export function runs(lists) {
  return lists.map((values) => {
    const encoded = encodeRuns(values);
    return [toBase64(encoded), [...decodeRuns(fromBase64(toBase64(encoded)), values.length)]];
  });
}

/** What `decodeRuns` says of each [bytes, length]. */
export const refusals = (cases) => cases.map(([bytes, length]) => attempt(() => decodeRuns(Uint8Array.from(bytes), length)));

/** The pixels of polygons, as base64 of runs over a whole image. */
export function polygons(cases) {
  return cases.map(({ points, width, height }) => {
    const pixels = new Uint8Array(width * height);
    polygonSpans(points.map(([x, y]) => ({ x, y })), width, height, (y, x0, x1) => pixels.fill(1, y * width + x0, y * width + x1 + 1));
    return toBase64(encodeRuns(pixels));
  });
}

/** Pixels that a stroke sets otherwise than a test of every pixel's centre. */
export function strokes(count) {
  const next = random(5);
  const wrong = [];
  for (let i = 0; i < count; i += 1) {
    const diameter = whole(next, 1, 23);
    const [a, b] = [0, 1].map(() => snapped({ x: next() * 60, y: next() * 50 }, diameter));
    const end = i % 4 ? b : a;
    const pixels = new Uint8Array(60 * 50);
    strokeSpans(a, end, diameter, (y, x0, x1) => {
      for (let x = Math.max(0, x0); x <= Math.min(59, x1); x += 1) if (y >= 0 && y < 50) pixels[y * 60 + x] = 1;
    });
    for (let y = 0; y < 50; y += 1) {
      for (let x = 0; x < 60; x += 1) {
        const distance = distanceToSegment({ x: x + 0.5, y: y + 0.5 }, a, end);
        if (Math.abs(distance - diameter / 2) < 1e-6) continue;
        if ((distance < diameter / 2) !== Boolean(pixels[y * 60 + x])) wrong.push([a, end, diameter, x, y]);
      }
    }
  }
  return wrong;
}

/** The brush's number of pixels at one place, for diameters 1 to 6. */
export const brushAreas = () =>
  [1, 2, 3, 4, 5, 6].map((diameter) => {
    let area = 0;
    const at = snapped({ x: 20.3, y: 20.8 }, diameter);
    strokeSpans(at, at, diameter, (_, x0, x1) => (area += x1 - x0 + 1));
    return area;
  });

const KINDS = ["polygon", "rectangle", "circle", "line", "point", "polygon"];

function outline(next, key, width, height, kind = KINDS[whole(next, 0, KINDS.length - 1)]) {
  const count = { polygon: whole(next, 3, 7), rectangle: 2, circle: 2, line: 2, point: 1 }[kind];
  const points = Array.from({ length: count }, () => [next() * width, next() * height]);
  return { key, kind, label: ["sky", "road", "car"][whole(next, 0, 2)], group: null, flags: {}, points };
}

/** Everything about a document, as text. */
function portrait(labels) {
  const tiles = labels.paint.tiles.map((_, index) => toBase64(labels.paint.runs(index))).join();
  const areas = [...labels.areas].filter(([, area]) => area).sort(([a], [b]) => a - b);
  return JSON.stringify([tiles, [...labels.objects.values()], labels.outlines, areas, seen(labels)]);
}

/** The label that is seen at every seventh pixel. */
function seen(labels) {
  const found = [];
  for (let y = 0; y < labels.height; y += 3) for (let x = y % 7; x < labels.width; x += 7) found.push(labels.at(x, y)?.label ?? "");
  return found;
}

function edit(labels, next, i) {
  const change = labels.change(`step ${i}`);
  const kind = whole(next, 0, 5);
  if (kind === 0) change.setOutlines([...labels.outlines, outline(next, `o${i}`, labels.width, labels.height)]);
  else if (kind === 1 && labels.outlines.length) {
    const at = whole(next, 0, labels.outlines.length - 1);
    change.setOutlines(labels.outlines.filter((_, j) => j !== at));
  } else if (kind === 2 && labels.outlines.length > 1) change.setOutlines([...labels.outlines].reverse());
  else if (kind === 3 && labels.objects.size) {
    const object = [...labels.objects.values()][whole(next, 0, labels.objects.size - 1)];
    if (next() < 0.3) change.erase(new Set([object.number]));
    else change.setObject({ ...object, label: "car" });
  } else {
    const number = next() < 0.3 ? 0 : change.newObject(["sky", "road"][whole(next, 0, 1)]);
    const [a, b] = [0, 1].map(() => ({ x: next() * labels.width, y: next() * labels.height }));
    const spans = (emit) => strokeSpans(a, b, whole(random(i), 1, 90), emit);
    const touched = labels.touched(spans);
    if (touched.every(({ kind: one }) => one === "polygon" || one === "rectangle")) {
      change.flatten(touched);
      spans((y, x0, x1) => change.span(y, x0, x1, number));
    } else spans((y, x0, x1) => change.span(y, x0, x1, number, (old, x, y2) => old === 0 && !labels.top.map.get(x, y2)));
  }
  return change;
}

/** Edits, undo of all, redo of all: whether each state comes back, and whether areas and outlines are those of a new start. */
export function history(seed, count) {
  const next = random(seed);
  const size = { width: whole(next, 200, 700), height: whole(next, 200, 600) };
  const labels = new LabelDocument({ ...size, objects: [], tiles: {}, outlines: [] });
  const states = [portrait(labels)];
  const names = [];
  let cancelled = true;
  for (let i = 0; i < count; i += 1) {
    const before = portrait(labels);
    edit(labels, next, i).cancel();
    cancelled &&= portrait(labels) === before;
    const step = edit(labels, next, i).commit();
    if (step) {
      names.push(step.name);
      states.push(portrait(labels));
    }
  }
  const undone = [];
  for (let i = states.length - 1; labels.undo(); i -= 1) undone.push(portrait(labels) === states[i - 1]);
  const redone = [];
  for (let i = 1; labels.redo(); i += 1) redone.push(portrait(labels) === states[i]);
  const again = new LabelDocument({ ...size, objects: [...labels.objects.values()], outlines: [...labels.outlines], tiles: labels.wireTiles(labels.paintedTiles()) });
  return { steps: names.length, cancelled, undone: undone.filter(Boolean).length, redone: redone.filter(Boolean).length, anew: portrait(again) === portrait(labels) };
}

/** Steps that a history of some bytes keeps, and what it drops. */
export function bounds(limit, sizes) {
  const kept = new History(limit);
  for (const bytes of sizes) kept.push({ bytes });
  const { length } = kept.done;
  let back = 0;
  while (kept.undo()) back += 1;
  kept.push({ bytes: 1 });
  return { length, back, bytes: kept.bytes, dropped: kept.dropped, redo: kept.redo() };
}

/** Whether the label that is seen stays the same when outlines become painted objects. */
export function flattening(seed) {
  const next = random(seed);
  const labels = new LabelDocument({ width: 520, height: 300, objects: [], tiles: {}, outlines: [] });
  const change = labels.change("outlines");
  const made = Array.from({ length: 8 }, (_, i) => outline(next, `o${i}`, 520, 300, "polygon"));
  change.setOutlines(made);
  change.commit();
  const before = seen(labels);
  const below = labels.withBelow(new Set([labels.outlines[whole(next, 1, made.length - 1)]]));
  const flat = labels.change("flatten");
  flat.flatten(below);
  flat.commit();
  const after = seen(labels);
  return { flattened: below.length, same: before.every((label, i) => label === after[i]), left: labels.outlines.length, made: made.length };
}

/** Tiles of any size: `get`, `readRow`, `eachRun` and `areas` against a plain array. */
export function tiles(seed) {
  const next = random(seed);
  const [width, height] = [whole(next, 1, 600), whole(next, 1, 600)];
  const map = new TileMap(width, height);
  const plain = new Uint16Array(width * height);
  const change = map.edit();
  for (let i = 0; i < 300; i += 1) {
    const [y, x0, x1] = [whole(next, -5, height + 5), whole(next, -20, width), whole(next, -20, width + 20)];
    const value = whole(next, 0, 300);
    change.span(y, x0, x1, value);
    for (let x = Math.max(0, x0); x <= Math.min(width - 1, x1); x += 1) if (y >= 0 && y < height) plain[y * width + x] = value;
  }
  const changes = change.finish();
  const counted = new Map();
  let same = true;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      same &&= map.get(x, y) === plain[y * width + x];
      if (map.get(x, y)) counted.set(map.get(x, y), (counted.get(map.get(x, y)) ?? 0) + 1);
    }
  }
  const row = new Int32Array(Math.ceil(width / 3));
  map.readRow(0, Math.floor(height / 2), 3, row);
  same &&= row.every((value, i) => value === plain[Math.floor(height / 2) * width + Math.min(width - 1, 3 * i)]);
  const painted = new Uint16Array(width * height);
  const wire = Object.fromEntries(changes.map(({ index, after }) => [map.keyOf(index), toBase64(after)]));
  eachRun(map, wire, (value, y, x0, x1) => painted.fill(value, y * width + x0, y * width + x1 + 1));
  same &&= painted.every((value, i) => value === plain[i]);
  const areas = map.areas();
  return same && areas.size === counted.size && [...counted].every(([number, area]) => areas.get(number) === area);
}

/** The largest errors of the view's laws over random moves. */
export function views() {
  const next = random(9);
  const result = { inverse: 0, fixed: 0, low: 1, high: 1, insight: true };
  for (let i = 0; i < 300; i += 1) {
    const view = new View(whole(next, 1, 8000), whole(next, 1, 8000));
    view.resize(whole(next, 300, 1600), whole(next, 200, 1000));
    view.fit();
    for (let j = 0; j < 12; j += 1) {
      const at = { x: next() * view.width, y: next() * view.height };
      const point = view.toImage(at.x, at.y);
      const there = view.toScreen(point.x, point.y);
      result.inverse = Math.max(result.inverse, Math.abs(there.x - at.x), Math.abs(there.y - at.y));
      view.zoomAt(at.x, at.y, Math.exp((next() - 0.5) * 3));
      const moved = view.toScreen(point.x, point.y);
      const inside = point.x > 60 / view.scale && point.x < view.imageWidth - 60 / view.scale && point.y > 60 / view.scale && point.y < view.imageHeight - 60 / view.scale;
      if (inside) result.fixed = Math.max(result.fixed, Math.abs(moved.x - at.x), Math.abs(moved.y - at.y));
      view.pan((next() - 0.5) * 4000, (next() - 0.5) * 4000);
      const { x0, y0, x1, y1 } = view.visible();
      result.insight &&= x1 > x0 && y1 > y0;
      result.low = Math.min(result.low, view.scale);
      result.high = Math.max(result.high, view.scale);
    }
  }
  return result;
}

/** Names of pressed keys, keys with two actions, and what rebinding says. */
export function keys() {
  const press = (key, more = {}) => keyName({ key, code: "", ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });
  const store = { values: {}, getItem: (k) => store.values[k] ?? null, setItem: (k, v) => (store.values[k] = v), removeItem: (k) => delete store.values[k] };
  const map = new KeyMap(store);
  const all = BINDINGS.flatMap((one) => one.keys);
  const said = [map.rebind("tool-brush", "P"), map.rebind("tool-brush", "Ctrl+W"), map.rebind("left", "L"), map.rebind("tool-brush", "L")];
  const again = new KeyMap(store);
  const kept = [again.action("L"), again.action("B")];
  again.reset();
  return {
    names: [press("z", { ctrlKey: true, shiftKey: true }), press("Z", { metaKey: true }), press("?", { shiftKey: true }), press(" "), press("&", { code: "Digit1" }), press("D", { shiftKey: true }), press("ArrowLeft", { shiftKey: true }), press("Enter", { ctrlKey: true })],
    doubled: all.filter((key, i) => all.indexOf(key) !== i),
    said,
    kept,
    reset: [again.action("L"), again.action("B"), new KeyMap(store).action("B")],
  };
}

/** The farthest point of a traced line from the simplified one, and how many points are left. */
export function simplified(tolerance) {
  const next = random(3);
  const line = Array.from({ length: 400 }, (_, i) => ({ x: i / 2 + next(), y: 40 * Math.sin(i / 40) + next() }));
  const kept = simplify(line, tolerance);
  const distance = Math.max(...line.map((point) => Math.min(...kept.slice(1).map((end, i) => distanceToSegment(point, kept[i], end)))));
  return { distance, kept: kept.length, ends: kept[0] === line[0] && kept.at(-1) === line.at(-1) };
}

/** The pixels of outlines of any kind, as base64 of runs over a whole image. */
export function shapes(cases) {
  return cases.map(({ kind, points, width, height }) => {
    const pixels = new Uint8Array(width * height);
    const shape = { key: "o", label: "x", group: null, flags: {}, kind, points };
    outlineSpans(shape, width, height, (y, x0, x1) => pixels.fill(1, y * width + x0, y * width + x1 + 1));
    return toBase64(encodeRuns(pixels));
  });
}

export const ticks = (ranges) => ranges.map(([low, high]) => niceTicks(low, high));

/** The journal over a stroke, an acknowledgement, another stroke and a visit; pages that are gone and one that is open. */
export async function journal() {
  const kept = await Journal.open();
  const entry = (strokes, open = true) => ({ etag: "a", objects: [], outlines: [], state: "draft", seconds: 1, strokes, origin: null, at: strokes, open });
  const [key, own, later] = [keyOf("/photos", "00ff", "gone"), keyOf("/photos", "00ff"), keyOf("/photos", "00ff", "later")];
  const found = [];
  const one = new Map([["0,0", Uint8Array.of(1, 4)], ["1,0", Uint8Array.of(2, 4)]]);
  const look = async (folder) => (await kept.left(folder, "00ff")).map((left) => [left.entry.strokes, left.entry.etag, ...[...left.tiles].map(([tile, bytes]) => [tile, ...bytes])]);
  await kept.put(key, entry(1), one, true);
  await kept.put(key, entry(2), new Map([["1,0", Uint8Array.of(3, 4)]]));
  await kept.put(own, entry(9), one, true); // of this page, which is open: not left behind
  found.push(await look("/photos"), await look("/other"), await kept.unfinished("/photos"), await kept.unfinished("/other"));
  await kept.close(key, "b");
  await kept.put(key, { ...entry(3), etag: "b" }, new Map([["0,0", Uint8Array.of(0, 4)]]));
  await kept.put(later, entry(4), new Map([["0,0", Uint8Array.of(7, 4)]]), true);
  found.push(await look("/photos"));
  await kept.close(later, "c");
  found.push(await look("/photos"));
  await kept.forget(key);
  found.push(await look("/photos"), (await kept.entries()).map((left) => left.key === own));
  await kept.forget(own);
  return found;
}
