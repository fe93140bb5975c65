/**
 * Mouse, fingers and keys on the stage: events in, calls of the handler out. Called by viewer.js.
 *
 * The handler has zoomBy(factor, x, y), zoomIn(x, y), panBy(dx, dy), fit(), point(x, y), leave(),
 * step(dx, dy, isFine), showBare(isBare), in CSS pixels of the stage.
 */

const WHEEL_STEP = 0.0016; // of the logarithm of the scale, a pixel that the wheel reports
const WHEEL_LINE = 24; // pixels of a line, where the wheel reports lines
const KEY_ZOOM = 1.4;
const TAP = 6; // CSS pixels that a finger may move in a tap
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function listen(stage, surface, handler) {
  listenToPointers(surface, handler);
  surface.addEventListener("wheel", (event) => {
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode ? WHEEL_LINE : 1) * (event.ctrlKey ? 4 : 1);
    handler.zoomBy(Math.exp(-delta * WHEEL_STEP), event.offsetX, event.offsetY);
  }, { passive: false });
  surface.addEventListener("dblclick", (event) => handler.zoomIn(event.offsetX, event.offsetY));
  stage.addEventListener("keydown", (event) => {
    if (event.target === stage && press(event, handler)) event.preventDefault();
  });
  stage.addEventListener("keyup", (event) => event.key === " " && handler.showBare(false));
  stage.addEventListener("blur", () => handler.showBare(false));
}

/** Act on a key; returns whether it has a meaning here. */
function press(event, handler) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const keys = {
    "+": () => handler.zoomBy(KEY_ZOOM),
    "=": () => handler.zoomBy(KEY_ZOOM),
    "-": () => handler.zoomBy(1 / KEY_ZOOM),
    "0": () => handler.fit(),
    " ": () => handler.showBare(true),
    Escape: () => handler.leave(),
  };
  const arrow = ARROWS[event.key];
  if (arrow) handler.step(...arrow, event.shiftKey);
  else if (event.key in keys) keys[event.key]();
  else return false;
  return true;
}

/** One pointer pans, two zoom about their middle, one that hovers or taps points. */
function listenToPointers(surface, handler) {
  const down = new Map(); // by pointer ID: the last event
  let moved = 0;
  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    if (down.size === 0) moved = 0;
    down.set(event.pointerId, event);
  });
  surface.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return handler.point(event.offsetX, event.offsetY);
    moved += Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
    if (down.size === 2) pinch(down, event, handler);
    else if (moved > TAP) handler.panBy(event.clientX - before.clientX, event.clientY - before.clientY);
    down.set(event.pointerId, event);
  });
  const lift = (event) => {
    const wasTap = down.delete(event.pointerId) && down.size === 0 && moved <= TAP;
    if (wasTap && event.type === "pointerup") handler.point(event.offsetX, event.offsetY);
  };
  surface.addEventListener("pointerup", lift);
  surface.addEventListener("pointercancel", lift);
  surface.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") handler.leave();
  });
}

/** Zoom by the change of distance between two pointers, and pan by that of their middle. */
function pinch(down, event, handler) {
  const before = down.get(event.pointerId);
  const [other] = [...down.values()].filter((one) => one.pointerId !== event.pointerId);
  const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  handler.panBy((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
  const middle = [(event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2];
  handler.zoomBy(distance(event) / Math.max(distance(before), 1), ...middle);
}
