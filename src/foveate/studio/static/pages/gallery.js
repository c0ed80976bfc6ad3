// The gallery: what is labelled and what is left, classes, and the way to each image.

import { get, inWords } from "../base/api.js";
import { addClass, classKey, colorOf, editClasses } from "../base/classes.js";
import { say } from "../base/dialog.js";
import { byId, fill, h, icon, swatch } from "../base/dom.js";
import { counted, duration, percent } from "../base/format.js";
import { failed, open } from "../base/shell.js";
import { Journal } from "../label/journal.js";

/** @typedef {import("../base/shell.js").Project} Project */
/** @typedef {{id: string, name: string, state: string, problem: string | null, validation: boolean, doubt: number | null, prelabelled: boolean, classes: string[], seconds: number | null, captions: number, questions: number}} Listed */

const PAGE = 120;
const STATES = ["untouched", "draft", "done", "skipped", "blocked"];

class Gallery {
  /** @param {Project} project */
  constructor(project) {
    this.project = project;
    const query = new URLSearchParams(window.location.search);
    this.query = { state: query.get("state") ?? "", order: query.get("order") ?? "name", text: query.get("text") ?? "", class: query.get("class") ?? "" };
    /** @type {Listed[]} */
    this.pictures = [];
    this.total = 0;
    this.asked = 0;
    this.list = h("ul", { class: "images", "aria-label": "Images" });
    this.tail = h("div", {});
  }

  /** @param {Partial<Gallery["query"]>} change */
  filter(change) {
    Object.assign(this.query, change);
    window.history.replaceState(null, "", `/${this.search()}`);
    this.drawFilters();
    this.drawClasses();
    void this.load(0);
  }

  /** The query in the address. @param {Record<string, string>} [more] */
  search(more = {}) {
    const set = Object.entries({ ...this.query, ...more }).filter(([key, value]) => value && !(key === "order" && value === "name"));
    return set.length ? `?${new URLSearchParams(set)}` : "";
  }

  /** @param {number} offset */
  async load(offset) {
    this.asked += 1;
    const { asked } = this;
    const query = this.search({ limit: String(PAGE), offset: String(offset) });
    try {
      const answer = await get(`pictures${query}`);
      if (asked !== this.asked) return;
      this.pictures = offset ? [...this.pictures, ...answer.pictures] : answer.pictures;
      this.total = answer.total;
      this.drawImages();
    } catch (error) {
      say(inWords(error), "bad");
    }
  }

  draw() {
    const { project } = this;
    const { done, draft, skipped, pictures } = project.counts;
    const part = (/** @type {string} */ state, /** @type {number} */ count) => {
      const span = h("span", { "data-state": state });
      span.style.width = `${(100 * count) / Math.max(1, pictures)}%`;
      return span;
    };
    const meter = h("div", { class: "meter" },
      h("div", { class: "bar", role: "img", "aria-label": `${done} of ${pictures} done` }, part("done", done), part("draft", draft), part("skipped", skipped)),
      h("p", {}, h("b", {}, `${done} of ${pictures.toLocaleString("en-US")} done`), draft ? `, ${counted(draft, "draft")}` : "", skipped ? `, ${skipped} skipped` : "", project.validation ? ` · ${project.validation} are for validation and get no pre-labels` : ""),
    );
    const { plain, assisted } = project.seconds;
    const pace = [["by hand", plain], ["with pre-labels", assisted]].flatMap(([text, value]) => {
      const { median } = /** @type {{median: number | null}} */ (value);
      return median === null ? [] : [h("div", {}, h("dt", {}, `an image, ${text}`), h("dd", {}, duration(median)))];
    });
    fill(
      byId("main"),
      h("header", {}, h("h1", {}, project.name), h("div", { id: "invitation" }, this.invitation())),
      h("section", { class: "overview", "aria-label": "Progress" }, meter, pace.length ? h("dl", { class: "pace" }, pace) : null),
      h("div", { id: "class-strip", class: "class-strip", role: "group", "aria-label": "Classes" }),
      h("div", { id: "filters", class: "filters" }),
      h("p", { id: "found", class: "faint", role: "status" }),
      this.list,
      this.tail,
    );
    this.drawClasses();
    this.drawFilters();
    void this.load(0);
    void this.unfinished();
  }

  /** What to do next, in a sentence. */
  invitation() {
    const { counts, classes, train, runs } = this.project;
    if (!counts.pictures) return h("p", {}, "No images were found in this folder.");
    if (!classes.length) return h("p", {}, "Nothing in this folder has changed yet. Add the classes below, then open the first image.");
    if (train.needs > counts.done) return h("p", {}, `${counted(train.needs - counts.done, "more image")} until a first model can be trained.`);
    if (!runs.length) return h("p", {}, "There is enough to train a first model: ", h("a", { href: "/train" }, "Train"), ". Labelling can go on meanwhile.");
    return null;
  }

  drawClasses() {
    const { classes } = this.project;
    const strip = byId("class-strip");
    const focused = strip.contains(document.activeElement);
    const buttons = classes.map(({ name, color }, i) =>
      h("button", { type: "button", "aria-pressed": String(this.query.class === name), title: `Only images with ${name}`, onclick: () => this.filter({ class: this.query.class === name ? "" : name }) }, swatch(color, classKey(i)), name),
    );
    const input = h("input", { id: "new-class", type: "text", maxlength: 80, placeholder: "Add a class", "aria-label": "Add a class", disabled: this.project.read_only, autocomplete: "off", spellcheck: "false" });
    input.addEventListener("keydown", async (event) => {
      if (event.key !== "Enter" || !input.value.trim()) return;
      try {
        this.project.classes = await addClass(input.value.trim());
        byId("invitation").replaceChildren(this.invitation() ?? "");
        this.drawClasses();
        byId("new-class").focus();
      } catch (error) {
        say(inWords(error), "bad");
      }
    });
    const edit = h("button", { type: "button", class: "plain", disabled: this.project.read_only, onclick: async () => {
      try {
        if (await editClasses()) window.location.reload();
      } catch (error) {
        say(inWords(error), "bad");
      }
    } }, "Edit classes");
    fill(strip, ...buttons, input, classes.length ? edit : null);
    if (focused) byId("new-class").focus();
  }

  drawFilters() {
    const { counts } = this.project;
    const tab = (/** @type {string} */ state, /** @type {string} */ text, /** @type {number} */ count) =>
      h("button", { type: "button", "aria-pressed": String(this.query.state === state), onclick: () => this.filter({ state }) }, text, h("span", { class: "faint number" }, String(count)));
    const order = h("select", { id: "order", onchange: () => this.filter({ order: order.value }) },
      h("option", { value: "name", selected: this.query.order === "name" }, "by name"),
      h("option", { value: "doubt", selected: this.query.order === "doubt" }, "most doubtful first"));
    const search = h("input", { type: "text", value: this.query.text, placeholder: "Find by name", "aria-label": "Find by name" });
    let timer = 0;
    search.addEventListener("input", () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(() => {
        Object.assign(this.query, { text: search.value.trim() });
        window.history.replaceState(null, "", `/${this.search()}`);
        void this.load(0);
      }, 200);
    });
    fill(
      byId("filters"),
      h("div", { class: "tabs", role: "group", "aria-label": "State" }, tab("", "All", counts.pictures), STATES.filter((state) => counts[state] || state === "done").map((state) => tab(state, state, counts[state]))),
      this.project.runs.length ? h("div", { class: "group" }, h("label", { for: "order" }, "Order"), order) : null,
      search,
    );
  }

  drawImages() {
    const { pictures, total } = this;
    fill(this.list, pictures.map((one) => this.card(one)));
    const narrowed = this.query.state || this.query.text || this.query.class;
    byId("found").textContent = narrowed ? counted(total, "image") : "";
    const more = h("button", { type: "button", class: "more", onclick: () => void this.load(pictures.length) }, `Show more of ${counted(total, "image")}`);
    fill(this.tail, total > pictures.length ? more : null, total ? null : h("p", { class: "empty" }, narrowed ? "No image is like that." : "No images."));
  }

  /** @param {Listed} one */
  card(one) {
    const image = h("img", { src: `/api/1/pictures/${one.id}/pixels?size=384`, alt: "", loading: "lazy", decoding: "async" });
    const query = this.search({ text: "", class: "" });
    const doubt = one.doubt === null ? null : h("span", { title: "Doubt of the model: the share of it that is not sure" }, `doubt ${percent(one.doubt)}`);
    return h("li", {}, h("a", { href: `/label/${one.id}${query}` },
      h("span", { class: "thumb" }, image),
      h("span", { class: "name", title: one.name }, one.name),
      h("span", { class: "facts" },
        h("span", { class: "state", "data-state": one.state }, one.state),
        one.state === "done" && one.seconds ? h("span", { class: "number" }, duration(one.seconds)) : doubt,
        one.validation ? h("span", { title: "Of the validation fifth: labelled without pre-labels" }, "validation") : null,
        h("span", { class: "dots" }, one.classes.slice(0, 6).map((label) => {
          const dot = swatch(colorOf(this.project.classes, label));
          dot.title = label;
          return dot;
        })),
      ),
      one.problem ? h("span", { class: "problem" }, one.problem) : null,
    ));
  }

  /** Images with strokes that only this browser has. */
  async unfinished() {
    const journal = await Journal.open().catch(() => null);
    const ids = (await journal?.unfinished(this.project.folder)) ?? [];
    if (!ids.length) return;
    byId("notes").append(h("p", { class: "note" }, icon("eye"), `This browser has strokes that are not on the disk, of ${counted(ids.length, "image")}: `, ...ids.slice(0, 5).map((id, i) => h("a", { href: `/label/${id}` }, `${i ? ", " : ""}open ${i + 1}`)), "."));
  }
}

try {
  const project = await open();
  new Gallery(project).draw();
  document.body.dataset.ready = "true";
} catch (error) {
  failed(error);
  document.body.dataset.ready = "failed";
}
