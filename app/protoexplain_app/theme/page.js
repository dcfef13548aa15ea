/* Buttons of the frame: copy the link, skip to a part of the page, put the introduction away for good. */
(() => {
  const SEEN = "protoexplain-introduction-seen";
  try {
    document.documentElement.toggleAttribute("data-introduced", localStorage.getItem(SEEN) !== null);
  } catch { /* without storage the introduction comes again */ }

  const copy = async (button) => {
    const own = document.querySelector("#address [data-own]");
    const say = (text) => { document.querySelector("#copied").textContent = text; };
    say("");
    try {
      await navigator.clipboard.writeText(location.href);
      say(own ? button.dataset.own : button.dataset.done);
    } catch {
      say(button.dataset.failed);
    }
  };
  const skip = (to) => {
    const tab = document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId;
    const place = document.querySelector(to === "content" ? `#tab-${tab}` : "#inputs");
    place.tabIndex = -1;
    place.focus();
    place.scrollIntoView();
  };
  const dismiss = () => {
    document.documentElement.toggleAttribute("data-introduced", true);
    document.querySelector("#tabs [role=tab][aria-selected=true]").focus();
    try { localStorage.setItem(SEEN, "1"); } catch { /* as above */ }
  };

  document.addEventListener("click", (event) => {
    const shortcut = event.target.closest("[data-skip]");
    if (shortcut) {
      event.preventDefault();
      skip(shortcut.dataset.skip);
    } else if (event.target.closest("[data-dismiss=introduction]")) {
      dismiss();
    } else if (event.target.closest("#copy")) {
      copy(event.target.closest("#copy"));
    }
  });
})();
