// Every key, and what can be changed.

import { byId, fill, h } from "../base/dom.js";
import { KeyMap } from "../base/keymap.js";
import { failed, open } from "../base/shell.js";
import { keyTable } from "./keytable.js";

try {
  await open();
  const keys = new KeyMap(window.localStorage);
  const draw = () => {
    const reset = h("button", { type: "button", onclick: () => {
      keys.reset();
      draw();
    } }, "Back to the usual keys");
    fill(
      byId("main"),
      h("header", {}, h("h1", {}, "Keys"), h("p", {}, "All of labelling can be done by keys. Changed keys are kept in this browser. Ctrl+W, Ctrl+N and Ctrl+T are left to it."), reset),
      keyTable(keys, true),
      h("section", { class: "stack" },
        h("h2", {}, "With the pointer"),
        h("ul", { class: "stack" }, [
          "The wheel zooms at the pointer, from 5 % to 3200 %; the middle button or Space and dragging move the image, in every tool.",
          "Polygon: click the corners, hold Shift and drag to trace. A click on the first corner or a double click closes it. It stays an outline whose corners can be moved, until something is painted over it.",
          "Box-cut: after the box, a click adds to the region, a right click or Alt and a click take away from it.",
          "Scribble-fill: what lies between scribbles of different classes is divided along the edges of the image. A scribble with Alt says what stays undecided.",
          "Pre-labels are hatched. A double click with Select takes one region. What is painted by hand is never replaced by them.",
          "On a touch screen one finger draws and two move and zoom.",
        ].map((text) => h("li", {}, text))),
      ),
    );
  };
  draw();
  document.body.dataset.ready = "true";
} catch (error) {
  failed(error);
  document.body.dataset.ready = "failed";
}
