/**
 * Stage times as a bar: the entries of a `Server-Timing` header in, an element out. Called by
 * panels/result.js.
 *
 * Classes: .timing (figure), .timing-total, .timing-bar with a span a stage, .timing-list (ul of
 * li: .timing-swatch, name, .timing-time). Spans and swatches have data-stage: a key of MEANINGS.
 */

import { element } from "./elements.js";

const MEANINGS = {
  read: "receiving the photo",
  admit: "checking it",
  wait: "waiting for a worker",
  decode: "decoding the photo",
  plan: "planning the batch",
  forward: "running the network",
  encode: "writing the mask",
  hold: "waiting for the batch's other photos",
  render: "making the output",
};

const SHOWN_FROM = 0.05; // milliseconds; less is written as 0.0

/** A bar whose segments are as wide as their stages took; a list has the same for screen readers. */
export function timingBar(timing) {
  const stages = timing.filter(({ milliseconds }) => milliseconds >= SHOWN_FROM);
  const bar = element("div", { class: "timing-bar", "aria-hidden": "true" }, ...stages.map(segment));
  const list = element("ul", { class: "timing-list" }, ...stages.map(entry));
  const total = stages.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const caption = element("figcaption", { class: "timing-total" }, `${inWords(total)} in the service`);
  return element("figure", { class: "timing" }, caption, bar, list);
}

function segment({ name, milliseconds }) {
  const made = element("span", { "data-stage": name, title: `${name}: ${inWords(milliseconds)}` });
  made.style.flexGrow = milliseconds;
  return made;
}

function entry({ name, milliseconds }) {
  return element("li", { title: MEANINGS[name] },
    element("span", { class: "timing-swatch", "data-stage": name, "aria-hidden": "true" }),
    `${name} `,
    element("span", { class: "timing-time" }, inWords(milliseconds)));
}

function inWords(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}
