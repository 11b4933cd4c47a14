// What every page does: the live strip, the connection badge, the clock, the menu.
// Frames are handed on as "plumbline:frame" events; a page's own module listens.
import { connect } from "./live.js";
import { fillTotals, write } from "./patch.js";

const badge = document.querySelector("[data-badge]");
const clock = document.querySelector("[data-clock]");
const strip = document.querySelector("[data-totals]");
let skew = 0; // the server's clock minus this browser's, in milliseconds

/** The server's time now, in milliseconds: ages are counted on its clock, not on this browser's. */
export function serverNow() {
  return Date.now() + skew;
}

/** The environment whose positions and totals this page shows; worlds never mix. */
export function environment() {
  return strip?.dataset.totals ?? "";
}

function receive(frame) {
  if (frame.server_time) skew = Date.parse(frame.server_time) - Date.now();
  if (frame.totals && strip) {
    const shown = frame.totals[environment()] ?? (environment() ? null : Object.values(frame.totals)[0]);
    if (shown) fillTotals(strip, shown);
  }
  document.dispatchEvent(new CustomEvent("plumbline:frame", { detail: frame }));
}

const WORDS = {
  connecting: () => "Connecting…",
  live: () => "Live",
  silent: (seconds) => `No heartbeat for ${seconds} s`,
  offline: (seconds) => `Offline for ${seconds} s, retrying`,
  ended: () => "Signed out: reload to sign in",
};

function state(name, seconds) {
  badge.dataset.state = name;
  write(badge, WORDS[name](seconds));
  document.body.classList.toggle("offline", name === "silent" || name === "offline" || name === "ended");
}

function tick() {
  const now = new Date(serverNow()).toISOString();
  clock.dateTime = now;
  write(clock, `${now.slice(11, 19)} UTC`);
}

if (badge) {
  connect({ path: "/api/v1/positions/stream", receive, state });
  tick();
  setInterval(tick, 1000);
}

for (const menu of document.querySelectorAll("[data-menu]")) {
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
