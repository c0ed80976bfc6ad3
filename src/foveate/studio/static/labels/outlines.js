// Outlines: vector shapes above the painted pixels, and the map that tells which of them is seen where.

import { strokeSpans } from "./brush.js";
import { polygonSpans } from "./polygon.js";
import { TileMap, meet, union } from "./tiles.js";

/**
 * @typedef {object} Outline
 * @property {string} key stays the same from save to save
 * @property {string} kind polygon, rectangle, circle, line, linestrip, point or oriented_rectangle
 * @property {string} label
 * @property {number | string | null} group shapes of one label and group are one object
 * @property {Record<string, unknown>} flags
 * @property {[number, number][]} points
 * @property {string} [description]
 * @property {Record<string, unknown>} [others] keys of other tools
 */
/** @typedef {import("./tiles.js").Rect} Rect */
/** @typedef {import("./polygon.js").Emit} Emit */
/** @typedef {import("./polygon.js").Point} Point */

const LINE_WIDTH = 10; // labelme's
const POINT_RADIUS = 5;
/** Kinds whose pixels here are those that training reads; of the others the server gives them. */
const EXACT = new Set(["polygon", "oriented_rectangle", "rectangle"]);

/** @param {Outline} outline */
export const isExact = (outline) => EXACT.has(outline.kind);

/**
 * Emit the pixels of an outline. Exact for polygons and rectangles; circles and points are drawn as discs, and lines
 * between whole pixels, which differ at their border from labelme's pixels.
 * @param {Outline} outline
 * @param {number} width
 * @param {number} height
 * @param {Emit} emit
 */
export function outlineSpans(outline, width, height, emit) {
  const points = outline.points.map(([x, y]) => ({ x, y }));
  /** @type {Emit} */
  const clipped = (y, x0, x1) => {
    if (y >= 0 && y < height && x1 >= 0 && x0 < width) emit(y, Math.max(0, x0), Math.min(width - 1, x1));
  };
  if (outline.kind === "polygon" || outline.kind === "oriented_rectangle") {
    polygonSpans(points, width, height, emit);
    return;
  }
  if (outline.kind === "rectangle") {
    const [a, b] = points;
    const [x0, x1] = [Math.trunc(Math.min(a.x, b.x)), Math.trunc(Math.max(a.x, b.x))];
    for (let y = Math.trunc(Math.min(a.y, b.y)); y <= Math.trunc(Math.max(a.y, b.y)); y += 1) clipped(y, x0, x1);
    return;
  }
  // labelme's coordinates are those of pixels: 3 is the middle of the fourth one.
  const middles = points.map(({ x, y }) => ({ x: x + 0.5, y: y + 0.5 }));
  if (outline.kind === "circle") {
    const radius = Math.hypot(points[1].x - points[0].x, points[1].y - points[0].y);
    strokeSpans(middles[0], middles[0], 2 * radius + 1, clipped);
  } else if (outline.kind === "point") {
    strokeSpans(middles[0], middles[0], 2 * POINT_RADIUS + 1, clipped);
  } else {
    for (let i = 1; i < points.length; i += 1) polygonSpans(wideLine(points[i - 1], points[i]), width, height, emit);
  }
}

/**
 * The four corners of a line of LINE_WIDTH pixels with flat ends, as Pillow draws it.
 * @param {Point} from
 * @param {Point} to
 * @returns {Point[]}
 */
function wideLine(from, to) {
  const [x0, y0, x1, y1] = [from.x, from.y, to.x, to.y].map(Math.trunc);
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  const [less, more] = [Math.floor((LINE_WIDTH - 1) / 2) / length, Math.ceil((LINE_WIDTH - 1) / 2) / length];
  const left = { x: Math.round(less * (y1 - y0)), y: Math.round(more * (x1 - x0)) };
  const right = { x: Math.round(more * (y1 - y0)), y: Math.round(less * (x1 - x0)) };
  return [
    { x: x0 - left.x, y: y0 + left.y },
    { x: x1 - left.x, y: y1 + left.y },
    { x: x1 + right.x, y: y1 - right.y },
    { x: x0 + right.x, y: y0 - right.y },
  ];
}

/** The pixels that an outline may touch, with a margin of two. @param {Outline} outline @returns {Rect} */
export function boundsOf(outline) {
  let reach = 2;
  if (outline.kind === "circle") {
    const [[x, y], [u, v]] = outline.points;
    reach += Math.hypot(u - x, v - y);
  } else if (!EXACT.has(outline.kind)) reach += LINE_WIDTH;
  const xs = outline.points.map((point) => point[0]);
  const ys = outline.points.map((point) => point[1]);
  return {
    x0: Math.floor(Math.min(...xs) - reach),
    y0: Math.floor(Math.min(...ys) - reach),
    x1: Math.ceil(Math.max(...xs) + reach) + 1,
    y1: Math.ceil(Math.max(...ys) + reach) + 1,
  };
}

export class OutlineLayer {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    /** Slot of the uppermost outline at each pixel, 0 where there is none. */
    this.map = new TileMap(width, height);
    /** @type {readonly Outline[]} */
    this.list = [];
    /** @type {Map<string, number>} */
    this.slots = new Map();
    /** Slot -> outline. @type {(Outline | undefined)[]} */
    this.bySlot = [undefined];
  }

  /** @param {number} x @param {number} y @returns {Outline | undefined} the uppermost outline at a pixel */
  at(x, y) {
    return this.bySlot[this.map.get(x, y)];
  }

  /**
   * Replace the list.
   * @param {readonly Outline[]} list in painting order
   * @returns {Rect | null} the pixels that may look different
   */
  replace(list) {
    const old = this.list;
    if (list === old) return null;
    const appended = list.length >= old.length && old.every((outline, i) => list[i] === outline);
    /** @type {Rect | null} */
    let dirty = null;
    if (appended) {
      for (const outline of list.slice(old.length)) {
        this.assign(outline);
        dirty = union(dirty, boundsOf(outline));
        this.draw(outline);
      }
    } else {
      dirty = this.difference(old, list);
      const keys = new Set(list.map((outline) => outline.key));
      for (const outline of old) if (!keys.has(outline.key)) this.release(outline);
      for (const outline of list) this.assign(outline);
      if (dirty) this.redraw(list, dirty);
    }
    this.list = list;
    return dirty && clip(dirty, this.map);
  }

  /** @param {readonly Outline[]} old @param {readonly Outline[]} list @returns {Rect | null} */
  difference(old, list) {
    const [before, after] = [new Set(old), new Set(list)];
    /** @type {Rect | null} */
    let dirty = null;
    for (const outline of old) if (!after.has(outline)) dirty = union(dirty, boundsOf(outline));
    for (const outline of list) if (!before.has(outline)) dirty = union(dirty, boundsOf(outline));
    const kept = old.filter((outline) => after.has(outline));
    const order = list.filter((outline) => before.has(outline));
    kept.forEach((outline, i) => {
      if (order[i] !== outline) dirty = union(dirty, boundsOf(outline));
    });
    return dirty;
  }

  /** @param {readonly Outline[]} list @param {Rect} rect */
  redraw(list, rect) {
    const bounds = clip(rect, this.map);
    const edit = this.map.edit();
    for (let y = bounds.y0; y < bounds.y1; y += 1) edit.span(y, bounds.x0, bounds.x1 - 1, 0);
    for (const outline of list) if (meet(boundsOf(outline), rect)) this.draw(outline, bounds);
  }

  /** @param {Outline} outline @param {Rect | null} [bounds] */
  draw(outline, bounds = null) {
    const edit = this.map.edit();
    const slot = this.slots.get(outline.key) ?? 0;
    outlineSpans(outline, this.map.width, this.map.height, (y, x0, x1) => {
      if (!bounds) edit.span(y, x0, x1, slot);
      else if (y >= bounds.y0 && y < bounds.y1) {
        edit.span(y, Math.max(x0, bounds.x0), Math.min(x1, bounds.x1 - 1), slot);
      }
    });
    edit.finish();
  }

  /** @param {Outline} outline */
  assign(outline) {
    let slot = this.slots.get(outline.key);
    if (slot === undefined) {
      const free = this.bySlot.indexOf(undefined, 1);
      slot = free < 0 ? this.bySlot.length : free;
      this.slots.set(outline.key, slot);
    }
    this.bySlot[slot] = outline;
  }

  /** @param {Outline} outline */
  release(outline) {
    const slot = this.slots.get(outline.key);
    if (slot !== undefined) this.bySlot[slot] = undefined;
    this.slots.delete(outline.key);
  }
}

/** @param {Rect} rect @param {{width: number, height: number}} map @returns {Rect} */
function clip(rect, map) {
  return {
    x0: Math.max(0, rect.x0),
    y0: Math.max(0, rect.y0),
    x1: Math.max(0, Math.min(map.width, rect.x1)),
    y1: Math.max(0, Math.min(map.height, rect.y1)),
  };
}
