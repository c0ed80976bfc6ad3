// The journal: what is not yet on the server's disk, kept in the browser's own database, per folder, image and page.
//
// A record holds the whole of an image's labels: their revision, and every painted tile. It survives a crash of the browser or
// the server, and is offered again at the next visit. IndexedDB belongs to host and port, and the key holds the folder;
// each open page has records of its own, so that two pages of one image never mix theirs.

import { randomKey } from "../base/random.js";

/**
 * @typedef {object} Entry
 * @property {string} etag the revision that was edited
 * @property {import("../labels/document.js").LabelObject[]} objects
 * @property {readonly import("../labels/outlines.js").Outline[]} outlines
 * @property {string} state
 * @property {number} seconds
 * @property {number} strokes
 * @property {unknown} origin
 * @property {string[]} [classes] names that the labels were chosen from; entries of earlier versions have none
 * @property {number} at milliseconds since 1970
 * @property {boolean} open true while something is not acknowledged
 */
/** @typedef {Map<string, Uint8Array>} Tiles "X,Y" -> runs */

const NAME = "foveate-journal";
/** This page; a lock of its name is held as long as the page is open. */
const PAGE = randomKey();

export class Journal {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this.database = database;
  }

  /** @returns {Promise<Journal>} rejects where the browser keeps nothing, as in some private windows */
  static async open() {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("entries");
      request.result.createObjectStore("tiles");
    };
    const journal = new Journal(await settled(request));
    holdLock();
    return journal;
  }

  /**
   * Keep an entry with the tiles that changed; others of the same image stay as they are.
   * @param {string} key from `keyOf`
   * @param {Entry} entry
   * @param {Tiles} tiles
   * @param {boolean} [anew] forget tiles that were kept earlier
   */
  async put(key, entry, tiles, anew = false) {
    const transaction = this.database.transaction(["entries", "tiles"], "readwrite", { durability: "strict" });
    const store = transaction.objectStore("tiles");
    if (anew) store.delete(range(key));
    for (const [tile, runs] of tiles) store.put(runs, [key, tile]);
    transaction.objectStore("entries").put(entry, key);
    await completed(transaction);
  }

  /** Say that the server has it: the entry stays as the ground of later ones. @param {string} key @param {string} etag */
  async close(key, etag) {
    const transaction = this.database.transaction("entries", "readwrite", { durability: "strict" });
    const store = transaction.objectStore("entries");
    const entry = /** @type {Entry | undefined} */ (await settled(store.get(key)));
    if (entry) store.put({ ...entry, etag, open: false }, key);
    await completed(transaction);
  }

  /**
   * What pages that are gone could not save of an image, the newest first; what they could save is forgotten.
   * @param {string} folder
   * @param {string} id
   * @returns {Promise<{key: string, entry: Entry, tiles: Tiles}[]>}
   */
  async left(folder, id) {
    const open = await livePages();
    const all = (await this.entries()).filter(({ key }) => key.startsWith(`${folder}\n${id}\n`) && !open.has(pageOf(key)));
    for (const { key, entry } of all) if (!entry.open) await this.forget(key);
    const found = [];
    for (const { key, entry } of all.filter((one) => one.entry.open)) {
      const store = this.database.transaction("tiles").objectStore("tiles");
      const [keys, values] = await Promise.all([settled(store.getAllKeys(range(key))), settled(store.getAll(range(key)))]);
      found.push({ key, entry, tiles: new Map(keys.map((path, i) => [/** @type {string[]} */ (path)[1], values[i]])) });
    }
    return found.sort((a, b) => b.entry.at - a.entry.at);
  }

  /** Images of a folder with something that a page which is gone could not save. @param {string} folder @returns {Promise<string[]>} IDs */
  async unfinished(folder) {
    const open = await livePages();
    const left = (await this.entries()).filter(({ key, entry }) => entry.open && key.startsWith(`${folder}\n`) && !open.has(pageOf(key)));
    return [...new Set(left.map(({ key }) => key.slice(folder.length + 1).split("\n")[0]))];
  }

  /** @returns {Promise<{key: string, entry: Entry}[]>} */
  async entries() {
    const store = this.database.transaction("entries").objectStore("entries");
    const [keys, entries] = await Promise.all([settled(store.getAllKeys()), settled(store.getAll())]);
    return keys.map((key, i) => ({ key: String(key), entry: entries[i] }));
  }

  /** @param {string} key */
  async forget(key) {
    const transaction = this.database.transaction(["entries", "tiles"], "readwrite", { durability: "strict" });
    transaction.objectStore("entries").delete(key);
    transaction.objectStore("tiles").delete(range(key));
    await completed(transaction);
  }
}

/** The key of an image's record of this page. @param {string} folder @param {string} id @param {string} [page] */
export const keyOf = (folder, id, page = PAGE) => `${folder}\n${id}\n${page}`;

/** @param {string} key */
const pageOf = (key) => key.slice(key.lastIndexOf("\n") + 1);
/** @param {string} page */
const lockOf = (page) => `foveate-page-${page}`;

/** Hold this page's lock until it is left: a page that the browser only keeps for the way back does not save any more. */
function holdLock() {
  void navigator.locks?.request(lockOf(PAGE), () => new Promise((resolve) => {
    window.addEventListener("pagehide", () => resolve(null), { once: true });
  }));
}
window.addEventListener("pageshow", (event) => event.persisted && holdLock());

/** Pages of this browser that are open, this one among them. @returns {Promise<Set<string>>} */
async function livePages() {
  const held = (await navigator.locks?.query())?.held ?? [];
  const prefix = lockOf("");
  const names = held.flatMap(({ name }) => (name?.startsWith(prefix) ? [name.slice(prefix.length)] : []));
  return new Set([...names, PAGE]);
}

/** @param {string} key */
const range = (key) => IDBKeyRange.bound([key], [key, []]);

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
export function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
export function completed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}
