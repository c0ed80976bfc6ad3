// The journal: what is not yet on the server's disk, kept in the browser's own database, per folder and image.
//
// A record holds the whole of an image's labels: their revision, and every painted tile. It survives a crash of the browser or
// the server, and is offered again at the next visit. IndexedDB belongs to host and port, and the key holds the folder.

/**
 * @typedef {object} Entry
 * @property {string} etag the revision that was edited
 * @property {import("../labels/document.js").LabelObject[]} objects
 * @property {readonly import("../labels/outlines.js").Outline[]} outlines
 * @property {string} state
 * @property {number} seconds
 * @property {number} strokes
 * @property {unknown} origin
 * @property {number} at milliseconds since 1970
 * @property {boolean} open true while something is not acknowledged
 */
/** @typedef {Map<string, Uint8Array>} Tiles "X,Y" -> runs */

const NAME = "foveate-journal";

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
    return new Journal(await settled(request));
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

  /** What is not acknowledged, or null. @param {string} key @returns {Promise<{entry: Entry, tiles: Tiles} | null>} */
  async read(key) {
    const transaction = this.database.transaction(["entries", "tiles"]);
    const entry = /** @type {Entry | undefined} */ (await settled(transaction.objectStore("entries").get(key)));
    if (!entry?.open) return null;
    const store = transaction.objectStore("tiles");
    const [keys, values] = await Promise.all([settled(store.getAllKeys(range(key))), settled(store.getAll(range(key)))]);
    return { entry, tiles: new Map(keys.map((path, i) => [/** @type {string[]} */ (path)[1], values[i]])) };
  }

  /** Images of a folder with something that is not acknowledged. @param {string} folder @returns {Promise<string[]>} IDs */
  async unfinished(folder) {
    const store = this.database.transaction("entries").objectStore("entries");
    const [keys, entries] = await Promise.all([settled(store.getAllKeys()), settled(store.getAll())]);
    return keys
      .map((key, i) => ({ key: String(key), open: entries[i].open }))
      .filter(({ key, open }) => open && key.startsWith(`${folder}\n`))
      .map(({ key }) => key.slice(folder.length + 1));
  }

  /** @param {string} key */
  async forget(key) {
    const transaction = this.database.transaction(["entries", "tiles"], "readwrite", { durability: "strict" });
    transaction.objectStore("entries").delete(key);
    transaction.objectStore("tiles").delete(range(key));
    await completed(transaction);
  }
}

/** @param {string} folder @param {string} id */
export const keyOf = (folder, id) => `${folder}\n${id}`;

/** @param {string} key */
const range = (key) => IDBKeyRange.bound([key], [key, []]);

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
function completed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}
