// The frame of every page but the label page: the name of the folder, the pages, and notes of the server.

import { get, inWords } from "./api.js";
import { byId, fill, h, icon } from "./dom.js";

/**
 * @typedef {object} Project
 * @property {string} name
 * @property {string} folder
 * @property {boolean} read_only
 * @property {string} version
 * @property {{name: string, color: string}[]} classes
 * @property {string} unlabelled
 * @property {Record<string, number>} counts
 * @property {number} validation
 * @property {Record<"plain" | "assisted", {pictures: number, median: number | null}>} seconds
 * @property {string[]} runs
 * @property {string | null} run
 * @property {{ready: boolean, needs: number, recipe: string, command: string}} train
 * @property {string[]} jobs
 * @property {string[]} notes
 */

const PAGES = [
  { path: "/", text: "Images" },
  { path: "/train", text: "Train" },
  { path: "/ship", text: "Ship" },
  { path: "/help", text: "Help" },
];

/** Draw the frame and load the project; an error is shown in the page's place. @returns {Promise<Project>} */
export async function open() {
  const here = window.location.pathname;
  const current = (/** @type {string} */ path) =>
    path === here || (path === "/train" && here.startsWith("/runs/")) ? "page" : null;
  const links = PAGES.map(({ path, text }) => h("a", { href: path, "aria-current": current(path) }, text));
  const name = h("span", { class: "folder" }, "…");
  fill(byId("top"), h("a", { class: "brand", href: "/" }, icon("eye"), "Foveate"), name, h("nav", { "aria-label": "Pages" }, links));
  try {
    /** @type {Project} */
    const project = await get("project");
    name.textContent = project.name;
    name.title = project.folder;
    if (project.read_only) name.after(h("span", { class: "mark" }, "read only"));
    const notes = byId("notes");
    fill(notes, ...project.notes.map((note) => h("p", { class: "note" }, note)));
    return project;
  } catch (error) {
    failed(error);
    throw error;
  }
}

/** Show an error where the page would be. @param {unknown} error */
export function failed(error) {
  fill(byId("main"), h("div", { class: "note bad", role: "alert" }, inWords(error)));
}

/**
 * Call a function now and then, never twice at once, and not while the page is hidden.
 * @param {() => Promise<number | null>} step returns the milliseconds until the next call; null: no more
 */
export function poll(step) {
  const turn = async () => {
    const pause = document.hidden ? 1000 : await step().catch(() => 5000);
    if (pause !== null) window.setTimeout(turn, pause);
  };
  void turn();
}
