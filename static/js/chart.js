// What the charts share: colours of the theme, local time, the legend's parts, when to draw and to paint again.

export const colour = (name) => {
  // light-dark() is resolved by the browser only where it is used as a colour.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};
export const faded = (rgb, alpha) => rgb.replace(/^rgb\(([^)]+)\)$/, `rgba($1, ${alpha})`);

/** Local time as the chart counts it: it knows no zones, so each time is moved by the zone's offset at that time. */
export const local = (seconds) => seconds - new Date(seconds * 1000).getTimezoneOffset() * 60;

/** The look of a chart in the theme of now. */
export function theme() {
  return {
    layout: {
      background: { color: "transparent" }, textColor: colour("--ink-3"), fontSize: 11, attributionLogo: false,
      fontFamily: getComputedStyle(document.body).fontFamily,
      panes: { separatorColor: colour("--line"), separatorHoverColor: colour("--line-strong"), enableResize: false },
    },
    grid: { vertLines: { visible: false }, horzLines: { color: colour("--line") } },
    crosshair: {
      vertLine: { color: colour("--ink-3"), labelBackgroundColor: colour("--ink-2") },
      horzLine: { color: colour("--ink-3"), labelBackgroundColor: colour("--ink-2") },
    },
  };
}

/** One part of a legend: a label, a value in bold. */
export function part(label, value, title = "", kind = "") {
  const made = document.createElement("span");
  made.textContent = label;
  if (title) made.title = title;
  if (kind) made.className = kind;
  if (value) {
    const strong = document.createElement("b");
    strong.textContent = value;
    made.append(strong);
  }
  return made;
}

/** Draw once the element comes near the view: the library is loaded then, not before. */
export function whenSeen(element, draw) {
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    draw();
  }, { rootMargin: "200px" });
  seen.observe(element);
}

/** Paint again when the theme changes, by hand or with the system. */
export function onTheme(paint) {
  new MutationObserver(paint).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}
