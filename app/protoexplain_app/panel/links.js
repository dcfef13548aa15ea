/* Links of the app, a[data-go], are followed inside the page; so are the browser's back and forward, which also know the
   picture of one's own that was shown. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-go]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const url = new URL(link.href);
  const theme = new URLSearchParams(location.search).get("__theme");
  if (theme) url.searchParams.set("__theme", theme);
  history.pushState(null, "", url);
  document.dispatchEvent(new CustomEvent("link-followed", { detail: url.search }));
  trigger("go", { query: url.search, upload: "" });
});
window.addEventListener("popstate", () => trigger("go", { query: location.search, upload: history.state?.upload || "" }));
