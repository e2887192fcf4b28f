// While a page shows the present it is fetched again when the server says that something changed.
"use strict";
(() => {
  const live = document.querySelector("[data-live]");
  if (!live || !window.EventSource) return;
  const said = document.getElementById("said");
  let fetching = false;
  const source = new EventSource(live.dataset.live);
  source.addEventListener("changed", async () => {
    // Nobody is disturbed in the middle of typing.
    if (fetching || document.hidden || document.activeElement?.matches("main input, main select")) return;
    fetching = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-part]")) {
        const fresh = page.querySelector(`[data-part="${part.dataset.part}"]`);
        if (fresh) part.replaceWith(document.adoptNode(fresh));
      }
      if (said) said.textContent = `Updated ${new Date().toISOString().slice(11, 19)} UTC`;
    } finally {
      fetching = false;
    }
  });
})();
