/* A picture of one's own: chosen, dropped, pasted or taken; told as the event "picture", or "removed". */
const part = (name) => element.querySelector(`[data-part=${name}]`);
const field = () => element.querySelector("input[type=file]");

const say = (text) => { part("trouble").textContent = text; };

let last = null; /* The picture that was sent last, for those who walk back to it. */

const show = (file, path) => {
  const picture = part("picture");
  URL.revokeObjectURL(picture.src);
  picture.src = file ? URL.createObjectURL(file) : "data:,";
  part("name").textContent = file ? file.name : "";
  part("offer").hidden = Boolean(file);
  part("shown").hidden = !file;
  part("shown").toggleAttribute("data-path", Boolean(file));
  if (file) part("shown").dataset.path = path;
  element.dispatchEvent(new Event("frame-reset"));
};

/* What the browser cannot draw has no place for a frame. */
for (const kind of ["load", "error"]) {
  part("picture").addEventListener(kind, () => part("shown").toggleAttribute("data-unseen", kind === "error"));
}

const take = async (given) => {
  const limit = Number(part("offer").dataset.limit);
  say("");
  part("offer").setAttribute("aria-busy", "true");
  try {
    const file = await shrunk(given);
    if (file.size > limit) {
      say(`The picture has ${(file.size / 1e6).toFixed(1)} MB; up to ${limit / 2 ** 20} MB are taken.`);
      return;
    }
    const { path } = await upload(file);
    last = { file, path };
    show(file, path);
    trigger("picture", { path });
  } catch {
    say("The picture could not be sent; try again.");
  } finally {
    part("offer").removeAttribute("aria-busy");
  }
};

element.addEventListener("change", (event) => {
  if (event.target !== field() || !field().files.length) return;
  take(field().files[0]);
  field().value = "";
});
element.addEventListener("dragover", (event) => {
  event.preventDefault();
  part("offer").classList.add("over");
});
element.addEventListener("dragleave", () => part("offer").classList.remove("over"));
element.addEventListener("drop", (event) => {
  event.preventDefault();
  part("offer").classList.remove("over");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((entry) => entry.type.startsWith("image/"));
  if (file) take(file);
});
element.addEventListener("click", (event) => {
  if (!event.target.closest("[data-part=remove]")) return;
  show(null);
  field().focus();
  trigger("removed");
});
/* When another picture was chosen elsewhere, this one is put away. */
let known = false;
document.addEventListener("view-changed", () => {
  const own = Boolean(document.querySelector("#address [data-own]"));
  if (known && !own) show(null);
  else if (own && part("shown").hidden && last && last.path === history.state?.upload) show(last.file, last.path);
  known = own;
});
