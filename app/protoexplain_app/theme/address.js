/* The address bar says what is shown: the shared parameters from #address, those of the open tab from its own
   [data-address].  While either is missing, the address stays as it came.
   What a person chose, another picture, class or tab, becomes an entry of the history, so that Back and Forward walk
   through it; what the page fills in by itself, and mere settings, only change the entry. */
(() => {
  const WALKED = ["model", "image", "tab", "class", "prototype", "other"];
  const addressIn = (place) => document.querySelector(`${place} [data-address]`)?.dataset.address;
  const shared = () => document.querySelector("#address [data-address]");
  let asked = false, still = false, written = false, before = null;

  for (const kind of ["pointerdown", "keydown", "change", "drop", "paste"]) {
    document.addEventListener(kind, (event) => {
      if (!event.isTrusted) return;
      asked = true;
      still = false;
      before = null;
    }, true);
  }
  /* A link that was followed has made its entry itself, which waits for the answer.  An entry that was walked to stays. */
  document.addEventListener("link-followed", (event) => {
    const leads = new URLSearchParams(event.detail), now = new URLSearchParams(shared()?.dataset.address);
    const elsewhere = ["model", "image"].some((name) => leads.has(name) && leads.get(name) !== now.get(name));
    asked = false;
    before = elsewhere ? now.toString() : null;
  });
  window.addEventListener("popstate", () => {
    asked = false;
    still = true;
  });

  /* Marks the link to the picture that is shown. */
  const mark = (image) => {
    for (const link of document.querySelectorAll("#pictures a[data-go]")) {
      const here = new URLSearchParams(link.search).get("image") === image;
      if (here !== link.hasAttribute("aria-current")) link.toggleAttribute("aria-current", here);
    }
  };

  const write = (parameters) => {
    const query = `?${parameters}`;
    if (query === location.search) return;
    const last = new URLSearchParams(location.search);
    const walked = WALKED.some((name) => last.get(name) !== parameters.get(name));
    const upload = document.querySelector("#address [data-own]") && document.querySelector("#own [data-path]")?.dataset.path;
    const entry = upload ? { upload } : null;
    if (asked && written && walked) {
      history.pushState(entry, "", location.pathname + query);
      asked = false;
    } else {
      history.replaceState(entry, "", location.pathname + query);
    }
    written = true;
  };

  /* The tabs lie in one line, which a telephone scrolls: the open one is brought into sight. */
  let open = null;
  const sight = new ResizeObserver(([{ target }]) => {
    const line = target.closest(".tab-wrapper"), room = line.getBoundingClientRect();
    const { left, right } = target.getBoundingClientRect();
    if (left < room.left || right > room.right) line.scrollLeft += (left + right - room.left - room.right) / 2;
  });
  const bring = (button) => {
    if (button === open) return;
    sight.disconnect();
    if (button) sight.observe(button);
    open = button;
  };

  const update = () => {
    const button = document.querySelector("#tabs [role=tab][aria-selected=true]"), tab = button?.dataset.tabId;
    bring(button);
    const panel = tab && document.querySelector(`#tab-${tab}`);
    document.documentElement.toggleAttribute("data-with-picture", Boolean(panel?.classList.contains("with-picture")));
    const own = tab && addressIn(`#tab-${tab}`);
    if (!shared()) return;
    mark(new URLSearchParams(shared().dataset.address).get("image"));
    document.dispatchEvent(new Event("view-changed"));
    const parameters = new URLSearchParams(shared().dataset.address);
    if (own === undefined || still || parameters.toString() === before) return;
    before = null;
    parameters.set("tab", tab);
    for (const [name, value] of new URLSearchParams(own)) parameters.set(name, value);
    const theme = new URLSearchParams(location.search).get("__theme");
    if (theme) parameters.set("__theme", theme);
    write(parameters);
  };

  let due = 0;
  new MutationObserver(() => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(update);
  }).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected", "data-address"],
  });
})();
