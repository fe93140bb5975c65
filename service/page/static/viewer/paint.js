/**
 * A mask, sampled at the pixels of the screen: its label map and colour tables in, RGBA out. The
 * time depends on the size of the screen, not of the photo. Called by viewer.js.
 */

/** The numbers of regions on the screen, kept between calls. */
let regions = new Uint8Array(0);

/**
 * Paint `pixels` (32-bit RGBA, `width` * `height`), whose first pixel has its top left at `left`,
 * `top` in the photo, with `step` photo pixels a screen pixel, all of it inside the photo.
 * `outline` is the width of outlines in screen pixels.
 */
export function paintMask(pixels, { width, height, left, top, step, outline }, labelMap, tables) {
  if (regions.length < width * height) regions = new Uint8Array(width * height);
  fill(pixels, { width, height, left, top, step }, labelMap, tables);
  outlineRegions(pixels, { width, height, outline }, tables.edge);
}

function fill(pixels, { width, height, left, top, step }, labelMap, tables) {
  const { labels, confidence } = labelMap;
  const columns = samples(left, step, width, labelMap.width);
  const rows = samples(top, step, height, labelMap.height);
  for (let y = 0, at = 0; y < height; y++) {
    const row = rows[y] * labelMap.width;
    for (let x = 0; x < width; x++, at++) {
      const from = row + columns[x];
      const entry = (labels[from] << 8) | confidence[from];
      pixels[at] = tables.fill[entry];
      regions[at] = tables.region[entry];
    }
  }
}

/** The photo's column (or row) at the middle of each of the screen's. */
function samples(start, step, count, limit) {
  const found = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    found[i] = Math.min(Math.max(Math.floor(start + (i + 0.5) * step), 0), limit - 1);
  }
  return found;
}

/** Paint the pixels of a region that have another region near; the photo's own edge is none. */
function outlineRegions(pixels, { width, height, outline }, edge) {
  for (let y = 0, at = 0; y < height; y++) {
    const up = y < outline ? 0 : outline * width;
    const down = y + outline >= height ? 0 : outline * width;
    for (let x = 0; x < width; x++, at++) {
      const region = regions[at];
      if (region === 0) continue;
      if (
        regions[at - up] !== region || regions[at + down] !== region ||
        (x >= outline && regions[at - outline] !== region) ||
        (x + outline < width && regions[at + outline] !== region)
      ) {
        pixels[at] = edge[region];
      }
    }
  }
}
