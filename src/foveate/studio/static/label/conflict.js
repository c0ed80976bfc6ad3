// Two versions of one image's labels: show both, and ask which one stays. Neither is lost.

import { request } from "../base/api.js";
import { ask } from "../base/dialog.js";
import { h } from "../base/dom.js";
import { LabelPainter } from "../canvas/labelpainter.js";
import { LabelDocument } from "../labels/document.js";
import { sameBytes, toBase64 } from "../labels/runs.js";
import { View } from "../labels/view.js";

/** @typedef {import("../labels/document.js").Stored} Stored */
/** @typedef {import("./journal.js").Entry} Entry */

/**
 * Ask which of two versions stays.
 * @param {string} title
 * @param {string} text
 * @param {LabelDocument} mine
 * @param {LabelDocument} theirs
 * @param {import("../canvas/labelpainter.js").Look} look
 * @param {string} id of the image
 * @returns {Promise<"mine" | "theirs">}
 */
export async function chooseVersion(title, text, mine, theirs, look, id) {
  const answers = [
    { value: "mine", text: "Keep mine", kind: /** @type {const} */ ("main") },
    { value: "theirs", text: "Take theirs" },
    { value: "compare", text: "Compare" },
  ];
  const counts = `Mine: ${summary(mine)}. Theirs: ${summary(theirs)}.`;
  let answer = await ask(title, [text, counts], answers);
  if (answer === "compare") {
    const both = h("div", { class: "versions" }, ...[["Mine", mine], ["Theirs", theirs]].map(([name, labels]) => figure(String(name), /** @type {LabelDocument} */ (labels), look, id)));
    answer = await ask(title, [text, both], answers.slice(0, 2));
  }
  return answer === "mine" ? "mine" : "theirs";
}

/** @param {LabelDocument} labels */
function summary(labels) {
  let painted = 0;
  for (const area of labels.areas.values()) painted += area;
  const share = Math.round((1000 * painted) / (labels.width * labels.height)) / 10;
  return `${labels.outlines.length} outlines, ${share} % painted`;
}

/** @param {string} name @param {LabelDocument} labels @param {import("../canvas/labelpainter.js").Look} look @param {string} id */
function figure(name, labels, look, id) {
  const scale = Math.min(1, 560 / Math.max(labels.width, labels.height));
  const canvas = h("canvas", { width: Math.round(labels.width * scale), height: Math.round(labels.height * scale) });
  const context = canvas.getContext("2d");
  const view = new View(labels.width, labels.height);
  [view.width, view.height, view.scale] = [canvas.width, canvas.height, scale];
  const image = new Image();
  image.onload = () => {
    context?.drawImage(image, 0, 0, canvas.width, canvas.height);
    if (context) new LabelPainter(labels, look).draw(context, view, 1);
  };
  image.src = `/api/1/pictures/${id}/pixels?size=560`;
  return h("figure", {}, canvas, h("figcaption", {}, name));
}

/** The labels that are on the server's disk. @param {string} id @returns {Promise<{stored: Stored & import("./saver.js").Info, etag: string}>} */
export async function fetchLabels(id) {
  const { body, etag } = await request("GET", `pictures/${id}/labels`);
  return { stored: body, etag: etag ?? "" };
}

/** The journal's version as the server would send it. @param {{width: number, height: number}} size @param {Entry} entry @param {import("./journal.js").Tiles} tiles @returns {Stored} */
export function fromJournal(size, entry, tiles) {
  return {
    width: size.width,
    height: size.height,
    objects: entry.objects,
    outlines: [...entry.outlines],
    tiles: Object.fromEntries([...tiles].map(([key, runs]) => [key, toBase64(runs)])),
  };
}

/** Whether two versions hold the same labels. @param {LabelDocument} a @param {LabelDocument} b */
export function sameLabels(a, b) {
  const outlines = (/** @type {LabelDocument} */ labels) =>
    JSON.stringify(labels.outlines.map(({ kind, label, group, points }) => [kind, label, group, points]));
  if (a.width !== b.width || a.height !== b.height || outlines(a) !== outlines(b)) return false;
  for (const [number, area] of a.areas) {
    const [one, other] = [a.objects.get(number), b.objects.get(number)];
    if (area && (one?.label !== other?.label || one?.group !== other?.group)) return false;
  }
  return a.paint.tiles.every((_, index) => sameBytes(a.paint.runs(index), b.paint.runs(index)));
}
