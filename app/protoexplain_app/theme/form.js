/* A form tells its fields as parameters of an address: at once, text a moment after the last key; with the attribute
   data-on-submit only when it is sent. */
let due = 0;
const send = (form, button) => trigger("query", { query: new URLSearchParams(new FormData(form, button)).toString() });
element.addEventListener("input", (event) => {
  clearTimeout(due);
  if (!event.target.form || event.target.form.hasAttribute("data-on-submit")) return;
  due = setTimeout(() => send(event.target.form), event.target.type === "search" ? 200 : 0);
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.target, event.submitter);
});
