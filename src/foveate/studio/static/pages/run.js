// One run: its curve, its report, and the images that it is worst at.

import { get } from "../base/api.js";
import { curve } from "../base/chart.js";
import { byId, fill, h } from "../base/dom.js";
import { score, words } from "../base/format.js";
import { jobView } from "../base/jobs.js";
import { failed, open, poll } from "../base/shell.js";

/** @typedef {{id: string | null, name: string, score: number}} Worst */

const name = decodeURIComponent(window.location.pathname.split("/").pop() ?? "");

/** @param {any} run */
function facts(run) {
  const pairs = [
    ["Recipe", run.recipe ?? "–"],
    ["State", `${run.state}, epoch ${run.epoch}${run.epochs ? ` of ${run.epochs}` : ""}`],
    [run.score ? words(run.score.name) : "Score", run.score ? score(run.score.value) : "–"],
  ];
  return h("dl", { class: "pairs" }, pairs.map(([key, value]) => [h("dt", {}, key), h("dd", { class: "number" }, value)]).flat());
}

/** @param {any} run */
function charts(run) {
  const columns = [run.monitor, "val_loss", "train_loss"].filter((column, i, all) => all.indexOf(column) === i);
  return columns.flatMap((column) => {
    const marks = run.history
      .filter((/** @type {any} */ row) => typeof row[column] === "number")
      .map((/** @type {any} */ row) => ({ x: row.epoch, y: row[column] }));
    return marks.length ? [h("section", { class: "card" }, curve(column, marks, column === run.monitor && run.greater_is_better))] : [];
  });
}

/** @param {Worst[]} worst */
function worstImages(worst) {
  return h("ul", { class: "images" }, worst.map((one) => {
    const inner = [
      h("span", { class: "thumb" }, one.id ? h("img", { src: `/api/1/pictures/${one.id}/pixels?size=320`, alt: "", loading: "lazy" }) : null),
      h("span", { class: "name", title: one.name }, one.name),
      h("span", { class: "facts number" }, score(one.score)),
    ];
    return h("li", {}, one.id ? h("a", { href: `/label/${one.id}` }, inner) : inner);
  }));
}

async function draw() {
  const run = await get(`runs/${encodeURIComponent(name)}`);
  const main = byId("main");
  const jobs = h("div", {});
  fill(
    main,
    h("header", {}, h("h1", {}, run.name), run.report ? h("a", { href: `/runs/${encodeURIComponent(run.name)}/report`, target: "_blank", rel: "noopener" }, "Report in a new tab") : null, h("a", { href: "/ship" }, "Ship it")),
    h("div", { class: "columns" },
      h("div", { class: "stack" }, h("section", { class: "card stack" }, facts(run)), jobs, h("section", { class: "card stack" }, h("h2", {}, "In the terminal"), Object.values(run.commands).map((command) => h("code", { class: "command" }, String(command))))),
      h("div", { class: "stack" }, charts(run)),
    ),
    run.worst.length ? h("section", { class: "stack" }, h("h2", {}, "Worst images of the validation"), h("p", { class: "faint" }, "Where the model is worst, look at the label first."), worstImages(run.worst)) : null,
  );
  if (run.job) {
    const job = await get(`jobs/${run.job}`);
    fill(jobs, jobView(job, () => void draw()).element);
  }
  return run;
}

try {
  await open();
  let shown = await draw();
  document.body.dataset.ready = "true";
  poll(async () => {
    if (shown.state !== "running") return null;
    const next = await get(`runs/${encodeURIComponent(name)}`);
    if (next.epoch !== shown.epoch || next.state !== shown.state) shown = await draw();
    return 2000;
  });
} catch (error) {
  failed(error);
  document.body.dataset.ready = "failed";
}
