// What is looked at is kept fresh; what is not, is not asked for. Each page asks again by itself (hx-trigger).
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.querySelectorAll("[hx-get]").forEach((each) => htmx.trigger(each, "resume"));
});
// A server that does not answer is told of, until it does again.
const failed = () => document.body.classList.add("stale");
document.addEventListener("htmx:sendError", failed);
document.addEventListener("htmx:responseError", failed);
document.addEventListener("htmx:afterSwap", () => document.body.classList.remove("stale"));
