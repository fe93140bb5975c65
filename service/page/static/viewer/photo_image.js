/**
 * A photo's pixels in several sizes, so that a large one is drawn as quickly as a small one: a file
 * in, drawings out. Called by main.js (reading) and viewer.js (drawing).
 */

const SMALLEST_SIDE = 1024; // of the longest side: no smaller size is made
const SHARP_FROM = 6; // screen pixels a photo pixel: single pixels are what one wants to see then

export class PhotoImage {
  #sizes; // ImageBitmaps, each of half the width of the one before

  constructor(sizes) {
    this.#sizes = sizes;
  }

  /** Decode a file, turned as its EXIF data says; null where the browser cannot. */
  static async read(blob) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob);
    } catch {
      return null;
    }
    const sizes = [bitmap];
    while (Math.max(sizes.at(-1).width, sizes.at(-1).height) > 2 * SMALLEST_SIDE) {
      sizes.push(await half(sizes.at(-1)));
    }
    return new PhotoImage(sizes);
  }

  get width() {
    return this.#sizes[0].width;
  }

  get height() {
    return this.#sizes[0].height;
  }

  /**
   * Draw a part of the photo, given as shares of its width and height, into a rectangle of a
   * canvas, in the canvas's own pixels.
   */
  draw(context, part, { x, y, width, height }) {
    const wanted = width / part.width; // the whole photo's width at this size
    const size = this.#sizes.findLast((candidate) => candidate.width >= wanted) ?? this.#sizes[0];
    context.imageSmoothingEnabled = wanted < SHARP_FROM * size.width;
    context.imageSmoothingQuality = "medium";
    context.drawImage(
      size,
      part.left * size.width, part.top * size.height,
      part.width * size.width, part.height * size.height,
      x, y, width, height,
    );
  }

  close() {
    this.#sizes.forEach((size) => size.close());
  }
}

function half(bitmap) {
  return createImageBitmap(bitmap, {
    resizeWidth: Math.ceil(bitmap.width / 2),
    resizeHeight: Math.ceil(bitmap.height / 2),
    resizeQuality: "medium",
  });
}
