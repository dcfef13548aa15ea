/* The address bar says what is shown: the shared parameters from #address, those of the open tab from its own
   [data-address].  While either is missing, the address stays as it came. */
(() => {
  const addressIn = (place) => document.querySelector(`${place} [data-address]`)?.dataset.address;

  /* Marks the link to the picture that is shown. */
  const mark = (image) => {
    for (const link of document.querySelectorAll("#pictures a[data-go]")) {
      const here = new URLSearchParams(link.search).get("image") === image;
      if (here !== link.hasAttribute("aria-current")) link.toggleAttribute("aria-current", here);
    }
  };

  const update = () => {
    const tab = document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId;
    const shared = addressIn("#address");
    const own = tab && addressIn(`#tab-${tab}`);
    if (shared === undefined) return;
    mark(new URLSearchParams(shared).get("image"));
    document.dispatchEvent(new Event("view-changed"));
    if (own === undefined) return;
    const parameters = new URLSearchParams(shared);
    parameters.set("tab", tab);
    for (const [name, value] of new URLSearchParams(own)) parameters.set(name, value);
    const theme = new URLSearchParams(location.search).get("__theme");
    if (theme) parameters.set("__theme", theme);
    const query = `?${parameters}`;
    if (query !== location.search) history.replaceState(history.state, "", location.pathname + query);
  };

  let due = 0;
  new MutationObserver(() => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(update);
  }).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected", "data-address"],
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("#copy");
    if (!button) return;
    const own = document.querySelector("#address [data-own]");
    const say = (text) => { document.querySelector("#copied").textContent = text; };
    say("");
    try {
      await navigator.clipboard.writeText(location.href);
      say(own ? button.dataset.own : button.dataset.done);
    } catch {
      say(button.dataset.failed);
    }
  });
})();
