// Train: what will be done, as a command too; progress, stop and resume; pre-labels of the newest run; all runs.

import { get, inWords, post, request } from "../base/api.js";
import { say } from "../base/dialog.js";
import { byId, fill, h } from "../base/dom.js";
import { counted, score, words } from "../base/format.js";
import { jobView } from "../base/jobs.js";
import { failed, open, poll } from "../base/shell.js";

/** @typedef {import("../base/shell.js").Project} Project */
/** @typedef {import("../base/jobs.js").Job} Job */
/** @typedef {{name: string, task: string, summary: string, epochs: number, advised_epochs: number}} Recipe */
/** @typedef {{name: string, recipe: string, model: string, task: string, state: string, epoch: number, epochs: number, score: {name: string, value: number} | null, report: boolean, exported: string[]}} Run */

class TrainPage {
  /** @param {Project} project @param {{recipes: Recipe[], recommended: string}} offers */
  constructor(project, offers) {
    this.project = project;
    this.offers = offers;
    /** @type {Map<string, ReturnType<typeof jobView>>} */
    this.views = new Map();
    this.jobs = h("div", { class: "stack", id: "jobs" });
    this.runs = h("div", { class: "scroll" });
    this.running = "";
  }

  draw() {
    this.proposals = this.prelabels();
    const left = h("div", { class: "stack" }, this.form(), this.proposals);
    fill(
      byId("main"),
      h("header", {}, h("h1", {}, "Train"), h("p", {}, "A training runs on this machine beside your labelling, and goes on when this page or the studio is closed.")),
      h("div", { class: "columns" }, left, this.jobs),
      h("section", { class: "stack", id: "runs-section" }, h("h2", {}, "Runs"), this.runs),
    );
    poll(() => this.step());
  }

  form() {
    const { train, counts, read_only: readOnly } = this.project;
    const { recipes, recommended } = this.offers;
    const missing = train.needs - counts.done;
    const recipe = h("select", { id: "recipe" }, recipes.map(({ name }) => h("option", { value: name, selected: name === recommended }, name)));
    const summary = h("p", { class: "faint" });
    const epochs = h("input", { type: "number", id: "epochs", min: 1, max: 100000, class: "number" });
    const command = h("code", { class: "command", id: "command" });
    const show = () => {
      const chosen = recipes.find(({ name }) => name === recipe.value);
      summary.textContent = chosen?.summary ?? "";
      epochs.placeholder = chosen ? String(chosen.advised_epochs) : "";
      const parts = train.command.split(" ");
      if (chosen) parts[parts.indexOf("train") + 1] = chosen.name;
      const count = epochs.value || (chosen && chosen.advised_epochs !== chosen.epochs ? String(chosen.advised_epochs) : "");
      command.textContent = [...parts, ...(count ? ["--epochs", count] : [])].join(" ");
    };
    recipe.addEventListener("change", show);
    epochs.addEventListener("input", show);
    show();
    const start = h("button", { type: "button", class: "main", id: "start", disabled: !train.ready || readOnly || !recipes.length, onclick: async () => {
      start.disabled = true;
      try {
        await post("jobs", { kind: "train", recipe: recipe.value, epochs: epochs.value ? Number(epochs.value) : null, fields: {}, init: null });
        await this.step();
      } catch (error) {
        say(inWords(error), "bad");
        start.disabled = false;
      }
    } }, "Train");
    this.start = start;
    return h("section", { class: "card stack" },
      h("h2", {}, "A new model"),
      missing > 0 ? h("p", {}, `${counted(counts.done, "image")} done; training needs ${train.needs}: ${missing} more.`) : h("p", {}, `${counted(counts.done, "image")} done. Drafts and skipped images are left out.`),
      h("div", { class: "stack" }, h("div", { class: "fields" }, h("label", {}, "Recipe", recipe), h("label", { class: "narrow" }, "Epochs", epochs)), summary),
      command,
      h("div", {}, start),
    );
  }

  prelabels() {
    const { project } = this;
    const choose = h("select", { id: "current-run", onchange: async () => {
      try {
        await this.put(choose.value);
      } catch (error) {
        say(inWords(error), "bad");
      }
    } }, project.runs.map((name) => h("option", { value: name, selected: name === project.run }, name)));
    const start = h("button", { type: "button", id: "prelabel", disabled: !project.run || project.read_only, onclick: async () => {
      try {
        await post("jobs", { kind: "prelabel", run: choose.value || null });
        await this.step();
      } catch (error) {
        say(inWords(error), "bad");
      }
    } }, "Pre-label what is left");
    return h("section", { class: "card stack" },
      h("h2", {}, "Pre-labels"),
      h("p", { class: "faint" }, "A run predicts the images that are left; they arrive hatched, and can be sorted by its doubt. Images of the validation fifth are left out, so that their score stays honest."),
      project.runs.length ? h("div", { class: "group" }, h("label", { for: "current-run" }, "Run"), choose, start) : h("p", {}, "They come with the first run."),
    );
  }

  /** @param {string} run */
  async put(run) {
    await request("PUT", "runs/current", { run });
  }

  /** Renew jobs and runs. @returns {Promise<number>} milliseconds until the next time */
  async step() {
    /** @type {{jobs: Job[]}} */
    const { jobs } = await get("jobs");
    const shown = jobs.filter((job, i) => job.state === "running" || i < 3);
    for (const job of shown) {
      const view = this.views.get(job.id);
      if (view) view.update(job);
      else this.views.set(job.id, jobView(job, () => void this.step()));
    }
    const elements = shown.map(({ id }) => /** @type {ReturnType<typeof jobView>} */ (this.views.get(id)).element);
    const same = elements.length === this.jobs.children.length && elements.every((element, i) => element === this.jobs.children[i]);
    if (!same) fill(this.jobs, elements);
    if (!elements.length) fill(this.jobs, h("p", { class: "card faint" }, "Nothing has run yet."));
    const busy = jobs.some(({ kind, state }) => kind === "train" && state === "running");
    if (this.start) this.start.disabled = busy || !this.project.train.ready || this.project.read_only;
    const running = jobs.filter(({ state }) => state === "running").map(({ id }) => id).join();
    if (running !== this.running || !this.runs.childElementCount) await this.drawRuns();
    if (this.running && running !== this.running) await this.renew();
    this.running = running;
    return running ? 1000 : 4000;
  }

  /** A job has ended: offer the pre-labels of a run that came with it. */
  async renew() {
    this.project = await get("project");
    const next = this.prelabels();
    this.proposals?.replaceWith(next);
    this.proposals = next;
  }

  async drawRuns() {
    /** @type {{runs: Run[]}} */
    const { runs } = await get("runs");
    byId("runs-section").hidden = !runs.length;
    const rows = runs.map((run) => h("tr", {},
      h("th", { scope: "row" }, h("a", { href: `/runs/${encodeURIComponent(run.name)}` }, run.name)),
      h("td", {}, run.recipe ?? "–"),
      h("td", {}, run.state),
      h("td", { class: "number" }, run.epochs ? `${run.epoch} of ${run.epochs}` : String(run.epoch)),
      h("td", { class: "number" }, run.score ? `${words(run.score.name)} ${score(run.score.value)}` : "–"),
      h("td", {}, run.exported.join(", ")),
    ));
    const head = ["Run", "Recipe", "State", "Epochs", "Score", "Exported"].map((text, i) => h("th", { scope: "col", class: i === 3 || i === 4 ? "number" : "" }, text));
    fill(this.runs, h("table", { class: "list" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
  }
}

try {
  const project = await open();
  const offers = await get("recipes");
  new TrainPage(project, offers).draw();
  document.body.dataset.ready = "true";
} catch (error) {
  failed(error);
  document.body.dataset.ready = "failed";
}
