/**
 * Label maps: the samples of a PNG in, class IDs and confidences out. Called by viewer/reading.js.
 */

/**
 * {width, height, labels, confidence}: two Uint8Arrays with a byte a pixel, row by row, of class IDs
 * and of probability times 255. A PNG without confidences is sure of every pixel.
 */
export function labelMapOf({ width, height, channels, samples }) {
  const size = width * height;
  if (channels === 1) {
    return { width, height, labels: samples, confidence: new Uint8Array(size).fill(255) };
  }
  const labels = new Uint8Array(size);
  const confidence = new Uint8Array(size);
  for (let pixel = 0; pixel < size; pixel++) {
    labels[pixel] = samples[2 * pixel];
    confidence[pixel] = samples[2 * pixel + 1];
  }
  return { width, height, labels, confidence };
}
