/* A frame around the object: drawn or moved with a pointer, its corners moved with the arrow keys; told as the event
   "region" with edges from 0 to 1. */
{
  const SMALLEST = 0.05, STEP = 0.02;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  let frame = { left: 0, top: 0, right: 1, bottom: 1 };
  let grip = null, due = 0;

  const draw = () => {
    const { left, top, right, bottom } = frame;
    const style = part("frame").style;
    style.left = `${100 * left}%`;
    style.top = `${100 * top}%`;
    style.width = `${100 * (right - left)}%`;
    style.height = `${100 * (bottom - top)}%`;
    const percent = (value) => `${Math.round(100 * value)} %`;
    part("corner-a").setAttribute("aria-label", `Upper left corner of the frame, at ${percent(left)} from the left and ${percent(top)} from the top; move it with the arrow keys`);
    part("corner-b").setAttribute("aria-label", `Lower right corner of the frame, at ${percent(right)} from the left and ${percent(bottom)} from the top; move it with the arrow keys`);
  };
  const send = (wait) => {
    clearTimeout(due);
    due = setTimeout(() => trigger("region", { ...frame }), wait);
  };
  const corner = (name, x, y) => {
    if (name === "corner-a") {
      frame.left = clamp(x, 0, frame.right - SMALLEST);
      frame.top = clamp(y, 0, frame.bottom - SMALLEST);
    } else {
      frame.right = clamp(x, frame.left + SMALLEST, 1);
      frame.bottom = clamp(y, frame.top + SMALLEST, 1);
    }
  };
  const place = (event) => {
    const edge = part("canvas").getBoundingClientRect();
    return [clamp((event.clientX - edge.left) / edge.width, 0, 1), clamp((event.clientY - edge.top) / edge.height, 0, 1)];
  };

  const canvas = part("canvas");
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    const [x, y] = place(event);
    const name = event.target.closest("button")?.dataset.part;
    const inside = event.target.closest("[data-part=frame]") && (frame.right - frame.left < 1 || frame.bottom - frame.top < 1);
    grip = { name: name || (inside ? "move" : "new"), x, y, start: { ...frame } };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const [x, y] = place(event);
    if (grip.name === "move") {
      const { left, top, right, bottom } = grip.start;
      const dx = clamp(x - grip.x, -left, 1 - right), dy = clamp(y - grip.y, -top, 1 - bottom);
      frame = { left: left + dx, top: top + dy, right: right + dx, bottom: bottom + dy };
    } else if (grip.name === "new") {
      if (Math.abs(x - grip.x) < SMALLEST || Math.abs(y - grip.y) < SMALLEST) return;
      frame = { left: Math.min(x, grip.x), top: Math.min(y, grip.y), right: Math.max(x, grip.x), bottom: Math.max(y, grip.y) };
    } else {
      corner(grip.name, x, y);
    }
    draw();
  });
  const release = () => {
    if (grip && JSON.stringify(grip.start) !== JSON.stringify(frame)) send(0);
    grip = null;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("keydown", (event) => {
    const name = event.target.dataset.part;
    const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const step = steps[event.key];
    if (!step || !name?.startsWith("corner")) return;
    event.preventDefault();
    const at = name === "corner-a" ? [frame.left, frame.top] : [frame.right, frame.bottom];
    corner(name, at[0] + step[0], at[1] + step[1]);
    draw();
    send(500);
  });
  element.addEventListener("click", (event) => {
    if (!event.target.closest("[data-part=whole]")) return;
    frame = { left: 0, top: 0, right: 1, bottom: 1 };
    draw();
    send(0);
  });
  element.addEventListener("frame-reset", () => {
    clearTimeout(due);
    frame = { left: 0, top: 0, right: 1, bottom: 1 };
    draw();
  });
}
