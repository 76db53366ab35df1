/* Brings the figures of the overview up to date by itself, as long as somebody looks at it and has not stopped it. */

(() => {
  "use strict";

  const figures = document.getElementById("budget-figures");
  const controls = document.getElementById("budget-refresh");
  if (!figures || !controls) return;

  const button = controls.querySelector("button");
  const told = controls.querySelector("[role=status]");
  const wait = Number(figures.dataset.refreshSeconds) * 1000;
  const patience = 20; // the wait is at least so many times what an answer took: large sums keep a database busy
  let isAsking = false;
  let isDue = false;
  let timer;

  const later = (took) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      isDue = true;
      refresh();
    }, Math.max(wait, patience * took));
  };

  const isWanted = () => button.getAttribute("aria-pressed") === "true" && !document.hidden;

  // What is open, focused or scrolled stays so: elements are the same as before if they have the same id, or the same
  // place among those that can be focused.
  const focusable = (root) => [...root.querySelectorAll("a, summary, [tabindex]")];

  const replace = (fresh) => {
    for (const details of figures.querySelectorAll("details[id]")) {
      const twin = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (twin) twin.open = details.open;
    }
    const place = focusable(figures).indexOf(document.activeElement);
    const scrolled = [...figures.querySelectorAll(".budget-scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    figures.replaceChildren(...fresh.childNodes);
    [...figures.querySelectorAll(".budget-scroll")].forEach((each, at) => {
      if (scrolled[at]) [each.scrollLeft, each.scrollTop] = scrolled[at];
    });
    if (place >= 0) focusable(figures)[place]?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (isAsking || !isWanted()) return;
    isAsking = true;
    isDue = false;
    const begun = performance.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "manual" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("budget-figures");
      if (!fresh) throw new Error("no figures");
      if (isWanted()) replace(document.adoptNode(fresh));
      told.textContent = "";
    } catch {
      told.textContent = told.dataset.failed;
    } finally {
      isAsking = false;
      later(performance.now() - begun);
    }
  };

  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (isDue) refresh();
  });
  later(0);
  controls.hidden = false;
})();
