/**
 * The controls of how a mask is painted: radio buttons, sliders and buttons in, a look
 * (viewer/look.js) out. Called by main.js, which hears of "change" and, once a slider is let go, "settle".
 */

import { byId } from "../elements.js";

export class LookControls extends EventTarget {
  look = { mode: "colour", opacity: 0.4, threshold: 0, hidden: new Set(), emphasised: null };
  #viewer;
  #card = null;

  constructor(viewer) {
    super();
    this.#viewer = viewer;
    for (const radio of document.querySelectorAll("input[name=mode]")) {
      radio.addEventListener("change", () => this.set({ mode: radio.value }));
    }
    this.#slide("opacity", (value) => this.set({ opacity: value / 100 }));
    this.#slide("threshold", (value) => this.set({ threshold: Math.ceil((255 * value) / 100) }));
    this.#listenToToolbar();
    viewer.setLook(this.look);
  }

  set(fields) {
    this.look = { ...this.look, ...fields };
    document.documentElement.dataset.mode = this.look.mode;
    this.#viewer.setLook(this.look);
    this.dispatchEvent(new Event("change"));
  }

  /** Hide the background of this model, unless the visitor has chosen for this model already. */
  setCard(card) {
    const isSame = this.#card?.name === card.name;
    this.#card = card;
    if (!isSame) this.set({ hidden: new Set([card.background_id]), emphasised: null });
  }

  /** A slider of per cents, and the text beside it. */
  #slide(id, take) {
    const slider = byId(id);
    slider.addEventListener("input", () => {
      byId(`${id}-value`).textContent = `${slider.value} %`;
      take(slider.valueAsNumber);
    });
    slider.addEventListener("change", () => this.dispatchEvent(new Event("settle")));
  }

  #listenToToolbar() {
    const viewer = this.#viewer;
    byId("zoom-in").addEventListener("click", () => viewer.zoomBy(1.5));
    byId("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / 1.5));
    byId("fit").addEventListener("click", () => viewer.fit());
    this.#toggle("divide", (isPressed) => viewer.showDivider(isPressed));
    this.#toggle("bare", (isPressed) => viewer.showBare(isPressed));
    viewer.addEventListener("zoom", ({ detail: scale }) => {
      byId("zoom").textContent = `${Math.round(100 * scale)} %`;
    });
  }

  #toggle(id, take) {
    const button = byId(id);
    button.addEventListener("click", () => {
      const isPressed = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isPressed));
      take(isPressed);
    });
  }
}
