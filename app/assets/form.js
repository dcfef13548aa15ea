/* A form tells its fields as words of an address, text a moment after the last key. */
let due = 0;
const tell = (form, button) => trigger("wish", { query: new URLSearchParams(new FormData(form, button)).toString() });
element.addEventListener("input", (event) => {
  clearTimeout(due);
  due = setTimeout(() => tell(event.target.form), event.target.type === "search" ? 200 : 0);
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  tell(event.target, event.submitter);
});
