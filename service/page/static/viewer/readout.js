/**
 * What is under the crosshair or pointer: a pixel and its label map in, text beside it out. Called
 * by viewer.js. What the keyboard reaches is announced to screen readers too.
 */

import { byId } from "../elements.js";

const ANNOUNCE_AFTER_MS = 250; // so that a held key is one announcement
const GAP = 14; // CSS pixels between the pixel and the text

export class Readout {
  #tip = byId("tip");
  #crosshair = byId("crosshair");
  #live = byId("tip-live");
  #timer = 0;

  /** Describe the photo pixel `probe`, {x, y, isKey}, which is at `at` on a stage of this size. */
  show({ probe, at, stage, labelMap, card, look }) {
    const found = describe(probe, labelMap, card, look);
    const place = `x ${probe.x}, y ${probe.y}`;
    byId("tip-swatch").style.background = `rgb(${found.colour})`;
    byId("tip-class").textContent = found.name;
    byId("tip-confidence").textContent = found.sure;
    byId("tip-note").textContent = found.note;
    byId("tip-place").textContent = place;
    this.#tip.hidden = false;
    this.#crosshair.hidden = !probe.isKey;
    this.#place(at, stage);
    if (probe.isKey) this.#announce(`${found.name} ${found.sure} ${found.note}, ${place}`);
  }

  hide() {
    this.#tip.hidden = true;
    this.#crosshair.hidden = true;
  }

  #place(at, stage) {
    const { offsetWidth: width, offsetHeight: height } = this.#tip;
    const left = at.x + GAP + width > stage.width ? at.x - GAP - width : at.x + GAP;
    const top = at.y + GAP + height > stage.height ? at.y - GAP - height : at.y + GAP;
    this.#tip.style.transform = `translate(${Math.max(left, 4)}px, ${Math.max(top, 4)}px)`;
    this.#crosshair.style.transform = `translate(${at.x}px, ${at.y}px)`;
  }

  #announce(text) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { this.#live.textContent = text; }, ANNOUNCE_AFTER_MS);
  }
}

/** {name, colour, sure, note} of a pixel; the note says why its class is not painted there. */
function describe({ x, y }, labelMap, card, look) {
  const at = y * labelMap.width + x;
  const label = labelMap.labels[at];
  const confidence = labelMap.confidence[at];
  const isUnsure = confidence < look.threshold;
  return {
    name: card.classes[label] ?? "no class",
    colour: (card.overlay_palette[label] ?? [128, 128, 128]).join(" "),
    sure: inPercent(confidence / 255),
    note: isUnsure ? "below the threshold" : "",
  };
}

/** The network is never certain: 100 % would be a rounded number. */
function inPercent(confidence) {
  return confidence > 0.99 ? "> 99 %" : `${Math.round(100 * confidence)} %`;
}
