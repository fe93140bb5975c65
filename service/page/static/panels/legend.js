/**
 * The classes of a photo, each with its colour, share, mean confidence and switch: a histogram and a
 * look in, list entries out. Called by main.js, which hears of "hide" (a Set of class IDs) and
 * "emphasise" (a class ID or null).
 */

import { element, percent } from "../elements.js";

export class Legend extends EventTarget {
  #list;
  #entries = new Map(); // by class ID
  #hidden = new Set();
  #background = null;

  constructor(list) {
    super();
    this.#list = list;
  }

  /** List the classes that the photo has, the largest first and the background last. */
  show(histogram, card, { hidden, threshold }) {
    this.#hidden = new Set(hidden);
    this.#background = card.background_id;
    const present = card.classes
      .map((name, id) => ({ id, name, colour: card.overlay_palette[id], ...histogram.of(id) }))
      .filter(({ pixels }) => pixels > 0)
      .sort((a, b) => isLast(a, card) - isLast(b, card) || b.pixels - a.pixels);
    this.#entries = new Map(present.map((entry) => [entry.id, this.#entry(entry)]));
    this.#list.replaceChildren(...[...this.#entries.values()].map(({ item }) => item));
    this.update(histogram, threshold);
  }

  /** Count only pixels of at least this confidence, 0 to 255. */
  update(histogram, threshold) {
    for (const [id, { share, bar, sure }] of this.#entries) {
      const counted = histogram.of(id, threshold);
      share.textContent = percent(counted.share);
      bar.style.width = `${100 * counted.share}%`;
      sure.textContent = counted.pixels ? `${percent(counted.confidence)} sure` : "no pixel so sure";
    }
  }

  /** Switch all classes off except this one. */
  showOnly(only) {
    this.#setAll((id) => id === only);
  }

  /** Switch all classes on except the background. */
  showAll() {
    this.#setAll((id) => id !== this.#background);
  }

  #entry({ id, name, colour }) {
    const rgb = `rgb(${colour.join(" ")})`;
    const bar = element("span", { class: "bar-fill" });
    const sure = element("span", { class: "sure" });
    const share = element("span", { class: "share" });
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    const input = element("input", { type: "checkbox", onchange: () => this.#toggle(id, input) });
    input.checked = !this.#hidden.has(id);
    swatch.style.background = rgb;
    if (id !== this.#background) bar.style.background = rgb; // often black: the style sheet's then
    const only = element("button", {
      type: "button", class: "only", "aria-label": `Show only ${name}`,
      onclick: () => this.showOnly(id),
    }, "only");
    const text = element("span", { class: "name" }, name);
    const label = element("label", {}, input, swatch, text, sure, share);
    const item = element("li", {
      "data-class": name,
      onpointerenter: ({ pointerType }) => pointerType === "mouse" && this.#emphasise(id),
      onpointerleave: () => this.#tell("emphasise", null),
    }, label, only, element("span", { class: "bar", "aria-hidden": "true" }, bar));
    return { item, input, share, bar, sure };
  }

  #emphasise(id) {
    this.#tell("emphasise", this.#hidden.has(id) ? null : id);
  }

  #toggle(id, input) {
    this.#set(id, input.checked);
    this.#tell("hide", new Set(this.#hidden));
  }

  #setAll(isShown) {
    for (const [id, { input }] of this.#entries) {
      input.checked = isShown(id);
      this.#set(id, input.checked);
    }
    this.#tell("hide", new Set(this.#hidden));
  }

  #set(id, isShown) {
    if (isShown) this.#hidden.delete(id);
    else this.#hidden.add(id);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function isLast({ id }, card) {
  return Number(id === card.background_id);
}
