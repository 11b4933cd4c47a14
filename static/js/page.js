// What every page does: the live strip, the connection badge, the clock, the menu.
// Frames are handed on as "plumbline:frame" events; a page's own module listens. Prices come as short rows and are
// handed on as whole positions.
import { at } from "./derive.js";
import { serverNow, setServerTime } from "./clock.js";
import { age } from "./format.js";
import "./keys.js";
import { connect } from "./live.js";
import { fillTotals, showProof, write } from "./patch.js";

const badge = document.querySelector("[data-badge]");
const clock = document.querySelector("[data-clock]");
const strip = document.querySelector("[data-totals]");
const offline = document.querySelector("[data-offline]");
const OFF_WORDS = {
  silent: "The server is silent: nothing here is live, what you see is old.",
  offline: "No connection: nothing here is live, what you see is old. The page tries again by itself.",
  ended: "You are signed out: nothing here is live. Reload to sign in.",
  crowded: "Too many windows are open: this one is not live. Close some, then reload.",
};
const whole = new Map(); // position id → its row as it last came whole

export { serverNow };

/** The environment whose positions and totals this page shows; worlds never mix. */
export function environment() {
  return strip?.dataset.totals ?? "";
}

function receive(frame) {
  if (frame.server_time) setServerTime(frame.server_time);
  if (frame.totals && strip) {
    const shown = frame.totals[environment()] ?? (environment() ? null : Object.values(frame.totals)[0]);
    if (shown) fillTotals(strip, shown);
    showOldest();
  }
  if (frame.type === "rows") {
    for (const values of frame.rows) reprice(values);
    return;
  }
  if (frame.type === "snapshot") whole.clear();
  for (const row of frame.positions ?? (frame.position ? [frame.position] : [])) keep(row);
  handOn(frame);
}

function keep(row) {
  if (row.open) whole.set(row.id, row);
  else whole.delete(row.id);
}

function reprice(values) {
  const row = whole.get(values[0]);
  const moved = row && at(row, values);
  if (moved) handOn({ type: "position_update", id: moved.id, symbol: moved.symbol, position: moved });
  else if (connection) connection.startOver();
}

function handOn(frame) {
  document.dispatchEvent(new CustomEvent("plumbline:frame", { detail: frame }));
}

const labels = badge ? JSON.parse(badge.dataset.labels) : {};

/** Show the age of the oldest price behind the totals: a live connection may still carry old prices. */
function showOldest() {
  if (!strip) return;
  const passed = strip.dataset.oldest ? serverNow() - Date.parse(strip.dataset.oldest) : null;
  const stale = passed !== null && passed > Number(strip.dataset.staleAfter) * 1000;
  const shown = passed === null ? "" : `${stale ? "prices stale: oldest" : "oldest price"} ${age(passed / 1000)}`;
  write(strip.querySelector('[data-t="oldest"]'), shown);
  strip.toggleAttribute("data-stale", stale);
  // On a phone the strip's end is out of sight; the clock never is.
  clock.toggleAttribute("data-stale", stale);
  if (stale) write(clock, `prices ${age(passed / 1000)} old`);
}

function state(name, seconds) {
  if (badge.dataset.state !== name) document.dispatchEvent(new CustomEvent("plumbline:state", { detail: name }));
  badge.dataset.state = name;
  write(badge, labels[name].replace("{seconds}", seconds));
  const isOff = name in OFF_WORDS;
  document.body.classList.toggle("offline", isOff);
  offline.hidden = !isOff;
  write(offline, OFF_WORDS[name] ?? "");
}

function tick() {
  const now = new Date(serverNow()).toISOString();
  clock.dateTime = now;
  write(clock, `${now.slice(11, 19)} UTC`);
  for (const cell of document.querySelectorAll("[data-ago]")) {
    write(cell, age((serverNow() - Date.parse(cell.dataset.ago)) / 1000));
  }
  for (const chip of document.querySelectorAll("[data-proven]")) showProof(chip);
  showOldest();
}

const connection = badge && connect({ path: "/api/v1/positions/stream?format=compact", receive, state });
if (connection) {
  tick();
  setInterval(tick, 1000);
}

/** What is booked is booked once, however often the button is pressed. */
document.addEventListener("submit", ({ target: form }) => {
  if (!form.matches("[data-once]")) return;
  const button = form.querySelector("button[type=submit]");
  button.textContent = form.dataset.once;
  setTimeout(() => { button.disabled = true; }); // after the form has been sent
});

for (const menu of document.querySelectorAll("[data-menu]")) {
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
