// Jobs of the studio: their progress, and buttons that stop and resume them.

import { inWords, post } from "./api.js";
import { say } from "./dialog.js";
import { h } from "./dom.js";
import { duration, score, words } from "./format.js";

/**
 * @typedef {object} Progress
 * @property {number | null} share
 * @property {string} text
 * @property {number | null} seconds_left
 * @property {number} [epoch]
 * @property {number} [epochs]
 * @property {number} [loss]
 * @property {{epoch: number, score: string, value: number} | null} [best]
 */
/**
 * @typedef {object} Job
 * @property {string} id
 * @property {"train" | "prelabel" | "export"} kind
 * @property {"running" | "done" | "stopped" | "failed" | "lost"} state
 * @property {string} run
 * @property {string} command
 * @property {number} started
 * @property {number | null} ended
 * @property {string | null} message
 * @property {Progress | null} progress
 * @property {any} result
 */

const NOUNS = { train: "Training", prelabel: "Pre-labels", export: "Export" };
const STATES = { running: "running", done: "finished", stopped: "stopped", failed: "failed", lost: "was ended from outside" };

/**
 * Draw a job; one element is drawn again and again, so that its buttons keep the focus.
 * @param {Job} job
 * @param {() => void} changed called after it was stopped or resumed
 */
export function jobView(job, changed) {
  const title = h("h2", {});
  const bar = h("span", {});
  const meter = h("div", { class: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": NOUNS[job.kind] }, bar);
  const text = h("p", { class: "number", role: "status" });
  const best = h("p", { class: "faint number" });
  const problem = h("p", { class: "problem" });
  const command = h("code", { class: "command" });
  const act = async (/** @type {() => Promise<unknown>} */ work) => {
    try {
      await work();
      changed();
    } catch (error) {
      say(inWords(error), "bad");
    }
  };
  const stop = h("button", { type: "button", onclick: () => act(() => post(`jobs/${job.id}/stop`)) }, "Stop");
  const resume = h("button", { type: "button", onclick: () => act(() => post("jobs", { kind: "train", resume: job.run })) }, "Resume");
  const link = h("a", {}, "Curve, report and worst images");
  const element = h("section", { class: "card stack", "data-job": job.kind }, title, meter, text, best, problem, h("div", { class: "group" }, stop, resume, link), command);
  /** @param {Job} next */
  const update = (next) => {
    job = next;
    const { progress, state } = next;
    title.textContent = `${NOUNS[next.kind]}${next.run ? ` · ${next.run}` : ""}`;
    const share = state === "done" ? 1 : (progress?.share ?? null);
    bar.style.width = `${100 * (share ?? 0)}%`;
    if (share === null) meter.removeAttribute("aria-valuenow");
    else meter.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const left = state === "running" && typeof progress?.seconds_left === "number" ? `, about ${duration(progress.seconds_left)} left` : "";
    const running = progress?.text ? `${progress.text}${left}` : "starting …";
    const spoken = state === "running" ? running : `${STATES[state]}${progress?.text ? `: ${progress.text}` : ""}`;
    if (text.textContent !== spoken) text.textContent = spoken;
    const found = progress?.best;
    best.textContent = found ? `best ${words(found.score)} ${score(found.value)}, epoch ${found.epoch}` : "";
    problem.textContent = state === "failed" || state === "lost" ? (next.message ?? "") : "";
    command.textContent = next.command;
    stop.hidden = state !== "running";
    resume.hidden = next.kind !== "train" || state === "running" || state === "done";
    link.hidden = next.kind !== "train";
    link.setAttribute("href", `/runs/${encodeURIComponent(next.run)}`);
  };
  update(job);
  return { element, update };
}
