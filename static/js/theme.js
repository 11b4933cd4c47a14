// Loaded in the head, before the first paint, so that a remembered theme never flashes. Not a module: those wait.
"use strict";
(() => {
  const KEY = "plumbline.theme";
  const root = document.documentElement;
  const remembered = () => {
    try {
      return localStorage.getItem(KEY) ?? "system";
    } catch {
      return "system"; // storage is forbidden here: the system's theme it is
    }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-set-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === theme));
    }
  };
  apply(remembered());
  document.addEventListener("DOMContentLoaded", () => apply(remembered()));
  window.addEventListener("storage", (event) => { if (event.key === KEY) apply(remembered()); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-set-theme]");
    if (!button) return;
    try {
      localStorage.setItem(KEY, button.dataset.setTheme);
    } catch {
      // Not remembered, but shown: the choice holds until the next page.
    }
    apply(button.dataset.setTheme);
  });
})();
