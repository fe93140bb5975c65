/**
 * How a mask is painted: what the visitor chose in, colour tables out. Called by viewer.js.
 *
 * A look is {mode, opacity, threshold, hidden, emphasised}: "colour", "outline" or "certainty";
 * 0 to 1; 0 to 255; the IDs of the classes that are switched off (a Set); the ID of the class that
 * stands out while its legend entry is pointed at, or null.
 */

const LABELS = 256;
const OUTLINE_OPACITY = 2; // in that of the fill, as the service's own overlays have it
const FADED = 0.3; // opacity of classes beside the emphasised one
// viridis of matplotlib, from unsure to sure; style.css paints the same scale
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/**
 * Return {fill, region, edge}: RGBA by label * 256 + confidence (0: unpainted); a number for each
 * region, by the same index (0: none); RGBA of an outline by that number.
 */
export function tablesOf(look, palette) {
  const fill = new Uint32Array(LABELS * 256);
  const region = new Uint8Array(LABELS * 256);
  const edge = new Uint32Array(LABELS);
  palette.forEach((colour, label) => {
    if (look.hidden.has(label)) return;
    const opacity = look.opacity * fading(look, label);
    const outline = look.mode === "outline" ? fading(look, label) : OUTLINE_OPACITY * opacity;
    edge[label + 1] = rgba(colour, Math.min(outline, 1));
    for (let confidence = look.threshold; confidence < 256; confidence++) {
      region[label * 256 + confidence] = label + 1;
      fill[label * 256 + confidence] = filling(look, colour, confidence, opacity);
    }
  });
  return { fill, region, edge };
}

function fading(look, label) {
  return look.emphasised === null || look.emphasised === label ? 1 : FADED;
}

function filling(look, colour, confidence, opacity) {
  if (look.mode === "outline") return 0;
  return rgba(look.mode === "certainty" ? rampAt(confidence / 255) : colour, opacity);
}

/** The colour of a confidence of 0 to 1. */
function rampAt(confidence) {
  const at = confidence * (RAMP.length - 1);
  const below = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[below].map((value, i) => value + (RAMP[below + 1][i] - value) * (at - below));
}

/** As ImageData has it, read as little-endian 32-bit numbers. */
function rgba([red, green, blue], opacity) {
  return ((Math.round(255 * opacity) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
