// Ship: a run as one checked file, and the line that serves it.

import { get, inWords, post } from "../base/api.js";
import { say } from "../base/dialog.js";
import { byId, fill, h } from "../base/dom.js";
import { bytes, score, words } from "../base/format.js";
import { jobView } from "../base/jobs.js";
import { failed, open, poll } from "../base/shell.js";

/** @typedef {import("../base/jobs.js").Job} Job */
/** @typedef {{files: {name: string, bytes: number, sha256: string}[], parity: string, serve: string}} Exported */

class ShipPage {
  /** @param {import("../base/shell.js").Project} project @param {any[]} runs */
  constructor(project, runs) {
    this.project = project;
    this.runs = runs;
    this.job = h("div", {});
    this.result = h("div", {});
    /** @type {ReturnType<typeof jobView> | null} */
    this.view = null;
    this.shown = "";
    this.chosen = project.run ?? runs[0]?.name ?? "";
  }

  draw() {
    const { runs, project } = this;
    if (!runs.length) {
      fill(byId("main"), h("header", {}, h("h1", {}, "Ship"), h("p", {}, "There is no run yet. ", h("a", { href: "/train" }, "Train a model"), " first.")));
      return;
    }
    const choose = h("select", { id: "run", onchange: () => {
      this.chosen = choose.value;
      void this.renew();
    } }, runs.map(({ name, score: found }) => h("option", { value: name, selected: name === this.chosen }, found ? `${name} · ${words(found.name)} ${score(found.value)}` : name)));
    const start = h("button", { type: "button", class: "main", id: "export", disabled: project.read_only, onclick: async () => {
      try {
        await post("jobs", { kind: "export", run: this.chosen });
        await this.step();
      } catch (error) {
        say(inWords(error), "bad");
      }
    } }, "Export");
    fill(
      byId("main"),
      h("header", {}, h("h1", {}, "Ship"), h("p", {}, "One ONNX file that needs neither PyTorch nor Foveate. It is compared with the trained model before it counts as exported.")),
      h("div", { class: "columns even" },
        h("section", { class: "card stack" }, h("h2", {}, "Export"), h("div", { class: "group" }, h("label", { for: "run" }, "Run"), choose, start), this.job),
        this.result,
      ),
    );
    void this.renew();
    poll(() => this.step());
  }

  /** @returns {Promise<number>} */
  async step() {
    /** @type {{jobs: Job[]}} */
    const { jobs } = await get("jobs");
    const job = jobs.find(({ kind }) => kind === "export");
    if (!job) return 4000;
    if (!this.view) {
      this.view = jobView(job, () => void this.step());
      fill(this.job, this.view.element);
    }
    this.view.update(job);
    if (job.state !== "running" && this.shown !== job.id) {
      this.shown = job.id;
      await this.renew();
    }
    return job.state === "running" ? 1000 : 4000;
  }

  async renew() {
    const run = await get(`runs/${encodeURIComponent(this.chosen)}`);
    /** @type {Exported | null} */
    const exported = run.export;
    const found = run.exported.filter((/** @type {string} */ name) => name.endsWith(".onnx"));
    if (!exported && found.length) {
      fill(this.result, h("section", { class: "card stack" },
        h("h2", {}, "Exported in the terminal"),
        h("p", {}, `The run's folder has ${found.join(", ")}, which this page did not make and has not compared. Export writes model.onnx anew.`),
      ));
      return;
    }
    fill(this.result, h("section", { class: "card stack" },
      h("h2", {}, exported ? "Ready" : "Not exported yet"),
      exported ? h("div", { class: "stack", id: "exported" },
        h("ul", { class: "stack" }, exported.files.map((file) => h("li", {}, h("b", {}, file.name), " ", h("span", { class: "faint number" }, bytes(file.bytes)), h("br", {}), h("span", { class: "faint code" }, `sha256 ${file.sha256}`)))),
        h("p", {}, exported.parity),
        h("h2", {}, "Serve it"),
        h("code", { class: "command", id: "serve" }, exported.serve),
      ) : h("p", { class: "faint" }, "After the export, the files, the comparison and the line that serves them stand here."),
    ));
  }
}

try {
  const project = await open();
  const { runs } = await get("runs");
  new ShipPage(project, runs).draw();
  document.body.dataset.ready = "true";
} catch (error) {
  failed(error);
  document.body.dataset.ready = "failed";
}
