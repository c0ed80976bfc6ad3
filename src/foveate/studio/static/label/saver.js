// Autosave: each stroke goes to the browser's journal, then to the server, which answers when it is on the disk.

import { Problem, inWords, post, request } from "../base/api.js";
import { keyOf } from "./journal.js";

/** @typedef {import("../labels/document.js").LabelDocument} LabelDocument */
/** @typedef {import("./journal.js").Journal} Journal */
/**
 * @typedef {object} Info what is saved beside the labels
 * @property {string} state
 * @property {number} seconds
 * @property {number} strokes
 * @property {unknown} origin
 */
/** @typedef {"clean" | "saving" | "saved" | "waiting" | "refused" | "stale" | "read-only"} SaveState */

const LONGEST_PAUSE = 30000;

export class Saver {
  /**
   * @param {{id: string, folder: string, etag: string, labels: LabelDocument, journal: Journal | null, info: () => Info, classes: () => string[]}} session classes: names that labels are chosen from, which the server compares with its own
   */
  constructor({ id, folder, etag, labels, journal, info, classes }) {
    this.id = id;
    this.key = keyOf(folder, id);
    this.etag = etag;
    this.labels = labels;
    this.journal = journal;
    this.info = info;
    this.classes = classes;
    /** @type {SaveState} */
    this.state = "clean";
    this.message = "";
    this.savedAt = "";
    /** Counts everything that has to be saved, and what of it is. */
    this.wanted = 0;
    this.acknowledged = 0;
    this.journaled = -1; // version of the labels that the journal holds
    this.writing = Promise.resolve();
    /** @type {Promise<void> | null} */
    this.running = null;
    this.failures = 0;
    /** True if the last save failed with a reason of the server's, as where its disk is full. */
    this.answered = false;
    this.timer = 0;
    /** True while the next save replaces a version that others wrote, which the server then keeps. */
    this.over = false;
    /** True if the server could keep only the changed tiles of a version that lost. */
    this.partial = false;
    /** Called when the state changes. */
    this.onstate = () => {};
    /** Called when another program or tab has changed the file. */
    this.onstale = () => {};
  }

  get pending() {
    return this.acknowledged < this.wanted;
  }

  /** Something has changed. @returns {Promise<void>} resolves when it was tried to be saved */
  changed() {
    if (this.state === "read-only") return Promise.resolve();
    this.wanted += 1;
    this.writing = this.writing.then(() => this.keep());
    if (this.state === "stale") return this.writing;
    this.set("saving");
    return this.writing.then(() => this.flush());
  }

  /** Send what is not acknowledged. @returns {Promise<void>} */
  flush() {
    window.clearTimeout(this.timer);
    this.running ??= this.send().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  /** Write the journal: everything at the first time, then the tiles that changed. */
  async keep() {
    if (!this.journal) return;
    const { labels } = this;
    const first = this.journaled < 0;
    const indices = first
      ? new Set([...labels.paintedTiles(), ...labels.changed.keys()])
      : [...labels.changed].filter(([, version]) => version > this.journaled).map(([index]) => index);
    const { version } = labels;
    const tiles = new Map([...indices].map((index) => [labels.paint.keyOf(index), labels.paint.runs(index)]));
    const entry = { ...this.info(), classes: this.classes(), etag: this.etag, objects: [...labels.objects.values()], outlines: labels.outlines, at: Date.now(), open: true };
    try {
      await this.journal.put(this.key, entry, tiles, first);
      this.journaled = version;
    } catch (error) {
      this.journal = null; // the server still has everything that it acknowledges
      this.message = `The browser keeps no journal: ${inWords(error)}`;
    }
  }

  async send() {
    while (this.pending && this.state !== "stale") {
      const { labels, wanted } = this;
      const { version } = labels;
      const body = {
        objects: [...labels.objects.values()],
        tiles: labels.wireTiles(labels.changed.keys()),
        outlines: labels.outlines,
        ...this.info(),
        classes: this.classes(),
        ...(this.over ? { over: true } : {}),
      };
      this.set("saving");
      try {
        const answer = await request("PUT", `pictures/${this.id}/labels`, body, { etag: this.etag });
        this.etag = answer.etag ?? this.etag;
        this.savedAt = String(answer.body.saved);
        this.acknowledged = wanted;
        this.failures = 0;
        this.over = false;
        for (const [index, changed] of labels.changed) if (changed <= version) labels.changed.delete(index);
      } catch (error) {
        this.failed(error);
        return;
      }
      if (!this.pending) {
        this.writing = this.writing.then(async () => {
          if (!this.pending) await this.journal?.close(this.key, this.etag).catch(() => undefined);
        });
        await this.writing;
      }
    }
    if (!this.pending) this.set("saved");
  }

  /** @param {unknown} error */
  failed(error) {
    const problem = error instanceof Problem ? error : new Problem(0, { detail: inWords(error) });
    if (problem.status === 412) {
      this.partial = problem.body.whole === false;
      this.set("stale", problem.message);
      this.onstale();
    } else if (problem.passing) {
      this.failures += 1;
      this.answered = problem.status === 507;
      this.set("waiting", problem.message);
      const pause = Math.min(LONGEST_PAUSE, 1000 * 2 ** this.failures);
      this.timer = window.setTimeout(() => void this.flush(), pause);
    } else this.set("refused", problem.message);
  }

  /** Let the server keep all of these labels beside the file, where another version stays. */
  async keepBeside() {
    await keepBeside(this.id, this.labels, this.info());
  }

  /** Go on from another revision, on which everything of these labels is put. @param {string} etag @param {Iterable<string>} theirs keys of the tiles that are there @param {boolean} over others have written that revision */
  rebase(etag, theirs, over) {
    const { labels } = this;
    this.etag = etag;
    this.over ||= over;
    labels.version += 1;
    for (const index of labels.paintedTiles()) labels.changed.set(index, labels.version);
    for (const key of theirs) labels.changed.set(labels.paint.indexOf(key), labels.version);
    this.state = "saving";
    return this.changed();
  }

  /** @param {SaveState} state @param {string} [message] */
  set(state, message = "") {
    this.state = state;
    this.message = message;
    this.onstate();
  }
}

/** Let the server keep a version of an image's labels that did not stay. @param {string} id @param {LabelDocument} labels @param {Record<string, unknown>} info */
export async function keepBeside(id, labels, info) {
  const { objects, outlines } = labels;
  await post(`pictures/${id}/versions`, { objects: [...objects.values()], tiles: labels.wireTiles(labels.paintedTiles()), outlines, ...info });
}
