// A map of numbers in tiles of 256 x 256 pixels, so that a change costs what it touches and not what the image measures.

import { constantOf, decodeRuns, encodeRuns, sameBytes } from "./runs.js";

export const TILE = 256;

/** @typedef {{x0: number, y0: number, x1: number, y1: number}} Rect pixels x0 <= x < x1, y0 <= y < y1 */
/** @typedef {{index: number, before: Uint8Array, after: Uint8Array}} TileChange runs of one tile before and after */

export class TileMap {
  /**
   * @param {number} width
   * @param {number} height
   */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.columns = Math.ceil(width / TILE);
    this.rows = Math.ceil(height / TILE);
    /** A tile of one value is kept as that number. @type {(Uint16Array | number)[]} */
    this.tiles = new Array(this.columns * this.rows).fill(0);
  }

  /** @param {number} index @returns {Rect} */
  rect(index) {
    const x0 = (index % this.columns) * TILE;
    const y0 = Math.floor(index / this.columns) * TILE;
    return { x0, y0, x1: Math.min(this.width, x0 + TILE), y1: Math.min(this.height, y0 + TILE) };
  }

  /** The number of pixels of a tile. @param {number} index */
  size(index) {
    const { x0, y0, x1, y1 } = this.rect(index);
    return (x1 - x0) * (y1 - y0);
  }

  /** @param {string} key "X,Y" @returns {number} the tile's index; -1 for a tile that is not there */
  indexOf(key) {
    const [x, y] = key.split(",").map(Number);
    return x >= 0 && y >= 0 && x < this.columns && y < this.rows ? y * this.columns + x : -1;
  }

  /** @param {number} index @returns {string} "X,Y" */
  keyOf(index) {
    return `${index % this.columns},${Math.floor(index / this.columns)}`;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {number} 0 outside of the image
   */
  get(x, y) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return 0;
    const column = x >> 8;
    const tile = this.tiles[(y >> 8) * this.columns + column];
    if (typeof tile === "number") return tile;
    return tile[(y & 255) * Math.min(TILE, this.width - column * TILE) + (x & 255)];
  }

  /** The pixels of a tile, for writing. @param {number} index @returns {Uint16Array} */
  pixels(index) {
    const tile = this.tiles[index];
    if (typeof tile !== "number") return tile;
    const pixels = new Uint16Array(this.size(index)).fill(tile);
    this.tiles[index] = pixels;
    return pixels;
  }

  /** @param {number} index @returns {Uint8Array} */
  runs(index) {
    const tile = this.tiles[index];
    return encodeRuns(typeof tile === "number" ? new Uint16Array(this.size(index)).fill(tile) : tile);
  }

  /**
   * @param {number} index
   * @param {Uint8Array} runs
   */
  setRuns(index, runs) {
    const length = this.size(index);
    this.tiles[index] = constantOf(runs, length) ?? decodeRuns(runs, length);
  }

  /**
   * Every `step`-th number of a row; coordinates outside of the image are moved to its border.
   * @param {number} x
   * @param {number} y
   * @param {number} step
   * @param {Int32Array} out filled whole
   */
  readRow(x, y, step, out) {
    const row = Math.min(this.height - 1, Math.max(0, y));
    const first = (row >> 8) * this.columns;
    let column = -1;
    let stride = 0;
    /** @type {Uint16Array | number} */
    let tile = 0;
    for (let i = 0; i < out.length; i += 1, x += step) {
      const at = x < 0 ? 0 : x >= this.width ? this.width - 1 : x;
      if (at >> 8 !== column) {
        column = at >> 8;
        tile = this.tiles[first + column];
        stride = Math.min(TILE, this.width - column * TILE);
      }
      out[i] = typeof tile === "number" ? tile : tile[(row & 255) * stride + (at & 255)];
    }
  }

  /** Indices of the tiles that a rectangle meets. @param {Rect} rect @returns {number[]} */
  under(rect) {
    const indices = [];
    const last = { x: Math.min(this.width, rect.x1) - 1, y: Math.min(this.height, rect.y1) - 1 };
    for (let y = Math.max(0, rect.y0) >> 8; y <= last.y >> 8; y += 1) {
      for (let x = Math.max(0, rect.x0) >> 8; x <= last.x >> 8; x += 1) indices.push(y * this.columns + x);
    }
    return last.x < 0 || last.y < 0 ? [] : indices;
  }

  /** Pixels of every number that occurs. @returns {Map<number, number>} */
  areas() {
    /** @type {Map<number, number>} */
    const areas = new Map();
    this.tiles.forEach((tile, index) => {
      if (typeof tile === "number") {
        if (tile) areas.set(tile, (areas.get(tile) ?? 0) + this.size(index));
        return;
      }
      for (let start = 0; start < tile.length; ) {
        let end = start + 1;
        while (end < tile.length && tile[end] === tile[start]) end += 1;
        if (tile[start]) areas.set(tile[start], (areas.get(tile[start]) ?? 0) + end - start);
        start = end;
      }
    });
    return areas;
  }

  /** @returns {TileEdit} */
  edit() {
    return new TileEdit(this);
  }
}

/** Writes to a map, and remembers what the touched tiles were. */
export class TileEdit {
  /** @param {TileMap} map */
  constructor(map) {
    this.map = map;
    /** @type {Map<number, Uint16Array | number>} */
    this.before = new Map();
    /** What was touched since `takeRect`. @type {Rect | null} */
    this.touched = null;
  }

  /**
   * Set the pixels (x0..x1, y), both ends inside, to a value.
   * @param {number} y
   * @param {number} x0
   * @param {number} x1
   * @param {number} value
   * @param {((old: number, x: number, y: number) => boolean) | null} [where] which pixels; by default all
   */
  span(y, x0, x1, value, where = null) {
    const { map } = this;
    if (y < 0 || y >= map.height) return;
    x0 = Math.max(0, x0);
    x1 = Math.min(map.width - 1, x1);
    if (x0 > x1) return;
    for (let column = x0 >> 8; column <= x1 >> 8; column += 1) {
      const index = (y >> 8) * map.columns + column;
      const left = column * TILE;
      const stride = Math.min(TILE, map.width - left);
      const from = Math.max(x0, left);
      const to = Math.min(x1, left + stride - 1);
      const start = (y & 255) * stride + from - left;
      const pixels = this.open(index);
      if (!where) pixels.fill(value, start, start + to - from + 1);
      else {
        for (let x = from, at = start; x <= to; x += 1, at += 1) if (where(pixels[at], x, y)) pixels[at] = value;
      }
    }
    this.touched = union(this.touched, { x0, y0: y, x1: x1 + 1, y1: y + 1 });
  }

  /** The pixels of a tile, whose earlier content is kept. @param {number} index */
  open(index) {
    if (!this.before.has(index)) {
      const tile = this.map.tiles[index];
      this.before.set(index, typeof tile === "number" ? tile : tile.slice());
    }
    return this.map.pixels(index);
  }

  /** The rectangle that was touched since the last call. @returns {Rect | null} */
  takeRect() {
    const rect = this.touched;
    this.touched = null;
    return rect;
  }

  /** The tiles that differ from what they were. @returns {TileChange[]} */
  finish() {
    /** @type {TileChange[]} */
    const changes = [];
    for (const [index, tile] of this.before) {
      const before = encodeRuns(typeof tile === "number" ? new Uint16Array(this.map.size(index)).fill(tile) : tile);
      const after = this.map.runs(index);
      this.map.setRuns(index, after); // a tile of one value becomes a number again
      if (!sameBytes(before, after)) changes.push({ index, before, after });
    }
    this.before.clear();
    return changes;
  }

  /** Put back what was there. */
  cancel() {
    for (const [index, tile] of this.before) this.map.tiles[index] = tile;
    this.before.clear();
  }
}

/**
 * The smallest rectangle around two.
 * @param {Rect | null} a
 * @param {Rect | null} b
 * @returns {Rect | null}
 */
export function union(a, b) {
  if (!a || !b) return a ?? b;
  return { x0: Math.min(a.x0, b.x0), y0: Math.min(a.y0, b.y0), x1: Math.max(a.x1, b.x1), y1: Math.max(a.y1, b.y1) };
}

/** @param {Rect} a @param {Rect} b */
export function meet(a, b) {
  return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
}
