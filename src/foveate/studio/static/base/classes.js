// The classes of the folder: adding, renaming, recolouring, removing, and what undecided pixels mean.

import { Problem, inWords, request } from "./api.js";
import { h } from "./dom.js";
import { show } from "./dialog.js";

/** @typedef {{name: string, color: string, was?: string}} Class */

/** Pixels under an object of this label are not scored. */
export const IGNORED = "__ignore__";
const GREY = "#8a9099";

/** The key that chooses a class: 1 to 9, then 0; '' for later ones. @param {number} index */
export const classKey = (index) => (index < 10 ? String((index + 1) % 10) : "");

/** The colour of a label, grey where it is no class. @param {Class[]} classes @param {string} label */
export function colorOf(classes, label) {
  return classes.find(({ name }) => name === label)?.color ?? GREY;
}

/**
 * Add a class at the end.
 * @param {string} name
 * @returns {Promise<Class[]>} the new list
 * @throws {Problem}
 */
export async function addClass(name) {
  const { body, etag } = await request("GET", "classes");
  const classes = [...body.classes, { name }];
  const answer = await request("PUT", "classes", { classes, unlabelled: body.unlabelled || "ignore" }, { etag });
  return answer.body.classes;
}

/**
 * Edit the list in a dialog.
 * @returns {Promise<Class[] | null>} the list that was saved; null if the dialog was closed
 */
export async function editClasses() {
  const { body, etag } = await request("GET", "classes");
  /** @type {(Class & {id: number})[]} */
  let rows = body.classes.map((/** @type {Class} */ one, /** @type {number} */ id) => ({ ...one, was: one.name, id }));
  return new Promise((resolve) => {
    /** @type {Class[] | null} */
    let saved = null;
    const list = h("ol", { class: "class-editor" });
    const problem = h("p", { class: "problem", role: "alert" });
    const unlabelled = h(
      "select",
      { id: "unlabelled" },
      h("option", { value: "ignore", selected: body.unlabelled !== "background" }, "not scored (ignore)"),
      h("option", { value: "background", selected: body.unlabelled === "background" }, "the class “background”"),
    );
    const draw = () => {
      list.replaceChildren(
        ...rows.map((row, i) => {
          const used = row.was ? (body.used[row.was] ?? 0) : 0;
          const name = h("input", { type: "text", value: row.name, "aria-label": `Name of class ${i + 1}`, maxlength: 80 });
          const color = h("input", { type: "color", value: row.color ?? GREY, "aria-label": `Colour of ${row.name || `class ${i + 1}`}` });
          name.addEventListener("input", () => (row.name = name.value));
          color.addEventListener("input", () => (row.color = color.value));
          const move = (/** @type {number} */ by, /** @type {string} */ text, /** @type {string} */ sign) =>
            h("button", { type: "button", class: "plain", disabled: i + by < 0 || i + by >= rows.length, "aria-label": `${text} ${row.name}`, onclick: () => {
              [rows[i], rows[i + by]] = [rows[i + by], rows[i]];
              draw();
            } }, sign);
          const remove = h("button", { type: "button", class: "plain", disabled: used > 0, "aria-label": `Remove ${row.name}`, title: used ? `used in ${used} images` : "", onclick: () => {
            rows = rows.filter((one) => one !== row);
            draw();
          } }, "×");
          return h("li", {}, h("span", { class: "key" }, classKey(i)), color, name, h("span", { class: "faint" }, used ? `${used}` : ""), move(-1, "Move up:", "↑"), move(1, "Move down:", "↓"), remove);
        }),
      );
    };
    const add = h("button", { type: "button", onclick: () => {
      rows.push({ name: "", color: "", id: rows.length });
      draw();
      /** @type {HTMLElement | null} */ (list.querySelector("li:last-child input[type=text]"))?.focus();
    } }, "Add a class");
    const save = h("button", { type: "button", class: "main", onclick: async () => {
      const classes = rows
        .map(({ name, color, was }) => ({ name: name.trim(), ...(color ? { color } : {}), ...(was && was !== name.trim() ? { was } : {}) }))
        .filter(({ name }) => name);
      try {
        saved = (await request("PUT", "classes", { classes, unlabelled: unlabelled.value }, { etag })).body.classes;
        dialog.close();
      } catch (error) {
        const stale = error instanceof Problem && error.status === 412;
        problem.textContent = stale ? "The classes were changed elsewhere meanwhile. Close this, and open it again." : inWords(error);
      }
    } }, "Save");
    draw();
    const order = h("p", { class: "faint" }, "The order is the class index, and gives the keys 1 to 9 and 0.");
    const undecided = h("p", {}, h("label", { for: "unlabelled" }, "Undecided pixels are "), unlabelled);
    const dialog = show("Classes", order, list, add, undecided, problem, h("div", { class: "answers" }, save));
    dialog.addEventListener("close", () => resolve(saved));
  });
}
