/**
 * The stage: a photo, its label map and a look in, what the visitor sees and does there out. Called
 * by main.js. It draws at most once a frame; its event "zoom" has the scale.
 */

import { Divider } from "./divider.js";
import { Drawing } from "./drawing.js";
import { listen } from "./gestures.js";
import { tablesOf } from "./look.js";
import { Readout } from "./readout.js";
import { Viewport } from "./viewport.js";

const KEY_STEP = 12; // CSS pixels an arrow key, without Shift

export class Viewer extends EventTarget {
  #stage;
  #drawing;
  #viewport = new Viewport();
  #readout = new Readout();
  #divider;
  #shown = null; // {image, labelMap, card}
  #look = null;
  #tables = null;
  #isBare = false;
  #probe = null; // {x, y, isKey}: the photo pixel that the readout describes, by key or pointer
  #frame = 0;

  constructor(stage, canvas, divider) {
    super();
    this.#stage = stage;
    this.#drawing = new Drawing(canvas);
    this.#divider = new Divider(divider, () => this.#draw());
    listen(stage, canvas, this);
    new ResizeObserver(() => this.#resize()).observe(stage);
  }

  /** Show {image, labelMap, card}: `image` null where the browser cannot decode the photo,
   * `labelMap` undefined before there is one; null instead of all: nothing.
   */
  show(shown) {
    this.#shown = shown;
    const size = shown && (shown.labelMap ?? shown.image);
    if (size) this.#viewport.setPhoto(size.width, size.height);
    if (size) document.documentElement.style.setProperty("--aspect", size.width / size.height);
    if (!shown?.labelMap) this.#probe = null;
    this.#setTables();
    this.#change();
  }

  setLook(look) {
    this.#look = look;
    this.#setTables();
    this.#change();
  }

  showDivider(isShown) {
    this.#divider.show(isShown);
  }

  zoomBy(factor, x, y) {
    this.#viewport.zoomBy(factor, x, y);
    this.#change();
  }

  zoomIn(x, y) {
    if (this.#viewport.isFit) this.zoomBy(3, x, y);
    else this.fit();
  }

  panBy(dx, dy) {
    this.#viewport.panBy(dx, dy);
    this.#change();
  }

  fit() {
    this.#viewport.fit();
    this.#change();
  }

  showBare(isBare) {
    this.#isBare = isBare;
    this.#draw();
  }

  /** Describe what is at these stage coordinates. */
  point(x, y) {
    const pixel = this.#shown?.labelMap && this.#viewport.pixelAt(x, y);
    this.#probe = pixel ? { ...pixel, isKey: false } : null;
    this.#describe();
  }

  leave() {
    this.#probe = null;
    this.#describe();
  }

  /** Move the crosshair with the keyboard, and the photo with it. */
  step(dx, dy, isFine) {
    if (!this.#shown?.labelMap) return;
    const { photo, scale } = this.#viewport;
    const step = isFine ? 1 : Math.max(1, Math.round(KEY_STEP / scale));
    const from = this.#probe ?? { x: photo.width >> 1, y: photo.height >> 1 };
    const inside = (value, limit) => Math.min(Math.max(value, 0), limit - 1);
    const x = inside(from.x + dx * step, photo.width);
    const y = inside(from.y + dy * step, photo.height);
    this.#probe = { x, y, isKey: true };
    if (!this.#viewport.isFit) this.#viewport.reveal(x, y);
    this.#change();
  }

  #setTables() {
    if (this.#look && this.#shown?.card) {
      this.#tables = tablesOf(this.#look, this.#shown.card.overlay_palette);
    }
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#stage;
    if (!width || !height) return;
    this.#drawing.resize(width, height);
    this.#viewport.setStage(width, height);
    this.#change();
  }

  /** Paint the mask anew in the next frame. */
  #change() {
    this.#drawing.forgetMask();
    this.#stage.dataset.zoomed = String(!this.#viewport.isFit);
    this.dispatchEvent(new CustomEvent("zoom", { detail: this.#viewport.scale }));
    this.#describe();
    this.#draw();
  }

  #describe() {
    if (!this.#probe) return this.#readout.hide();
    const { stage } = this.#viewport;
    const at = this.#viewport.toStage(this.#probe.x + 0.5, this.#probe.y + 0.5);
    this.#readout.show({ ...this.#shown, probe: this.#probe, at, stage, look: this.#look });
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    if (!this.#shown) return this.#drawing.clear();
    const maskFrom = this.#isBare ? 1 : this.#divider.isShown ? this.#divider.position : 0;
    const { image, labelMap } = this.#shown;
    const [viewport, tables] = [this.#viewport, this.#tables];
    this.#drawing.draw({ image, labelMap, viewport, tables, maskFrom });
  }
}
