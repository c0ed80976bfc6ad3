// The image itself, in tiles of a pyramid that come from the server as they are seen.

import { drawPart } from "./labelpainter.js";

/**
 * @typedef {object} Picture the server's answer
 * @property {string} id
 * @property {string} name
 * @property {string} state
 * @property {string | null} problem
 * @property {boolean} validation
 * @property {number | null} doubt
 * @property {boolean} prelabelled
 * @property {number} height
 * @property {number} width
 * @property {number} tile
 * @property {{level: number, height: number, width: number, rows: number, columns: number}[]} levels
 * @property {string | null} previous
 * @property {string | null} next
 * @property {string} version
 */

const MOST = 320; // decoded tiles that are kept: 84 MB

export class PicturePainter {
  /**
   * @param {Picture} picture
   * @param {() => void} arrived called when a tile can be drawn
   */
  constructor(picture, arrived) {
    this.picture = picture;
    this.arrived = arrived;
    /** @type {Map<string, ImageBitmap | null>} null while it is fetched */
    this.tiles = new Map();
    this.failed = false;
  }

  /**
   * @param {CanvasRenderingContext2D} context in device pixels
   * @param {import("../labels/view.js").View} view
   * @param {number} ratio
   */
  draw(context, view, ratio) {
    const { levels, tile: size } = this.picture;
    const visible = view.visible();
    const fine = Math.max(0, Math.floor(Math.log2(1 / (view.scale * ratio)) + 0.25));
    const wanted = Math.min(levels.length - 1, fine);
    context.imageSmoothingEnabled = view.scale * ratio <= 2;
    context.imageSmoothingQuality = "medium";
    // From coarse to fine, so that a coarse tile is seen until the fine one is there.
    for (let level = levels.length - 1; level >= wanted; level -= 1) {
      const step = 2 ** level;
      const { rows, columns } = levels[level];
      const reach = size * step;
      const last = { x: Math.min(columns, Math.ceil(visible.x1 / reach)), y: Math.min(rows, Math.ceil(visible.y1 / reach)) };
      for (let y = Math.floor(visible.y0 / reach); y < last.y; y += 1) {
        for (let x = Math.floor(visible.x0 / reach); x < last.x; x += 1) {
          // Coarser levels are drawn if they are there, and asked for only at the coarsest.
          const bitmap = this.tile(level, x, y, level === wanted || level === levels.length - 1);
          if (!bitmap) continue;
          const rect = {
            x0: x * reach,
            y0: y * reach,
            x1: Math.min(this.picture.width, (x + 1) * reach),
            y1: Math.min(this.picture.height, (y + 1) * reach),
          };
          drawPart(context, bitmap, rect, step, visible, view, ratio);
        }
      }
    }
  }

  /** @param {number} level @param {number} x @param {number} y @param {boolean} fetchIt @returns {ImageBitmap | null} */
  tile(level, x, y, fetchIt) {
    const key = `${level}/${x}/${y}`;
    const there = this.tiles.get(key);
    if (there) {
      this.tiles.delete(key);
      this.tiles.set(key, there);
    } else if (there === undefined && fetchIt) {
      this.tiles.set(key, null);
      void this.fetch(key);
    }
    return there ?? null;
  }

  /** @param {string} key */
  async fetch(key) {
    try {
      const { id, version } = this.picture;
      const response = await fetch(`/api/1/pictures/${id}/tile/${key}?v=${encodeURIComponent(version)}`);
      if (!response.ok) throw new Error(`${response.status}`);
      this.tiles.set(key, await createImageBitmap(await response.blob()));
      for (const [old, bitmap] of this.tiles) {
        if (this.tiles.size <= MOST) break;
        if (!bitmap) continue;
        bitmap.close();
        this.tiles.delete(old);
      }
      this.failed = false;
      this.arrived();
    } catch {
      this.failed = true; // asked for again at the next drawing but one
      window.setTimeout(() => {
        this.tiles.delete(key);
        this.arrived();
      }, 3000);
    }
  }
}
