/* A part of the picture, painted on a grid by pointer or keyboard; kept as bits in the field "area". */
const place = document.querySelector("#what-if-original");
const canvas = () => place.querySelector("canvas.painting");
const cursor = () => place.querySelector(".painting-cursor");
const tool = () => form().elements.tool.value;
let painted = new Set(), at = [16, 16], corner = null, stroke = null;

const size = () => canvas().width;
const packed = () => {
  if (!painted.size) return "";
  const bytes = new Uint8Array((size() * size()) / 8);
  for (const cell of painted) bytes[cell >> 3] |= 0x80 >> (cell & 7);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};
const unpacked = (text) => {
  const bytes = [...atob(text.replaceAll("-", "+").replaceAll("_", "/"))].map((sign) => sign.charCodeAt(0));
  return new Set(bytes.flatMap((byte, i) => [...Array(8).keys()].filter((bit) => byte & (0x80 >> bit)).map((bit) => 8 * i + bit)));
};
const draw = (preview) => {
  const pen = canvas().getContext("2d"), side = size();
  pen.clearRect(0, 0, side, side);
  pen.fillStyle = "rgb(255 221 51 / 55%)";
  for (const cell of painted) pen.fillRect(cell % side, Math.floor(cell / side), 1, 1);
  if (!preview) return;
  pen.fillStyle = "rgb(255 221 51 / 35%)";
  const [x0, y0, x1, y1] = preview;
  pen.fillRect(x0, y0, x1 - x0 + 1, y1 - y0 + 1);
};
const rectangle = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
const fill = ([x0, y0, x1, y1], on) => {
  const side = size();
  for (let y = Math.max(y0, 0); y <= Math.min(y1, side - 1); y++) {
    for (let x = Math.max(x0, 0); x <= Math.min(x1, side - 1); x++) {
      if (on) painted.add(y * side + x);
      else painted.delete(y * side + x);
    }
  }
};
const dab = ([x, y], on) => {
  const reach = Math.floor(Number(part("size").value) / 2);
  fill([x - reach, y - reach, x + reach, y + reach], on);
};
const say = (text) => { element.querySelector("#painting-said").textContent = text; };
const share = () => {
  const percent = Math.round((100 * painted.size) / size() ** 2);
  return painted.size ? `${percent || "Less than 1"} % of the picture is painted.` : "Draw on the picture to choose a part of it.";
};
const keep = () => {
  form().elements.area.value = packed();
  draw();
  say(share());
  soon();
};
const erase = () => {
  painted = new Set();
  corner = null;
  form().elements.area.value = "";
  if (canvas()) draw();
  say(share());
};
const cell = (event) => {
  const edge = canvas().getBoundingClientRect();
  const inside = (value) => Math.min(Math.max(Math.floor(value * size()), 0), size() - 1);
  return [inside((event.clientX - edge.left) / edge.width), inside((event.clientY - edge.top) / edge.height)];
};
/* All cells between two, so that a quick stroke has no gaps. */
const line = (from, to) => {
  const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
  return [...Array(steps + 1).keys()].map((i) => from.map((value, axis) => Math.round(value + ((to[axis] - value) * i) / steps)));
};

place.addEventListener("pointerdown", (event) => {
  if (event.target !== canvas() || event.button) return;
  stroke = { start: cell(event), last: cell(event), kind: tool() };
  canvas().setPointerCapture(event.pointerId);
  if (stroke.kind !== "box") dab(stroke.start, stroke.kind === "brush");
  draw(stroke.kind === "box" ? rectangle(stroke.start, stroke.start) : null);
});
place.addEventListener("pointermove", (event) => {
  if (!stroke) return;
  const here = cell(event);
  if (stroke.kind !== "box") for (const step of line(stroke.last, here)) dab(step, stroke.kind === "brush");
  stroke.last = here;
  draw(stroke.kind === "box" ? rectangle(stroke.start, here) : null);
});
const release = () => {
  if (!stroke) return;
  if (stroke.kind === "box") fill(rectangle(stroke.start, stroke.last), true);
  stroke = null;
  keep();
};
place.addEventListener("pointerup", release);
place.addEventListener("pointercancel", release);

const point = () => {
  const mark = cursor(), side = size();
  mark.hidden = !canvas().matches(":focus-visible");
  Object.assign(mark.style, { left: `${(100 * at[0]) / side}%`, top: `${(100 * at[1]) / side}%`, width: `${100 / side}%`, height: `${100 / side}%` });
};
place.addEventListener("keydown", (event) => {
  if (event.target !== canvas()) return;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key];
  if (step) {
    at = at.map((value, axis) => Math.min(Math.max(value + step[axis], 0), size() - 1));
    draw(corner && rectangle(corner, at));
    say(`Row ${at[1] + 1}, column ${at[0] + 1} of ${size()}${painted.has(at[1] * size() + at[0]) ? ", painted" : ""}.`);
  } else if (event.key === " ") {
    if (tool() !== "box") {
      dab(at, tool() === "brush");
      keep();
    } else if (corner) {
      fill(rectangle(corner, at), true);
      corner = null;
      keep();
    } else {
      corner = [...at];
      say("One corner is set; move to the other and press space.");
    }
  } else {
    return;
  }
  event.preventDefault();
  point();
});
place.addEventListener("focusin", () => canvas() && point());
place.addEventListener("focusout", () => canvas() && point());

/* The server draws the picture anew when another one is chosen. */
let drawn = null;
const renewed = () => {
  if (!canvas() || canvas().dataset.visit === drawn) return;
  drawn = canvas().dataset.visit;
  painted = unpacked(canvas().dataset.area);
  corner = null;
  draw();
  if (form()) say(share());
};
new MutationObserver(renewed).observe(place, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-visit"] });
renewed();
