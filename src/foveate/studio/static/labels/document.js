// The labels of one image while they are edited: painted objects, outlines above them, undo and redo.
//
// Painted pixels hold the number of an object, 0 where nothing is decided; an object has one class. What is seen at a pixel is
// the uppermost outline, else the painted object.

import { History } from "./history.js";
import { OutlineLayer, boundsOf, isExact, outlineSpans } from "./outlines.js";
import { decodeRuns, fromBase64, toBase64 } from "./runs.js";
import { TileMap, meet, union } from "./tiles.js";

/** @typedef {import("./tiles.js").Rect} Rect */
/** @typedef {import("./outlines.js").Outline} Outline */
/**
 * @typedef {object} LabelObject
 * @property {number} number 1..65535, the value of its pixels
 * @property {string} label
 * @property {number | string | null} group
 * @property {Record<string, unknown>} flags
 * @property {string} [source] the shape's type in the file
 * @property {string} [description]
 * @property {Record<string, unknown>} [others] keys of other tools
 */
/** @typedef {ReadonlyMap<number, LabelObject>} Objects */
/**
 * @typedef {object} Step one step of undo
 * @property {string} name
 * @property {import("./tiles.js").TileChange[]} tiles
 * @property {{before: Objects, after: Objects}} objects
 * @property {{before: readonly Outline[], after: readonly Outline[]}} outlines
 * @property {number} bytes
 */
/** @typedef {{height: number, width: number, objects: LabelObject[], tiles: Record<string, string>, outlines: Outline[]}} Stored */
/** @typedef {Record<string, string>} WireTiles "X,Y" -> base64 of runs */

export class LabelDocument {
  /** @param {Stored} stored the server's answer */
  constructor(stored) {
    this.width = stored.width;
    this.height = stored.height;
    this.paint = new TileMap(this.width, this.height);
    /** @type {Objects} */
    this.objects = new Map(stored.objects.map((object) => [object.number, object]));
    this.top = new OutlineLayer(this.width, this.height);
    for (const [key, runs] of Object.entries(stored.tiles)) {
      const index = this.paint.indexOf(key);
      if (index < 0) throw new RangeError(`tile ${key} is outside of the image`);
      this.paint.setRuns(index, fromBase64(runs));
    }
    this.top.replace(stored.outlines);
    this.areas = this.paint.areas();
    /** @type {History<Step>} */
    this.history = new History();
    /** Tiles that differ from the file -> the version in which they last changed. @type {Map<number, number>} */
    this.changed = new Map();
    this.version = 0;
    /** @type {Set<(rect: Rect | null) => void>} */
    this.watchers = new Set();
  }

  /** @returns {readonly Outline[]} */
  get outlines() {
    return this.top.list;
  }

  /** Call `watcher` with the pixels that look different (null: none) after each change. @param {(rect: Rect | null) => void} watcher */
  watch(watcher) {
    this.watchers.add(watcher);
  }

  /** @param {Rect | null} rect */
  notify(rect) {
    for (const watcher of this.watchers) watcher(rect);
  }

  /** What is seen at a pixel. @param {number} x @param {number} y @returns {Outline | LabelObject | undefined} */
  at(x, y) {
    return this.top.at(x, y) ?? this.objects.get(this.paint.get(x, y));
  }

  /** A number that no object has. */
  freeNumber() {
    for (let number = 1; number <= 65535; number += 1) if (!this.objects.has(number)) return number;
    throw new RangeError("an image holds at most 65,535 objects");
  }

  /** A group that no shape has. */
  freeGroup() {
    const groups = [...this.objects.values(), ...this.outlines].map((shape) => shape.group);
    return 1 + Math.max(0, ...groups.filter((group) => typeof group === "number"));
  }

  /** The painted object that holds a class's pixels where objects are not told apart. @param {string} label */
  numberOfClass(label) {
    for (const object of this.objects.values()) {
      if (object.label === label && object.group === null && (object.source ?? "mask") === "mask") return object.number;
    }
    return 0;
  }

  /** @param {string} name shown beside undo @returns {Change} */
  change(name) {
    return new Change(this, name);
  }

  /** @returns {Step | null} the step that was taken back */
  undo() {
    const step = this.history.undo();
    if (step) this.apply(step, "before");
    return step;
  }

  /** @returns {Step | null} the step that was done again */
  redo() {
    const step = this.history.redo();
    if (step) this.apply(step, "after");
    return step;
  }

  /** @param {Step} step @param {"before" | "after"} side */
  apply(step, side) {
    /** @type {Rect | null} */
    let dirty = null;
    for (const change of step.tiles) {
      this.paint.setRuns(change.index, change[side]);
      dirty = union(dirty, this.paint.rect(change.index));
    }
    this.count(step.tiles, side === "after" ? 1 : -1);
    this.objects = step.objects[side];
    dirty = union(dirty, this.top.replace(step.outlines[side]));
    this.record(step);
    this.notify(dirty);
  }

  /** Note which tiles have to be saved. @param {Step} step */
  record(step) {
    this.version += 1;
    for (const { index } of step.tiles) this.changed.set(index, this.version);
  }

  /** Keep the areas of objects up to date. @param {import("./tiles.js").TileChange[]} tiles @param {1 | -1} sign */
  count(tiles, sign) {
    for (const { index, before, after } of tiles) {
      for (const [runs, weight] of /** @type {[Uint8Array, number][]} */ ([[before, -sign], [after, sign]])) {
        for (const number of decodeRuns(runs, this.paint.size(index))) {
          if (number) this.areas.set(number, (this.areas.get(number) ?? 0) + weight);
        }
      }
    }
  }

  /** Tiles for the server. @param {Iterable<number>} indices @returns {WireTiles} */
  wireTiles(indices) {
    /** @type {WireTiles} */
    const tiles = {};
    for (const index of indices) tiles[this.paint.keyOf(index)] = toBase64(this.paint.runs(index));
    return tiles;
  }

  /** Indices of all tiles that are not empty. @returns {number[]} */
  paintedTiles() {
    return this.paint.tiles.flatMap((tile, index) => (tile === 0 ? [] : [index]));
  }

  /** Outlines that pixels of `spans` touch, and those below that lie under them; in painting order. @param {(emit: import("./polygon.js").Emit) => void} spans */
  touched(spans) {
    /** @type {Set<Outline>} */
    const found = new Set();
    if (!this.outlines.length) return [];
    spans((y, x0, x1) => {
      if (y < 0 || y >= this.height) return;
      for (let x = Math.max(0, x0); x <= Math.min(this.width - 1, x1); x += 1) {
        const outline = this.top.at(x, y);
        if (outline) found.add(outline);
      }
    });
    return this.withBelow(found);
  }

  /** @param {Set<Outline>} outlines @returns {Outline[]} these and all that lie under one of them, in painting order */
  withBelow(outlines) {
    const taken = new Set(outlines);
    for (let i = this.outlines.length - 1; i >= 0; i -= 1) {
      if (!taken.has(this.outlines[i])) continue;
      const bounds = boundsOf(this.outlines[i]);
      for (const below of this.outlines.slice(0, i)) if (meet(boundsOf(below), bounds)) taken.add(below);
    }
    return this.outlines.filter((outline) => taken.has(outline));
  }
}

/** A change in the making; `commit` makes it one step of undo. */
export class Change {
  /** @param {LabelDocument} document @param {string} name */
  constructor(document, name) {
    this.document = document;
    this.name = name;
    this.edit = document.paint.edit();
    this.objects = document.objects;
    this.outlines = document.outlines;
    this.beginning = { objects: document.objects, outlines: document.outlines };
  }

  /** @param {number} y @param {number} x0 @param {number} x1 @param {number} number @param {((old: number, x: number, y: number) => boolean) | null} [where] */
  span(y, x0, x1, number, where = null) {
    this.edit.span(y, x0, x1, number, where);
  }

  /** Set the pixels of the server's tiles to `numberOf(value)`; 0 leaves them. @param {WireTiles} tiles @param {(value: number) => number} numberOf @param {((old: number, x: number, y: number) => boolean) | null} [where] */
  stamp(tiles, numberOf, where = null) {
    eachRun(this.document.paint, tiles, (value, y, x0, x1) => {
      const number = numberOf(value);
      if (number) this.span(y, x0, x1, number, where);
    });
  }

  /** @param {LabelObject} object */
  setObject(object) {
    this.objects = new Map(this.objects).set(object.number, object);
    this.document.objects = this.objects;
  }

  /** A new painted object. @param {string} label @param {Partial<LabelObject>} [more] @returns {number} */
  newObject(label, more = {}) {
    const number = this.document.freeNumber();
    this.setObject({ label, group: null, flags: {}, source: "mask", ...more, number });
    return number;
  }

  /** @param {readonly Outline[]} outlines */
  setOutlines(outlines) {
    this.outlines = outlines;
    this.edit.touched = union(this.edit.touched, this.document.top.replace(outlines));
  }

  /** Make outlines painted objects. @param {Outline[]} outlines in painting order @param {Record<string, WireTiles>} [pixels] by key; needed for those that are not exact here */
  flatten(outlines, pixels = {}) {
    const gone = new Set(outlines);
    for (const outline of outlines) {
      const { label, group, flags, description, others } = outline;
      const number = this.newObject(label, { group, flags, ...(description ? { description } : {}), ...(others ? { others } : {}) });
      if (pixels[outline.key]) this.stamp(pixels[outline.key], () => number);
      else if (isExact(outline)) {
        const { width, height } = this.document;
        outlineSpans(outline, width, height, (y, x0, x1) => this.span(y, x0, x1, number));
      } else throw new Error(`no pixels of the ${outline.kind} ${outline.key}`);
    }
    this.setOutlines(this.outlines.filter((outline) => !gone.has(outline)));
  }

  /** Remove painted objects with all their pixels. @param {ReadonlySet<number>} numbers */
  erase(numbers) {
    const { paint } = this.document;
    paint.tiles.forEach((tile, index) => {
      if (typeof tile === "number" ? !numbers.has(tile) : !tile.some((value) => numbers.has(value))) return;
      const pixels = this.edit.open(index);
      for (let i = 0; i < pixels.length; i += 1) if (numbers.has(pixels[i])) pixels[i] = 0;
      this.edit.touched = union(this.edit.touched, paint.rect(index));
    });
    this.objects = new Map([...this.objects].filter(([number]) => !numbers.has(number)));
    this.document.objects = this.objects;
  }

  /** Let watchers draw what was touched so far. */
  show() {
    this.document.notify(this.edit.takeRect());
  }

  /** @returns {Step | null} null if nothing changed */
  commit() {
    const { document, beginning: before } = this;
    const tiles = this.edit.finish();
    const rect = this.edit.takeRect();
    const added = [...before.objects].every(([number, object]) => this.objects.get(number) === object);
    if (!tiles.length && added && this.outlines === before.outlines) {
      document.objects = before.objects; // new objects without a pixel are nothing
      return null;
    }
    /** @type {Step} */
    const step = {
      name: this.name,
      tiles,
      objects: { before: before.objects, after: this.objects },
      outlines: { before: before.outlines, after: this.outlines },
      bytes: 0,
    };
    step.bytes = bytesOf(step);
    document.count(tiles, 1);
    document.history.push(step);
    document.record(step);
    document.notify(rect);
    return step;
  }

  /** Put everything back. */
  cancel() {
    const rect = this.edit.takeRect();
    const touched = [...this.edit.before.keys()];
    this.edit.cancel();
    const { document } = this;
    document.objects = this.beginning.objects;
    let dirty = union(rect, document.top.replace(this.beginning.outlines));
    for (const index of touched) dirty = union(dirty, document.paint.rect(index));
    document.notify(dirty);
  }
}

/**
 * Call `take` with every run of a row whose value is not 0.
 * @param {TileMap} map gives the places of tiles
 * @param {WireTiles} tiles
 * @param {(value: number, y: number, x0: number, x1: number) => void} take x1 is the last pixel
 */
export function eachRun(map, tiles, take) {
  for (const [key, runs] of Object.entries(tiles)) {
    const index = map.indexOf(key);
    if (index < 0) throw new RangeError(`tile ${key} is outside of the image`);
    const { x0: left, x1: right, y0: top } = map.rect(index);
    const stride = right - left;
    const values = decodeRuns(fromBase64(runs), map.size(index));
    for (let start = 0; start < values.length; ) {
      let end = start + 1;
      while (end % stride && values[end] === values[start]) end += 1;
      const x = left + (start % stride);
      if (values[start]) take(values[start], top + Math.floor(start / stride), x, x + end - start - 1);
      start = end;
    }
  }
}

/** @param {Step} step */
function bytesOf(step) {
  let bytes = 256;
  for (const { before, after } of step.tiles) bytes += before.length + after.length + 128;
  if (step.objects.before !== step.objects.after) bytes += 64 * (step.objects.before.size + step.objects.after.size);
  const [old, next] = [new Set(step.outlines.before), new Set(step.outlines.after)];
  if (step.outlines.before !== step.outlines.after) bytes += 8 * (old.size + next.size);
  for (const outline of old) if (!next.has(outline)) bytes += 256 + 48 * outline.points.length;
  for (const outline of next) if (!old.has(outline)) bytes += 256 + 48 * outline.points.length;
  return bytes;
}
