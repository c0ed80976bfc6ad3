// Undo and redo of an image outlast going to another one and coming back: the steps are kept in the browser's database.
//
// They are put back only onto the labels that they led to: same revision of the file, same pixels, objects and outlines.

import { LIMIT } from "../labels/history.js";
import { completed, settled } from "./journal.js";

/** @typedef {import("./page.js").LabelPage} LabelPage */
/** @typedef {import("../labels/document.js").LabelDocument} LabelDocument */
/** @typedef {import("../labels/document.js").Step} Step */
/** @typedef {{etag: string, print: string, done: Step[], undone: Step[], dropped: number, bytes: number, at: number}} Past */

const NAME = "foveate-steps";

/** @returns {Promise<IDBDatabase>} */
function open() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore("pasts");
  return settled(request);
}

/** @param {LabelPage} page */
const keyOf = (page) => `${page.project.folder}\n${page.picture.id}`;

/** Keep the steps before the image is left; the oldest images go where all take more than 64 MB. @param {LabelPage} page */
export async function keepSteps(page) {
  const { labels, saver, desk } = page.parts;
  const { done, undone, dropped, bytes } = labels.history;
  if (desk.readOnly || saver.pending || !(done.length + undone.length)) return;
  try {
    const database = await open();
    const transaction = database.transaction("pasts", "readwrite");
    const store = transaction.objectStore("pasts");
    /** @type {Past} */
    const past = { etag: saver.etag, print: printOf(labels), done, undone, dropped, bytes, at: Date.now() };
    store.put(past, keyOf(page));
    const [keys, all] = await Promise.all([settled(store.getAllKeys()), settled(/** @type {IDBRequest<Past[]>} */ (store.getAll()))]);
    const newest = keys.map((key, i) => ({ key, past: all[i] })).sort((a, b) => b.past.at - a.past.at);
    let held = 0;
    for (const one of newest) {
      held += one.past.bytes;
      if (held > LIMIT && one !== newest[0]) store.delete(one.key);
    }
    await completed(transaction);
    database.close();
  } catch {
    // Undo then begins anew on this image; its labels are saved.
  }
}

/** Put the steps of an earlier visit back, if the labels are still those that they led to. @param {LabelPage} page */
export async function recallSteps(page) {
  const { labels } = page.parts;
  try {
    const database = await open();
    const past = /** @type {Past | undefined} */ (await settled(database.transaction("pasts").objectStore("pasts").get(keyOf(page))));
    database.close();
    if (!past || past.etag !== page.etag || past.print !== printOf(labels)) return;
    Object.assign(labels.history, { done: past.done, undone: past.undone, dropped: past.dropped, bytes: past.bytes });
  } catch {
    // A browser that keeps nothing, as in some private windows.
  }
}

/** A digest of labels that tells whether steps fit to them. @param {LabelDocument} labels */
export function printOf(labels) {
  let hash = 0x811c9dc5;
  for (const index of labels.paintedTiles()) {
    for (const byte of [index & 255, (index >> 8) & 255, ...labels.paint.runs(index)]) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  const objects = [...labels.areas].filter(([number, area]) => number && area).map(([number]) => [number, labels.objects.get(number)?.label]);
  objects.sort(([a], [b]) => Number(a) - Number(b));
  const outlines = labels.outlines.map(({ key, label, points }) => [key, label, points]);
  return JSON.stringify([hash, objects, outlines]);
}
