/**
 * What a request is sent with: the API key (in memory only), the model and its longest side. Called
 * by main.js, which hears of "key" and "change".
 */

import { byId, element } from "../elements.js";

const SIDES = [256, 384, 512, 768, 1024, 1536, 2048];

export class Settings extends EventTarget {
  key = "";
  cards = [];
  #model = byId("model");
  #side = byId("max-side");

  constructor() {
    super();
    byId("key-form").addEventListener("submit", (event) => this.#takeKey(event));
    this.#model.addEventListener("change", () => {
      this.#listSides();
      this.#listClasses();
      this.#tell("change");
    });
    this.#side.addEventListener("change", () => this.#tell("change"));
  }

  /** Offer these models. The selected one stays, if it is among them. */
  offer(cards) {
    const selected = this.#model.value;
    this.cards = cards;
    this.#model.replaceChildren(...cards.map(({ name }) => element("option", { value: name }, name)));
    if (cards.some(({ name }) => name === selected)) this.#model.value = selected;
    this.#model.disabled = cards.length < 2;
    this.#listSides();
    this.#listClasses();
  }

  /** The card of the selected model, or undefined before there are any. */
  get card() {
    return this.cards.find(({ name }) => name === this.#model.value);
  }

  /** The request's options; what is the server's own choice is left out. */
  get options() {
    const options = {};
    if (this.#model.selectedIndex > 0) options.model = this.#model.value;
    if (this.#side.value) options.max_side = Number(this.#side.value);
    return options;
  }

  #listSides() {
    const { working_max_side: usual, max_side_limit: limit } = this.card;
    const selected = this.#side.value;
    const sides = SIDES.filter((side) => side <= limit && side !== usual);
    this.#side.replaceChildren(
      element("option", { value: "" }, `${usual} px (usual)`),
      ...sides.map((side) => element("option", { value: side }, `${side} px`)),
    );
    if (sides.includes(Number(selected))) this.#side.value = selected;
  }

  /** Say on the first page what may be found in a photo. */
  #listClasses() {
    const { classes, background_id: background } = this.card;
    const names = classes.filter((_, id) => id !== background);
    byId("known").textContent = `It knows ${names.length} classes: ${names.join(", ")}.`;
    byId("known").hidden = false;
  }

  #takeKey(event) {
    event.preventDefault();
    this.key = byId("key").value.trim();
    byId("key-menu").hidePopover();
    document.documentElement.toggleAttribute("data-has-key", this.key !== "");
    this.#tell("key");
  }

  #tell(type) {
    this.dispatchEvent(new Event(type));
  }
}
