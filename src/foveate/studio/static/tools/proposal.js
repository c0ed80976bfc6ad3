// Proposals of the server, shown above the labels until they are taken or dropped.

import { eachRun } from "../labels/document.js";
import { TileMap } from "../labels/tiles.js";

/**
 * Show proposed pixels; null shows none.
 * @param {import("./desk.js").Desk} desk
 * @param {import("../labels/document.js").WireTiles | null} tiles
 * @param {Map<number, string>} labels value of the tiles -> class
 */
export function propose(desk, tiles, labels) {
  const { painter } = desk;
  if (!painter || (!tiles && !painter.proposal)) return;
  painter.proposal = tiles && { map: mapOf(desk.labels, tiles), labels };
  desk.redrawLabels(null);
  desk.onchange();
}

/** @param {{width: number, height: number}} size @param {import("../labels/document.js").WireTiles} tiles */
export function mapOf(size, tiles) {
  const map = new TileMap(size.width, size.height);
  const edit = map.edit();
  eachRun(map, tiles, (value, y, x0, x1) => edit.span(y, x0, x1, value));
  edit.finish();
  return map;
}
