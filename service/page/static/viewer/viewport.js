/**
 * Which part of the photo is on the stage: zoom and pan in, coordinates out. Called by viewer.js.
 *
 * Photo coordinates are in photo pixels, stage coordinates in CSS pixels from the stage's top left.
 */

const MARGIN = 20; // CSS pixels around a photo that fits
const MOST_SCALE = 40; // CSS pixels a photo pixel

export class Viewport {
  photo = { width: 1, height: 1 };
  stage = { width: 1, height: 1 };
  scale = 1; // CSS pixels a photo pixel
  x = 0; // the stage coordinates of the photo's top left
  y = 0;
  #follows = true; // fits again whenever the stage changes

  setPhoto(width, height) {
    const same = width === this.photo.width && height === this.photo.height;
    this.photo = { width, height };
    if (!same) this.fit();
  }

  setStage(width, height) {
    const middle = this.toPhoto(this.stage.width / 2, this.stage.height / 2);
    this.stage = { width, height };
    if (this.#follows) this.fit();
    else this.moveTo(middle.x, middle.y, width / 2, height / 2);
  }

  get fitScale() {
    const { photo, stage } = this;
    const margin = Math.min(MARGIN, stage.width / 20);
    const across = Math.max(stage.width - 2 * margin, 1) / photo.width;
    const down = Math.max(stage.height - 2 * margin, 1) / photo.height;
    return Math.min(across, down, MOST_SCALE);
  }

  get isFit() {
    return this.#follows;
  }

  fit() {
    this.#follows = true;
    this.scale = this.fitScale;
    this.#clamp();
  }

  /** Zoom by a factor; the photo's point below these stage coordinates stays where it is. */
  zoomBy(factor, stageX = this.stage.width / 2, stageY = this.stage.height / 2) {
    const point = this.toPhoto(stageX, stageY);
    const wanted = this.scale * factor;
    if (wanted <= this.fitScale * 1.001) return this.fit();
    this.#follows = false;
    this.scale = Math.min(wanted, MOST_SCALE);
    this.moveTo(point.x, point.y, stageX, stageY);
  }

  panBy(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#clamp();
  }

  /** Bring a point of the photo to these stage coordinates, as far as the photo's edges allow. */
  moveTo(photoX, photoY, stageX, stageY) {
    this.x = stageX - photoX * this.scale;
    this.y = stageY - photoY * this.scale;
    this.#clamp();
  }

  /** Pan as little as brings the point into view. */
  reveal(photoX, photoY) {
    const { x, y } = this.toStage(photoX, photoY);
    const inset = 48;
    const inside = (value, size) => Math.min(Math.max(value, inset), size - inset);
    this.panBy(inside(x, this.stage.width) - x, inside(y, this.stage.height) - y);
  }

  toPhoto(stageX, stageY) {
    return { x: (stageX - this.x) / this.scale, y: (stageY - this.y) / this.scale };
  }

  toStage(photoX, photoY) {
    return { x: photoX * this.scale + this.x, y: photoY * this.scale + this.y };
  }

  /** The photo pixel at these stage coordinates, or null outside the photo. */
  pixelAt(stageX, stageY) {
    const point = this.toPhoto(stageX, stageY);
    const x = Math.floor(point.x);
    const y = Math.floor(point.y);
    const inside = x >= 0 && y >= 0 && x < this.photo.width && y < this.photo.height;
    return inside ? { x, y } : null;
  }

  /** A photo smaller than the stage is centred; a larger one leaves no gap beyond the margin. */
  #clamp() {
    this.x = clamped(this.x, this.photo.width * this.scale, this.stage.width);
    this.y = clamped(this.y, this.photo.height * this.scale, this.stage.height);
  }
}

function clamped(start, length, room) {
  if (length <= room) return (room - length) / 2;
  const margin = Math.min(MARGIN, room / 20);
  return Math.min(Math.max(start, room - length - margin), margin);
}
