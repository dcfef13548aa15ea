/* Sliders, questions and the painted part are told as parameters of an address: a moment after the last move, one at a time;
   what changes while the model looks is told when it has answered. */
const form = () => element.querySelector("#what-if-form");
const part = (name) => element.querySelector(`[data-part=${name}]`);
const sliders = () => [...element.querySelectorAll(".slider input")];
const answer = document.querySelector("#what-if-answer");
const PAUSE = 150, PATIENCE = 300, LONGEST = 60000;
let due = 0, shown = 0, given_up = 0, busy = false, again = false, sent_texture = "", turn = 0;

const label = (slider) => {
  const output = slider.parentElement.querySelector("output");
  const value = Number((slider.value * output.dataset.scale).toFixed(2));
  output.textContent = `${value} ${output.dataset.unit}`;
  slider.setAttribute("aria-valuetext", output.textContent);
  slider.parentElement.classList.toggle("moved", Number(slider.value) !== Number(slider.dataset.neutral));
};
const working = (text) => {
  clearTimeout(shown);
  if (!form()) return;
  part("working").hidden = true;
  if (!text) return;
  shown = setTimeout(() => {
    part("working-text").textContent = text;
    part("working").hidden = false;
  }, PATIENCE);
};
const send = () => {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  again = false;
  const fields = new FormData(form());
  fields.delete("tool");
  fields.set("turn", ++turn);
  const texture = fields.get("texture");
  const slow = texture !== sent_texture && Number(texture) > 0;
  sent_texture = texture;
  working(slow ? "Smoothing the texture and looking again…" : "The model looks again…");
  given_up = setTimeout(answered, LONGEST);
  trigger("query", { query: new URLSearchParams(fields).toString() });
};
const answered = () => {
  clearTimeout(given_up);
  busy = false;
  working("");
  if (again) send();
};
const soon = () => {
  clearTimeout(due);
  due = setTimeout(send, PAUSE);
};
const put = (slider, value) => {
  slider.value = value;
  label(slider);
};
const reset = () => sliders().forEach((slider) => put(slider, slider.dataset.neutral));

element.addEventListener("input", (event) => {
  if (event.target.matches(".slider input")) label(event.target);
  if (event.target.matches(".slider input, select")) soon();
});
element.addEventListener("submit", (event) => event.preventDefault());
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.question) {
    reset();
    const slider = element.querySelector(`[name=${button.dataset.question}]`);
    put(slider, slider.dataset.published);
    soon();
  } else if (button?.dataset.do) {
    if (button.dataset.do === "reset") reset();
    erase();
    soon();
  }
});
/* The server draws the controls anew when another picture is chosen, and every answer.  What is the same in both drawings
   stays in the page, so that of a new answer nothing but a number may change. */
new MutationObserver(() => {
  if (sliders().some((slider) => !slider.parentElement.querySelector("output").textContent)) sliders().forEach(label);
}).observe(element, { childList: true, subtree: true });
new MutationObserver(answered).observe(answer, {
  childList: true, characterData: true, subtree: true, attributes: true, attributeFilter: ["data-turn"],
});
