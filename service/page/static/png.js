/**
 * PNGs of label maps: the bytes of a file in, its samples out. Called by viewer/reading.js.
 *
 * Reading the pixels of a canvas would give other numbers: a canvas multiplies grey levels by their
 * alpha. 8 bits a sample, grey, grey+alpha or indexed (the samples are the indices), not interlaced.
 * Chapter numbers are those of https://www.w3.org/TR/png-3/.
 */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = { 0: 1, 3: 1, 4: 2 }; // by colour type, 6.1: grey, indexed, grey+alpha
const [NONE, SUB, UP, AVERAGE, PAETH] = [0, 1, 2, 3, 4]; // row filters, 9.2

/**
 * Decode a PNG into {width, height, channels, samples}; the samples of a pixel are side by side.
 * Throws an Error that says what is wrong with the file.
 */
export async function decodePng(arrayBuffer) {
  const chunks = readChunks(new Uint8Array(arrayBuffer));
  const header = readHeader(chunks);
  const rowBytes = header.width * header.channels;
  const data = chunks.filter(({ type }) => type === "IDAT").map(({ content }) => content);
  const rows = await inflate(data, header.height * (1 + rowBytes));
  return { ...header, samples: unfilter(rows, rowBytes, header.channels) };
}

/** The chunks of a file, up to its end chunk (5.3). */
function readChunks(bytes) {
  if (!SIGNATURE.every((byte, at) => bytes[at] === byte)) throw new Error("this is not a PNG");
  const view = new DataView(bytes.buffer);
  const chunks = [];
  let start = SIGNATURE.length;
  while (chunks.at(-1)?.type !== "IEND") {
    if (start + 12 > bytes.length) throw new Error("the PNG is cut short");
    const end = start + 12 + view.getUint32(start);
    if (end > bytes.length) throw new Error("the PNG is cut short");
    const type = String.fromCharCode(...bytes.subarray(start + 4, start + 8));
    chunks.push({ type, content: bytes.subarray(start + 8, end - 4) });
    start = end;
  }
  return chunks;
}

/** {width, height, channels} of the header chunk (11.2.1). */
function readHeader([{ type, content }]) {
  if (type !== "IHDR" || content.length !== 13) throw new Error("the PNG has no header");
  const view = new DataView(content.buffer, content.byteOffset);
  const [depth, colourType, , , interlace] = content.subarray(8);
  const channels = CHANNELS[colourType];
  if (depth !== 8 || !channels || interlace) {
    throw new Error(
      `the PNG has ${depth} bits a sample, colour type ${colourType} and interlacing ${interlace}; ` +
        "a label map has 8 bits, type 0, 3 or 4, and none",
    );
  }
  return { width: view.getUint32(0), height: view.getUint32(4), channels };
}

/** Decompress the parts of a zlib stream into exactly `size` bytes. */
async function inflate(parts, size) {
  const all = new Uint8Array(size);
  let filled = 0;
  try {
    const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    for (let reader = stream.getReader(), part; !(part = await reader.read()).done; ) {
      if (filled + part.value.length > size) throw new Error("more data than pixels");
      all.set(part.value, filled);
      filled += part.value.length;
    }
  } catch (error) {
    throw new Error(`the PNG's pixels cannot be decompressed: ${error.message}`);
  }
  if (filled !== size) throw new Error("the PNG has fewer pixels than its header says");
  return all;
}

/** Undo the filters: rows with their filter's number first in, samples out (9.2). */
function unfilter(rows, rowBytes, channels) {
  const height = rows.length / (1 + rowBytes);
  const samples = new Uint8Array(height * rowBytes);
  let above = new Uint8Array(rowBytes); // zeros above the first row
  for (let y = 0; y < height; y++) {
    const start = y * (1 + rowBytes);
    const row = samples.subarray(y * rowBytes, (y + 1) * rowBytes);
    row.set(rows.subarray(start + 1, start + 1 + rowBytes));
    unfilterRow(rows[start], row, above, channels);
    above = row;
  }
  return samples;
}

/** Undo a row's filter in place; `step` is the distance to the pixel on the left. */
function unfilterRow(filter, row, above, step) {
  if (filter === NONE) return;
  if (filter === SUB) for (let x = step; x < row.length; x++) row[x] += row[x - step];
  else if (filter === UP) for (let x = 0; x < row.length; x++) row[x] += above[x];
  else if (filter === AVERAGE) unfilterAverage(row, above, step);
  else if (filter === PAETH) unfilterPaeth(row, above, step);
  else throw new Error(`the PNG has a row with the unknown filter ${filter}`);
}

function unfilterAverage(row, above, step) {
  for (let x = 0; x < row.length; x++) {
    const left = x < step ? 0 : row[x - step];
    row[x] += (left + above[x]) >> 1;
  }
}

function unfilterPaeth(row, above, step) {
  for (let x = 0; x < row.length; x++) {
    const [left, corner] = x < step ? [0, 0] : [row[x - step], above[x - step]];
    row[x] += paeth(left, above[x], corner);
  }
}

/** The neighbour that is nearest to left + above - corner (9.4). */
function paeth(left, above, corner) {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}
