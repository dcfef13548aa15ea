/* A row of an explanation, its place in the picture and its number below the picture belong together: the picture shows
   one box at a time.  Pointing at one of them or reaching it with Tab shows the box, choosing it keeps the box shown; else
   it is that of the first row.  The strength of heat maps is one setting for all. */
(() => {
  const whole = () => document.querySelector("#explained .whole");
  /* Prototypes found at one place share a mark: its data-row lists their rows. */
  const rows = (mark) => mark.dataset.row.split(" ");
  const card = (number) => document.querySelector(`#answer .card[data-row="${number}"]`);
  const bring = (number) => {
    card(number)?.closest("details.beside")?.setAttribute("open", "");
    card(number)?.scrollIntoView({ block: "nearest" });
  };
  const switches = () => document.querySelectorAll("#answer button.number, #explained button.pin");
  const rowOf = (place) => place.closest(".card[data-row], .pin[data-row]").dataset.row;
  let pinned = null;

  /* Shows the box of a row; by default that of the first one, without its heat map. */
  const show = (number) => {
    const picture = whole();
    if (!picture) return;
    const shown = number || document.querySelector("#explained .pin")?.dataset.row;
    const row = shown && card(shown);
    for (const mark of picture.querySelectorAll(".mark")) {
      const here = Boolean(row) && rows(mark).includes(shown);
      mark.classList.toggle("here", here);
      if (!here) continue;
      mark.style.setProperty("--row", row.style.getPropertyValue("--row"));
      mark.querySelector("b").textContent = shown;
    }
    for (const other of document.querySelectorAll("#answer .card")) other.classList.toggle("here", Boolean(number) && other === row);
    for (const pin of document.querySelectorAll("#explained .pin")) pin.classList.toggle("here", pin.dataset.row === shown);
    const lens = picture.querySelector(".lens");
    const heat = number && row?.querySelector("img.heat");
    lens.replaceChildren(...(heat ? [Object.assign(new Image(), { src: heat.src, alt: "", className: "heat" })] : []));
  };
  const pin = (number) => {
    pinned = number;
    for (const button of switches()) button.setAttribute("aria-pressed", String(rowOf(button) === pinned));
    show(pinned);
  };
  const pointed = (event) => {
    const place = event.target.closest?.("#answer .card[data-row], #explained .mark[data-row], #explained .pin[data-row]");
    return place && rows(place)[0];
  };

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const number = pointed(event);
    if (number) show(number);
    else if (event.target.closest?.("#tab-explain")) show(pinned);
  });
  document.addEventListener("focusin", (event) => {
    const number = event.target.closest?.("#answer .card, #explained .pin") && event.target.matches(":focus-visible") && pointed(event);
    if (number) show(number);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#answer button.number, #explained button.pin");
    const mark = event.target.closest("#explained .mark[data-row]");
    if (button) {
      const number = rowOf(button);
      pin(pinned === number ? null : number);
      if (!pinned) return;
      if (button.matches(".pin")) bring(number);
      else if (whole().getBoundingClientRect().bottom < 80) whole().scrollIntoView({ block: "nearest" });
    } else if (mark) {
      pin(rows(mark)[0]);
      bring(rows(mark)[0]);
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.classList?.contains("opacity")) {
      document.documentElement.style.setProperty("--heat", event.target.value / 100);
    }
  });
  /* What covering a box does is known a moment after the answer; it is put into the rows of the same picture. */
  const tell = () => {
    const known = document.querySelector("#box-tests [data-visit]");
    const answer = document.querySelector("#answer .answer");
    if (!known || known.dataset.visit !== answer?.dataset.visit) return;
    for (const test of known.children) {
      for (const place of answer.querySelectorAll(`.card[data-prototype="${test.dataset.prototype}"] [data-part=box-test][hidden]`)) {
        const summary = Object.assign(document.createElement("summary"), { textContent: test.dataset.short });
        const details = Object.assign(document.createElement("details"), { className: `box-test ${test.dataset.kind}` });
        details.append(summary, test.textContent);
        place.replaceWith(details);
      }
    }
  };

  /* A new answer starts without a pinned row. */
  let drawn = null;
  document.addEventListener("view-changed", () => {
    tell();
    const answer = document.querySelector("#answer .answer");
    const view = answer && `${answer.dataset.visit} ${answer.dataset.address}`;
    if (view && view !== drawn && whole()) {
      drawn = view;
      pin(null);
    }
  });
})();
