// The panel beside the canvas: classes and regions.

import { inWords } from "../base/api.js";
import { IGNORED, addClass, classKey, colorOf, editClasses } from "../base/classes.js";
import { say } from "../base/dialog.js";
import { byId, fill, h, swatch } from "../base/dom.js";
import { percent } from "../base/format.js";

/** @typedef {import("../tools/desk.js").Desk} Desk */
/** @typedef {import("../base/classes.js").Class} Class */

const MOST = 200; // regions that are listed

export class Panels {
  /**
   * @param {Desk} desk
   * @param {Class[]} classes
   * @param {{choose: (label: string) => void, renew: (classes: Class[]) => void, suggested: () => import("./suggestions.js").Suggestions | null}} page
   */
  constructor(desk, classes, page) {
    this.desk = desk;
    this.classes = classes;
    this.page = page;
    this.frame = 0;
    byId("edit-classes").addEventListener("click", () => void this.edit());
    const name = /** @type {HTMLInputElement} */ (byId("new-class"));
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && name.value.trim()) void this.add(name);
      if (event.key === "Escape") name.blur();
    });
  }

  /** @param {HTMLInputElement} input */
  async add(input) {
    const wanted = input.value.trim();
    try {
      const classes = await addClass(wanted);
      input.value = "";
      this.page.renew(classes);
      this.page.choose(wanted);
    } catch (error) {
      say(inWords(error), "bad");
    }
  }

  async edit() {
    try {
      const classes = await editClasses();
      // A rename changes the labels of every image, this one too.
      if (classes) window.location.reload();
    } catch (error) {
      say(inWords(error), "bad");
    }
  }

  /** Draw soon, once for many changes. */
  update() {
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
  }

  draw() {
    this.drawClasses();
    this.drawRegions();
    this.drawSuggestions();
  }

  /** Pixels of each class, painted or under the outlines that are seen. @returns {Map<string, number>} */
  shares() {
    const { labels } = this.desk;
    /** @type {Map<string, number>} */
    const areas = new Map();
    for (const [number, area] of labels.areas) {
      const label = labels.objects.get(number)?.label;
      if (label && area) areas.set(label, (areas.get(label) ?? 0) + area);
    }
    return areas;
  }

  drawClasses() {
    const { desk, classes } = this;
    const areas = this.shares();
    const outlined = new Set(desk.labels.outlines.map(({ label }) => label));
    const whole = desk.labels.width * desk.labels.height;
    const listed = [...classes.map(({ name }) => name)];
    for (const label of [...areas.keys(), ...outlined]) if (!listed.includes(label)) listed.push(label);
    if (!listed.includes(IGNORED) && classes.length) listed.push(IGNORED);
    const items = listed.map((label, i) => {
      const key = i < classes.length ? classKey(i) : "";
      const share = areas.has(label) ? percent((areas.get(label) ?? 0) / whole) : outlined.has(label) ? "outlined" : "";
      const current = desk.settings.label === label;
      const button = h(
        "button",
        { type: "button", class: "class", "aria-pressed": String(current), "data-class": label, onclick: () => this.page.choose(label) },
        swatch(colorOf(classes, label), key),
        h("span", { class: "name" }, label === IGNORED ? "not scored" : label),
        h("span", { class: "faint number" }, share),
      );
      return h("li", {}, button);
    });
    keepFocus(byId("classes"), items);
    byId("no-classes").hidden = classes.length > 0;
  }

  drawRegions() {
    const { desk, classes } = this;
    const { labels } = desk;
    const objects = [...labels.objects.values()].filter(({ number }) => (labels.areas.get(number) ?? 0) > 0);
    const rows = [
      ...[...labels.outlines].reverse().map((outline) => ({ key: `o${outline.key}`, shape: outline, what: outline.kind === "polygon" ? "outline" : outline.kind })),
      ...objects.map((object) => ({ key: `n${object.number}`, shape: object, what: `${(labels.areas.get(object.number) ?? 0).toLocaleString("en-US")} px` })),
    ];
    const items = rows.slice(0, MOST).map(({ key, shape, what }) => {
      const pressed = desk.selected.has(key);
      const group = shape.group === null ? "" : `group ${shape.group}`;
      const active = desk.settings.objects && key === `n${desk.active}`;
      return h("li", {}, h(
        "button",
        { type: "button", class: "region", "aria-pressed": String(pressed), "data-key": key, onclick: (/** @type {MouseEvent} */ event) => this.select(key, event.shiftKey) },
        swatch(colorOf(classes, shape.label)),
        h("span", { class: "name" }, shape.label === IGNORED ? "not scored" : shape.label, group ? h("span", { class: "faint" }, ` ${group}`) : null, active ? h("span", { class: "mark" }, "painting") : null),
        h("span", { class: "faint number" }, what),
      ));
    });
    keepFocus(byId("regions"), items);
    byId("region-count").textContent = rows.length ? String(rows.length) : "";
    byId("more-regions").textContent = rows.length > MOST ? `and ${rows.length - MOST} more` : "";
  }

  /** @param {string} key @param {boolean} more */
  select(key, more) {
    const { desk } = this;
    const keys = more ? new Set(desk.selected) : new Set();
    if (more && keys.has(key)) keys.delete(key);
    else keys.add(key);
    if (key[0] === "n") desk.active = Number(key.slice(1));
    desk.select(/** @type {Set<string>} */ (keys));
  }

  drawSuggestions() {
    const suggestions = this.page.suggested();
    const section = byId("suggestions");
    section.hidden = !suggestions;
    if (!suggestions) return;
    const { confidence, run } = suggestions;
    byId("suggested-by").textContent = confidence === null ? run : `${run}, ${percent(confidence)} sure`;
  }
}

/** Replace the items of a list; the focus stays on the item with the same data. @param {HTMLElement} list @param {HTMLElement[]} items */
function keepFocus(list, items) {
  const focused = list.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
  const name = focused?.dataset.class ? "class" : "key";
  const value = focused?.dataset[name];
  fill(list, items);
  if (value === undefined) return;
  for (const button of list.querySelectorAll("button")) if (button.dataset[name] === value) button.focus({ preventScroll: true });
}
