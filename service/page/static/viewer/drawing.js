/**
 * The canvas of the stage: a photo, a label map and a viewport in, pixels out. Called by viewer.js.
 *
 * The mask is painted at the screen's resolution and for the visible part only, so that its time
 * does not depend on the photo's size; it is kept until the viewport or the tables change.
 */

import { paintMask } from "./paint.js";

const MOST_SCREEN_PIXELS = 4e6; // larger stages are drawn more coarsely
const OUTLINE = 1.5; // CSS pixels

export class Drawing {
  #canvas;
  #context;
  #mask = document.createElement("canvas");
  #painted = null; // the visible part that #mask holds
  #ratio = 1; // canvas pixels a CSS pixel

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  /** Fit the canvas to a stage of this size in CSS pixels. */
  resize(width, height) {
    this.#ratio = Math.min(devicePixelRatio, Math.sqrt(MOST_SCREEN_PIXELS / (width * height)));
    this.#canvas.width = Math.round(width * this.#ratio);
    this.#canvas.height = Math.round(height * this.#ratio);
  }

  clear() {
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** Have the mask painted anew by the next `draw`. */
  forgetMask() {
    this.#painted = null;
  }

  /** Draw the photo, and its mask from the share `maskFrom` of the stage's width on. */
  draw({ image, labelMap, viewport, tables, maskFrom }) {
    this.clear();
    const visible = this.#visible(viewport);
    if (!visible) return;
    image?.draw(this.#context, visible.part, visible);
    if (!labelMap || maskFrom >= 1) return;
    this.#painted ??= this.#paint(visible, viewport.photo, labelMap, tables);
    this.#copyMask(visible, Math.round(maskFrom * this.#canvas.width));
  }

  /** The photo's rectangle on the canvas, cut to the canvas, and which part of the photo it is. */
  #visible({ photo, scale, x, y }) {
    const ratio = this.#ratio;
    const left = Math.max(Math.round(x * ratio), 0);
    const top = Math.max(Math.round(y * ratio), 0);
    const right = Math.min(Math.round((x + photo.width * scale) * ratio), this.#canvas.width);
    const bottom = Math.min(Math.round((y + photo.height * scale) * ratio), this.#canvas.height);
    const [width, height] = [right - left, bottom - top];
    if (width < 1 || height < 1) return null;
    const [across, down] = [photo.width * scale * ratio, photo.height * scale * ratio];
    const part = {
      left: Math.max((left - x * ratio) / across, 0),
      top: Math.max((top - y * ratio) / down, 0),
      width: Math.min(width / across, 1),
      height: Math.min(height / down, 1),
    };
    return { x: left, y: top, width, height, part };
  }

  #paint({ width, height, part }, photo, labelMap, tables) {
    this.#mask.width = width;
    this.#mask.height = height;
    const context = this.#mask.getContext("2d");
    const image = context.createImageData(width, height);
    const step = (part.width * photo.width) / width;
    const [left, top] = [part.left * photo.width, part.top * photo.height];
    const outline = Math.max(1, Math.round(OUTLINE * this.#ratio));
    const pixels = new Uint32Array(image.data.buffer);
    paintMask(pixels, { width, height, left, top, step, outline }, labelMap, tables);
    context.putImageData(image, 0, 0);
    return true;
  }

  /** Copy what of the mask is right of a column of the canvas. */
  #copyMask({ x, y, width, height }, from) {
    const skipped = Math.max(from - x, 0);
    const copied = width - skipped;
    if (copied <= 0) return;
    this.#context.imageSmoothingEnabled = false;
    const source = [skipped, 0, copied, height];
    this.#context.drawImage(this.#mask, ...source, x + skipped, y, copied, height);
  }
}
