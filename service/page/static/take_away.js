/**
 * Files to save: a photo and options in, buttons out; each has the service make its file. Called by
 * panels/result.js.
 *
 * Classes: .take-away; in it .buttons, .take-away-note and .take-away-status (role status).
 */

import { element } from "./elements.js";
import { problemView } from "./problem_view.js";

const FILES = [
  { text: "Mask PNG", output: "mask", suffix: ".mask.png" },
  { text: "Overlay", output: "overlay", suffix: ".overlay.png" },
  { text: "RLE", output: "rle", suffix: ".rle.json" },
  { text: "GeoJSON", output: "polygons", suffix: ".geojson" },
];
const NOTE = "Made by the service of the classes that are switched on. The threshold does not apply.";
const REVOKE_MILLISECONDS = 60_000; // by then a download has begun

/** Buttons for the files of a photo (a File) that the API makes of it with these options. */
export function takeAway({ api, photo, options }) {
  const status = element("div", { class: "take-away-status", role: "status" });
  const buttons = FILES.map((file) => {
    const button = element("button", { type: "button", "data-output": file.output }, file.text);
    button.addEventListener("click", () => take(button, status, { api, photo, options }, file));
    return button;
  });
  return element("div", { class: "take-away" },
    element("div", { class: "buttons" }, ...buttons),
    element("p", { class: "take-away-note" }, NOTE),
    status);
}

/** The options of a request for an output: an opacity is sent for overlays only. */
export function optionsFor(output, { alpha, ...options }) {
  return { ...options, ...(output === "overlay" && { alpha }), output };
}

async function take(button, status, { api, photo, options }, { output, suffix }) {
  button.disabled = true;
  status.textContent = "";
  try {
    const { body, type } = await api.segment(photo, optionsFor(output, options));
    const name = stemOf(photo.name) + suffix;
    save(new Blob([body], { type }), name);
    status.textContent = `Saved ${name}.`;
  } catch (problem) {
    status.replaceChildren(problemView(problem));
  } finally {
    button.disabled = false;
  }
}

/** A file's name without the end that names its type. */
export function stemOf(name) {
  return name.replace(/\.[A-Za-z0-9]{1,5}$/, "") || "photo";
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_MILLISECONDS);
}
