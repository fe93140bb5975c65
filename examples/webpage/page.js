// Draws the regions of a photo over it, as SVG: sharp at any zoom, and each knows its class.

import { segment } from "./fcnserve.js";

const SERVER = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:8000";
const OPTIONS = { output: "polygons", min_area: 100 };
const HUE_STEP = 137.5; // the golden angle: neighbouring class ids get colours far apart

const [input, figure, image, svg] = ["input", "figure", "img", "svg"].map((name) => document.querySelector(name));
const [status, alert] = ["status", "alert"].map((role) => document.querySelector(`[role=${role}]`));

let latest = 0; // of two photos that are chosen one after the other, the first's answer may come last

input.addEventListener("change", async () => {
    const [photo] = input.files;
    if (!photo) return;
    const mine = (latest += 1);
    show("Segmenting ...");
    figure.hidden = true;
    try {
        const [answer, size] = await Promise.all([segment(SERVER, photo, OPTIONS), load(photo)]);
        const { features } = await answer.json();
        if (mine === latest) draw(features, size);
    } catch (error) {
        if (mine === latest) show("", `${photo.name}: ${error.message}`);
    }
});

// Width and height as the browser shows the photo, turned by its EXIF data, as the server does.
async function load(photo) {
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(photo);
    await image.decode().catch(() => { throw new Error("this browser cannot show the file"); });
    return [image.naturalWidth, image.naturalHeight];
}

function draw(features, [width, height]) {
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(...features.map(region));
    figure.hidden = false;
    const names = [...new Set(features.map((feature) => feature.properties.class_name))];
    show(names.length ? `Found: ${names.join(", ")}` : "Background only");
}

function region({ geometry, properties }) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    const colour = `hsl(${properties.class_id * HUE_STEP} 90% 50%)`;
    title.textContent = `${properties.class_name}, ${properties.area} pixels`;
    path.setAttribute("d", geometry.coordinates.map((ring) => `M${ring.join("L")}Z`).join(""));
    path.setAttribute("fill", colour);
    path.setAttribute("stroke", colour);
    path.append(title);
    return path;
}

function show(text, problem = "") {
    status.textContent = text;
    alert.textContent = problem;
}
