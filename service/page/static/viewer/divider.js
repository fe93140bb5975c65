/**
 * The divider between the bare photo (left) and its mask (right): a slider that is dragged with a
 * pointer or moved with the keyboard. Called by viewer.js.
 */

const STEP = 0.02; // of the stage's width a key press
const STEPS = { ArrowLeft: -STEP, ArrowRight: STEP, PageDown: -5 * STEP, PageUp: 5 * STEP };

export class Divider {
  position = 0.5; // share of the stage's width
  #handle;
  #onMove;

  constructor(handle, onMove) {
    this.#handle = handle;
    this.#onMove = onMove;
    handle.addEventListener("keydown", (event) => this.#press(event));
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) this.#drag(event);
    });
  }

  get isShown() {
    return !this.#handle.hidden;
  }

  show(isShown) {
    this.#handle.hidden = !isShown;
    this.moveTo(this.position);
  }

  moveTo(position) {
    this.position = Math.min(Math.max(position, 0), 1);
    const value = Math.round(100 * this.position);
    this.#handle.style.left = `${100 * this.position}%`;
    this.#handle.setAttribute("aria-valuenow", value);
    this.#handle.setAttribute("aria-valuetext", `photo ${value} %, mask ${100 - value} %`);
    this.#onMove();
  }

  #drag(event) {
    const stage = this.#handle.parentElement.getBoundingClientRect();
    this.moveTo((event.clientX - stage.left) / stage.width);
  }

  #press(event) {
    const ends = { Home: 0, End: 1 };
    if (event.key in ends) this.moveTo(ends[event.key]);
    else if (event.key in STEPS) this.moveTo(this.position + STEPS[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
