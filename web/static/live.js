// While a page shows the present it is fetched again when the server says that it would show something else.
"use strict";
(() => {
  const live = document.querySelector("[data-live]");
  if (!live || !window.EventSource) return;
  const PATIENCE_MS = 5000;
  const said = document.getElementById("said");
  let stale = false;
  let fetching = false;

  // Nobody is disturbed in the middle of typing, and nobody sees a page that is hidden: those follow later.
  const isBusy = () => document.hidden || document.activeElement?.matches("main input, main select");

  const follow = async () => {
    if (!stale || fetching || isBusy()) return;
    stale = false;
    fetching = true;
    let pauseMs = 0;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-part]")) {
        const fresh = page.querySelector(`[data-part="${part.dataset.part}"]`);
        if (fresh) part.replaceWith(document.adoptNode(fresh));
      }
      const shown = page.querySelector("[data-live]");
      if (shown) live.dataset.live = shown.dataset.live;
      if (said) said.textContent = `Updated ${new Date().toISOString().slice(11, 19)} UTC`;
    } catch {
      stale = true;
      pauseMs = PATIENCE_MS;
    } finally {
      fetching = false;
      if (stale) setTimeout(follow, pauseMs);
    }
  };

  const listen = () => {
    const source = new EventSource(live.dataset.live);
    source.addEventListener("changed", () => {
      stale = true;
      follow();
    });
    source.addEventListener("error", () => {
      // A browser comes again by itself where a stream ends, but not where it was refused: while a partition moves, say.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, PATIENCE_MS);
    });
  };

  listen();
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("focusout", () => setTimeout(follow));
})();
