/* A row of an explanation and its place in the picture belong together: pointing at one shows the other, choosing the
   number of a row keeps it shown.  The strength of heat maps is one setting for all. */
(() => {
  const whole = () => document.querySelector("#explained .whole");
  /* Prototypes found at one place share a mark: its data-row lists their rows. */
  const rows = (mark) => mark.dataset.row.split(" ");
  const card = (number) => document.querySelector(`#answer .card[data-row="${number}"]`);
  let pinned = null;

  const show = (number) => {
    const picture = whole();
    if (!picture) return;
    const row = number && card(number);
    picture.classList.toggle("pointing", Boolean(row));
    for (const mark of picture.querySelectorAll(".mark")) mark.classList.toggle("here", Boolean(row) && rows(mark).includes(number));
    for (const other of document.querySelectorAll("#answer .card")) other.classList.toggle("here", other === row);
    const lens = picture.querySelector(".lens");
    const heat = row?.querySelector("img.heat");
    lens.replaceChildren();
    if (!heat) return;
    lens.append(Object.assign(new Image(), { src: heat.src, alt: "", className: "heat" }));
    if (!picture.querySelector(`.mark[data-row~="${number}"]`)) {
      const spot = row.querySelector(".context .spot");
      if (spot) lens.append(spot.cloneNode());
    }
  };
  const pin = (number) => {
    pinned = number;
    for (const button of document.querySelectorAll("#answer button.number")) {
      button.setAttribute("aria-pressed", String(button.closest(".card").dataset.row === pinned));
    }
    show(pinned);
  };
  const pointed = (event) => event.target.closest?.("#answer .card[data-row], #explained .mark[data-row]")?.dataset.row.split(" ")[0];

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const number = pointed(event);
    if (number) show(number);
    else if (event.target.closest?.("#tab-explain")) show(pinned);
  });
  document.addEventListener("focusin", (event) => {
    const number = event.target.closest?.("#answer button.number") && pointed(event);
    if (number) show(number);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#answer button.number");
    const mark = event.target.closest("#explained .mark[data-row]");
    if (button) {
      const number = button.closest(".card").dataset.row;
      pin(pinned === number ? null : number);
      if (pinned && whole().getBoundingClientRect().bottom < 80) whole().scrollIntoView({ block: "nearest" });
    } else if (mark) {
      pin(rows(mark)[0]);
      card(rows(mark)[0])?.scrollIntoView({ block: "nearest" });
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.classList?.contains("opacity")) {
      document.documentElement.style.setProperty("--heat", event.target.value / 100);
    }
  });
  /* A new answer starts without a pinned row, and with the strength that was set. */
  document.addEventListener("view-changed", () => {
    const slider = document.querySelector("#answer .opacity");
    const strength = document.documentElement.style.getPropertyValue("--heat");
    if (slider && strength) slider.value = Math.round(100 * strength);
    if (pinned && !document.querySelector("#answer button.number[aria-pressed=true]")) pin(null);
  });
})();
