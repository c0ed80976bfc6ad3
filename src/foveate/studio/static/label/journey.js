// From image to image: done and skipped, what an earlier visit left, and versions of other tabs and programs.

import { Problem, get, inWords, post } from "../base/api.js";
import { ask, say } from "../base/dialog.js";
import { clock as timeOfDay } from "../base/format.js";
import { LabelDocument } from "../labels/document.js";
import { chooseVersion, fetchLabels, fromJournal, sameLabels } from "./conflict.js";
import { keepSteps } from "./past.js";
import { keepBeside } from "./saver.js";

/** @typedef {import("./page.js").LabelPage} LabelPage */

/**
 * Finish what is begun before the image is left: a polygon, a proposal, a stroke that waits for the server, a text.
 * @param {LabelPage} page
 * @returns {Promise<boolean>} false to stay, as a text could not be saved
 */
async function settle(page) {
  const { tool, desk } = page.parts;
  await tool.finish?.();
  await desk.work;
  const wrong = await page.texts?.settle();
  if (wrong) say(wrong, "bad");
  return !wrong;
}

/** Set the state, save, and go to the next image that is not done. @param {LabelPage} page @param {"done" | "skipped"} state */
export async function finish(page, state) {
  const { labels, saver, desk } = page.parts;
  if (desk.readOnly || !(await settle(page))) return;
  const empty = !labels.outlines.length && ![...labels.areas.values()].some(Boolean);
  if (state === "done" && empty) {
    const answer = await ask("Nothing is labelled here", ["An image without labels is a label, too: it says that none of the classes is in it."], [
      { value: "yes", text: "Done, it is empty", kind: "main" },
      { value: "no", text: "Not yet" },
    ]);
    if (answer === "no") return;
  }
  page.info.state = state;
  page.drawState();
  await saver.changed();
  if (saver.state !== "saved") return; // the mark says why
  await keepSteps(page);
  const next = await nextOpen(page);
  if (next) go(next);
  else window.location.assign(`/${window.location.search}`);
}

const PAGE = 1000;

/** Take back that an image is done or skipped. @param {LabelPage} page */
export async function reopen(page) {
  if (page.parts.desk.readOnly) return;
  page.info.state = "draft";
  page.drawState();
  await page.parts.saver.changed();
}

/** The next image in the order of the gallery that is neither done nor skipped, else the first; null: none is left. @param {LabelPage} page @returns {Promise<string | null>} */
export async function nextOpen(page) {
  const order = new URLSearchParams(window.location.search).get("order") ?? "name";
  let first = null;
  let passed = false;
  for (let offset = 0, total = 1; offset < total; offset += PAGE) {
    const answer = await get(`pictures?order=${encodeURIComponent(order)}&limit=${PAGE}&offset=${offset}`);
    total = answer.total;
    for (const { id, state } of answer.pictures) {
      if (id === page.picture.id) passed = true;
      else if (state === "untouched" || state === "draft") {
        if (passed) return id;
        first ??= id;
      }
    }
  }
  return first;
}

/** Go to another image after what is pending was sent. @param {LabelPage} page @param {string | null} id */
export async function leave(page, id) {
  if (id === null || !(await settle(page))) return;
  const { saver } = page.parts;
  if (saver.pending) await saver.flush();
  await keepSteps(page);
  go(id);
}

/** @param {LabelPage} page */
export async function toGallery(page) {
  if (!(await settle(page))) return;
  if (page.parts.saver.pending) await page.parts.saver.flush();
  await keepSteps(page);
  window.location.assign(`/${window.location.search}`);
}

/** @param {string} id */
function go(id) {
  window.location.assign(`/label/${id}${window.location.search}`);
}

/** Another tab or program has saved this image: ask whose version stays. @param {LabelPage} page */
export async function resolve(page) {
  const { labels, saver, look } = page.parts;
  try {
    const { stored: answer, etag } = await fetchLabels(page.picture.id);
    const theirs = new LabelDocument(answer);
    const text = "Another tab or program has saved this image since you opened it. The version that does not stay is kept in the folder .foveate.";
    const choice = await chooseVersion("Two versions", text, labels, theirs, look, page.picture.id);
    if (choice === "mine") await saver.rebase(etag, Object.keys(answer.tiles), true);
    else {
      await saver.writing;
      if (saver.partial) await saver.keepBeside();
      await page.journal?.forget(saver.key);
      window.location.reload();
    }
  } catch (error) {
    say(inWords(error), "bad");
  }
}

/** Offer what earlier visits could not save. @param {LabelPage} page */
export async function recover(page) {
  if (!page.journal || page.project.read_only) return;
  for (const { key, entry, tiles } of await page.journal.left(page.project.folder, page.picture.id)) {
    const { labels } = page.parts;
    await followRenames(page, entry);
    const mine = new LabelDocument(fromJournal(labels, entry, tiles));
    if (!sameLabels(mine, labels)) {
      const answer = await wanted(page, mine, entry);
      if (answer === "theirs") {
        const { state, seconds, strokes } = entry;
        await keepBeside(page.picture.id, mine, { state, seconds, strokes });
      }
      if (answer !== "mine") {
        await page.journal.forget(key);
        continue;
      }
      const theirs = labels.paintedTiles().map((index) => labels.paint.keyOf(index));
      page.info.strokes = entry.strokes;
      page.info.state = entry.state;
      page.clock.before = Math.max(page.clock.before, 1000 * entry.seconds);
      page.open(mine);
      await page.parts.saver.rebase(page.etag, theirs, entry.etag !== page.etag);
      page.etag = page.parts.saver.etag;
      if (page.parts.saver.pending) return; // the next visit offers the rest
    }
    await page.journal.forget(key);
  }
}

/** Give labels of the journal the names that their classes have now, where the studio knows them. @param {LabelPage} page @param {import("./journal.js").Entry} entry */
async function followRenames(page, entry) {
  if (!entry.classes?.some((name, i) => page.classes[i]?.name !== name)) return;
  try {
    const { renamed } = await post("classes/renamed", { classes: entry.classes });
    const now = (/** @type {string} */ name) => renamed[name] ?? name;
    entry.objects = entry.objects.map((one) => ({ ...one, label: now(one.label) }));
    entry.outlines = entry.outlines.map((one) => ({ ...one, label: now(one.label) }));
    entry.classes = entry.classes.map(now);
  } catch (error) {
    if (!(error instanceof Problem)) throw error; // `wanted` tells that the classes have changed
  }
}

/** Ask whether strokes of the journal are put back. @param {LabelPage} page @param {LabelDocument} mine @param {import("./journal.js").Entry} entry @returns {Promise<"mine" | "theirs" | "discard">} */
async function wanted(page, mine, entry) {
  const { labels, look } = page.parts;
  const time = timeOfDay(new Date(entry.at));
  const changed = entry.classes?.some((name, i) => page.classes[i]?.name !== name);
  const renamed = changed ? ` They were drawn with the classes ${entry.classes?.join(", ")}, which have changed since: check every label.` : "";
  if (entry.etag === page.etag) {
    const text = `At ${time} the page closed before everything was saved. This browser has kept it.${renamed}`;
    return (await ask("Strokes that are not on the disk", [text], [
      { value: "yes", text: "Put them back", kind: "main" },
      { value: "no", text: "Discard them" },
    ])) === "yes" ? "mine" : "discard";
  }
  const text = `This browser has kept strokes of ${time} that were never saved, and the file has changed since.${renamed}`;
  return chooseVersion("Two versions", text, mine, labels, look, page.picture.id);
}
