// Labels as colours: tiles of the label map drawn to small canvases, of which a change renews only what it touched.

import { TileMap, meet, union } from "../labels/tiles.js";

/** @typedef {import("../labels/tiles.js").Rect} Rect */
/** @typedef {[number, number, number]} Color */
/**
 * @typedef {object} Look how things are drawn; read at each drawing
 * @property {(label: string) => Color} color
 * @property {(label: string) => number} pattern 0 for none, else the number of a pattern
 * @property {number} opacity of the inside of regions, 0..1
 * @property {ReadonlySet<string>} selected "n" + number or "o" + key of an outline
 */
/** @typedef {{canvas: HTMLCanvasElement, context: CanvasRenderingContext2D, stale: Rect | null}} Drawn */

const FAR = 4; // pixels of the image per pixel of the overview, which is drawn where the view is that small
const MOST_TILES = 400;
const OUTLINE = 65536; // keys of outlines begin here, those of painted objects are their numbers

export class LabelPainter {
  /**
   * @param {import("../labels/document.js").LabelDocument} labels
   * @param {Look} look
   */
  constructor(labels, look) {
    this.labels = labels;
    this.look = look;
    /** Pre-labels, seen where nothing is decided; value -> label. @type {{map: TileMap, labels: Map<number, string>} | null} */
    this.suggestion = null;
    /** What a tool proposes, seen above everything; value -> label. @type {{map: TileMap, labels: Map<number, string>} | null} */
    this.proposal = null;
    /** @type {Map<number, Drawn>} */
    this.tiles = new Map();
    /** @type {Drawn | null} */
    this.overview = null;
    this.unit = 1;
  }

  /** Draw again what is in a rectangle of the image; without one, everything. @param {Rect | null} [rect] */
  invalidate(rect = null) {
    if (!rect) {
      this.tiles.clear();
      this.overview = null;
      return;
    }
    const grown = { x0: rect.x0 - FAR, y0: rect.y0 - FAR, x1: rect.x1 + FAR, y1: rect.y1 + FAR };
    for (const index of this.labels.paint.under(grown)) {
      const tile = this.tiles.get(index);
      if (tile) tile.stale = union(tile.stale, grown);
    }
    if (this.overview) this.overview.stale = union(this.overview.stale, grown);
  }

  /**
   * @param {CanvasRenderingContext2D} context in device pixels
   * @param {import("../labels/view.js").View} view
   * @param {number} ratio device pixels of a CSS pixel
   */
  draw(context, view, ratio) {
    const visible = view.visible();
    const palette = this.palette();
    if (view.scale * ratio <= 1 / FAR) {
      this.drawOverview(context, view, ratio, palette);
      return;
    }
    const unit = 2 ** Math.max(0, Math.ceil(Math.log2(1 / (view.scale * ratio))));
    if (unit !== this.unit) {
      this.unit = unit;
      this.tiles.clear();
    }
    for (const index of this.labels.paint.under(visible)) {
      const rect = this.labels.paint.rect(index);
      if (this.isEmpty(index)) {
        this.tiles.delete(index);
        continue;
      }
      const tile = this.tiles.get(index) ?? makeDrawn(rect.x1 - rect.x0, rect.y1 - rect.y0, rect);
      this.tiles.delete(index); // and in again at the end, so that the first is the one not seen for longest
      this.tiles.set(index, tile);
      if (tile.stale) this.render(tile, rect, tile.stale, 1, palette);
      drawPart(context, tile.canvas, rect, 1, visible, view, ratio);
    }
    for (const index of this.tiles.keys()) {
      if (this.tiles.size <= MOST_TILES) break;
      this.tiles.delete(index);
    }
  }

  /** @param {number} index */
  isEmpty(index) {
    return [this.labels.paint, this.labels.top.map, this.suggestion?.map, this.proposal?.map].every(
      (map) => !map || map.tiles[index] === 0,
    );
  }

  /** @param {CanvasRenderingContext2D} context @param {import("../labels/view.js").View} view @param {number} ratio @param {Palette} palette */
  drawOverview(context, view, ratio, palette) {
    const { width, height } = this.labels;
    const rect = { x0: 0, y0: 0, x1: width, y1: height };
    this.overview ??= makeDrawn(Math.ceil(width / FAR), Math.ceil(height / FAR), rect);
    if (this.overview.stale) this.render(this.overview, rect, this.overview.stale, FAR, palette);
    drawPart(context, this.overview.canvas, rect, FAR, view.visible(), view, ratio);
  }

  /** The colours of now, by key. @returns {Palette} */
  palette() {
    const { labels, look } = this;
    const palette = new Palette();
    for (const object of labels.objects.values()) {
      palette.add(object.number, look.color(object.label), look.pattern(object.label), look.selected.has(`n${object.number}`));
    }
    labels.top.bySlot.forEach((outline, slot) => {
      if (!outline) return;
      palette.add(OUTLINE + slot, look.color(outline.label), look.pattern(outline.label), look.selected.has(`o${outline.key}`));
    });
    for (const [value, label] of this.suggestion?.labels ?? []) palette.suggested.set(value, look.color(label));
    for (const [value, label] of this.proposal?.labels ?? []) palette.proposed.set(value, look.color(label));
    return palette;
  }

  /**
   * Renew the stale part of a canvas.
   * @param {Drawn} drawn
   * @param {Rect} rect the canvas's place in the image
   * @param {Rect} stale
   * @param {number} step pixels of the image per pixel of the canvas
   * @param {Palette} palette
   */
  render(drawn, rect, stale, step, palette) {
    drawn.stale = null;
    const left = Math.max(0, Math.floor((stale.x0 - rect.x0) / step));
    const top = Math.max(0, Math.floor((stale.y0 - rect.y0) / step));
    const width = Math.min(drawn.canvas.width, Math.ceil((stale.x1 - rect.x0) / step)) - left;
    const height = Math.min(drawn.canvas.height, Math.ceil((stale.y1 - rect.y0) / step)) - top;
    if (width <= 0 || height <= 0) return;
    const reach = step === 1 ? this.unit : 1; // thickness of edges, in pixels of the canvas
    const x = rect.x0 + left * step;
    const y = rect.y0 + top * step;
    const wide = width + 2 * reach;
    const keys = new Int32Array(wide * (height + 2 * reach));
    const slots = new Int32Array(wide);
    for (let row = 0; row < height + 2 * reach; row += 1) {
      const line = keys.subarray(row * wide, (row + 1) * wide);
      const at = { x: x - reach * step, y: y + (row - reach) * step };
      this.labels.paint.readRow(at.x, at.y, step, line);
      this.labels.top.map.readRow(at.x, at.y, step, slots);
      for (let i = 0; i < wide; i += 1) if (slots[i]) line[i] = OUTLINE + slots[i];
    }
    const image = drawn.context.createImageData(width, height);
    const stripe = step === 1 ? this.unit : 1;
    this.colour(image, keys, wide, reach, { x, y, step, stripe }, palette);
    drawn.context.putImageData(image, left, top);
  }

  /**
   * @param {ImageData} image
   * @param {Int32Array} keys with a border of `reach`
   * @param {number} wide
   * @param {number} reach
   * @param {{x: number, y: number, step: number, stripe: number}} place
   * @param {Palette} palette
   */
  colour(image, keys, wide, reach, place, palette) {
    const { width, height, data } = image;
    const inside = Math.round(255 * this.look.opacity);
    const edge = Math.min(255, inside + 110);
    const suggested = this.suggestion && new Int32Array(width);
    const proposed = this.proposal && new Int32Array(width);
    for (let row = 0; row < height; row += 1) {
      const y = place.y + row * place.step;
      if (suggested) this.suggestion?.map.readRow(place.x, y, place.step, suggested);
      if (proposed) this.proposal?.map.readRow(place.x, y, place.step, proposed);
      for (let column = 0; column < width; column += 1) {
        const at = (row + reach) * wide + column + reach;
        const key = keys[at];
        // Patterns lie still on the image, and their stripes are some pixels of the screen wide.
        const u = Math.floor((place.x / place.step + column) / place.stripe);
        const v = Math.floor((y / place.step) / place.stripe);
        /** @type {Color | undefined} */
        let color;
        let alpha = 0;
        const guess = proposed ? proposed[column] : 0;
        if (guess && palette.proposed.has(guess)) {
          color = palette.proposed.get(guess);
          alpha = ((u - v) & 7) < 4 ? 190 : 60;
        } else if (key) {
          const border =
            keys[at - reach] !== key || keys[at + reach] !== key || keys[at - reach * wide] !== key || keys[at + reach * wide] !== key;
          color = palette.colors[key];
          alpha = border ? edge : inside;
          if (palette.selected[key]) {
            if (border) color = WHITE;
            alpha = border ? 255 : Math.min(255, inside + 50);
          } else if (!border && palette.patterns[key] && marked(palette.patterns[key], u, v)) {
            color = DARK;
          }
        } else if (suggested?.[column]) {
          color = palette.suggested.get(suggested[column]);
          alpha = ((u + v) & 7) < 3 ? 200 : 34;
        }
        if (!color || !alpha) continue;
        const byte = 4 * (row * width + column);
        [data[byte], data[byte + 1], data[byte + 2]] = color;
        data[byte + 3] = alpha;
      }
    }
  }
}

/** @type {Color} */
const WHITE = [255, 255, 255];
/** @type {Color} */
const DARK = [12, 14, 18];

/** Whether a pattern has a mark at a place. @param {number} pattern 1.. @param {number} u @param {number} v */
function marked(pattern, u, v) {
  const [a, b] = [u & 7, v & 7];
  switch ((pattern - 1) % 8) {
    case 0: return ((u + v) & 7) === 0;
    case 1: return ((u - v) & 7) === 0;
    case 2: return b === 0;
    case 3: return a === 0;
    case 4: return (a === 2 && b === 2) || (a === 6 && b === 6);
    case 5: return a === 0 || b === 0;
    case 6: return ((u + v) & 7) === 0 || ((u - v) & 7) === 0;
    default: return b === 0 && a < 4;
  }
}

export class Palette {
  constructor() {
    /** @type {Color[]} */
    this.colors = [];
    /** @type {number[]} */
    this.patterns = [];
    /** @type {boolean[]} */
    this.selected = [];
    /** @type {Map<number, Color>} */
    this.suggested = new Map();
    /** @type {Map<number, Color>} */
    this.proposed = new Map();
  }

  /** @param {number} key @param {Color} color @param {number} pattern @param {boolean} selected */
  add(key, color, pattern, selected) {
    this.colors[key] = color;
    this.patterns[key] = pattern;
    this.selected[key] = selected;
  }
}

/** @param {number} width @param {number} height @param {Rect} stale @returns {Drawn} */
function makeDrawn(width, height, stale) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser gives no canvas");
  return { canvas, context, stale };
}

/**
 * Draw the visible part of a canvas that shows a rectangle of the image. Its borders go to whole device pixels, so that
 * neighbouring tiles leave no seam.
 * @param {CanvasRenderingContext2D} context
 * @param {CanvasImageSource} source
 * @param {Rect} rect
 * @param {number} step pixels of the image per pixel of the source
 * @param {Rect} visible
 * @param {import("../labels/view.js").View} view
 * @param {number} ratio
 */
export function drawPart(context, source, rect, step, visible, view, ratio) {
  if (!meet(rect, visible)) return;
  const part = {
    x0: Math.floor((Math.max(rect.x0, visible.x0) - rect.x0) / step),
    y0: Math.floor((Math.max(rect.y0, visible.y0) - rect.y0) / step),
    x1: Math.ceil((Math.min(rect.x1, visible.x1) - rect.x0) / step),
    y1: Math.ceil((Math.min(rect.y1, visible.y1) - rect.y0) / step),
  };
  const start = view.toScreen(rect.x0 + part.x0 * step, rect.y0 + part.y0 * step);
  const end = view.toScreen(Math.min(rect.x1, rect.x0 + part.x1 * step), Math.min(rect.y1, rect.y0 + part.y1 * step));
  const [x, y] = [Math.round(start.x * ratio), Math.round(start.y * ratio)];
  const [width, height] = [Math.round(end.x * ratio) - x, Math.round(end.y * ratio) - y];
  if (width > 0 && height > 0) {
    context.drawImage(source, part.x0, part.y0, part.x1 - part.x0, part.y1 - part.y0, x, y, width, height);
  }
}
