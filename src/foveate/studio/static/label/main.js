// Opens the label page of the image that the address names.

import { get, inWords, request } from "../base/api.js";
import { byId, fill, h } from "../base/dom.js";
import { Journal } from "./journal.js";
import { recover } from "./journey.js";
import { LabelPage } from "./page.js";
import { recallSteps } from "./past.js";

async function main() {
  const id = window.location.pathname.split("/").pop() ?? "";
  try {
    const [project, picture, answer, journal] = await Promise.all([
      get("project"),
      get(`pictures/${id}${window.location.search}`),
      request("GET", `pictures/${id}/labels`),
      Journal.open().catch(() => null),
    ]);
    const page = new LabelPage(project, picture, { stored: answer.body, etag: answer.etag ?? "" }, journal);
    await recover(page);
    await recallSteps(page);
    page.start();
    document.body.dataset.ready = "true";
    Object.assign(window, { foveate: page }); // for tests, and for those who look behind the page
  } catch (error) {
    fill(byId("stage"), h("div", { class: "note bad", role: "alert" }, h("p", {}, inWords(error)), h("p", {}, h("a", { href: "/" }, "Back to all images"))));
    document.body.dataset.ready = "failed";
  }
}

void main();
