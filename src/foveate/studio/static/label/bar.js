// The bar of the label page, and the zoom below: buttons for what keys do, too.

import { byId, fill, h, icon } from "../base/dom.js";
import { iconButton } from "./chrome.js";
import { showKeys } from "./dialogs.js";
import { finish, leave, toGallery } from "./journey.js";

/** @param {import("./page.js").LabelPage} page */
export function drawBar(page) {
  const { picture, keys, project } = page;
  fill(byId("back"), icon("eye"), h("span", {}, project.name));
  byId("back").setAttribute("aria-label", `${project.name}: all images`);
  byId("back").setAttribute("href", `/${window.location.search}`);
  byId("back").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab or window of its own
    event.preventDefault();
    void toGallery(page);
  });
  const go = (/** @type {string | null} */ id, /** @type {string} */ drawing, /** @type {string} */ text, /** @type {string} */ action) => {
    const button = iconButton(drawing, text, keys.of(action), () => void leave(page, id));
    button.disabled = id === null;
    return button;
  };
  fill(byId("pager"), go(picture.previous, "left", "Previous image", "previous"), go(picture.next, "right", "Next image", "next"));
  fill(byId("steps"), iconButton("undo", "Undo", keys.of("undo"), () => page.undo()), iconButton("redo", "Redo", keys.of("redo"), () => page.redo()), iconButton("keys", "All keys", keys.of("help"), () => showKeys(page)));
  fill(
    byId("finish"),
    h("button", { type: "button", id: "skip", title: `Skip (${keys.of("skip")[0]})`, onclick: () => void page.skipOrReopen() }, "Skip"),
    h("button", { type: "button", class: "main", id: "done", title: `Done and next (${keys.of("done")[0]})`, onclick: () => void finish(page, "done") }, "Done"),
  );
  fill(
    byId("zoom"),
    h("button", { type: "button", class: "plain number", id: "scale", title: "Zoom in and out with the wheel, + and -", onclick: () => page.zoom(0) }, ""),
    iconButton("fit", "Show the whole image", keys.of("fit"), () => page.zoom(0)),
  );
}
