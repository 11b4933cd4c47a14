// The board: rows appear, change and leave as frames say; ages tick; the search narrows.
import { age, whole, signed } from "./format.js";
import { environment, serverNow } from "./page.js";
import { fillRow, write } from "./patch.js";

const SETTLE_MS = 50;
const staleAfter = Number(document.body.dataset.staleAfter) * 1000;
const table = document.querySelector("[data-table]");
const empty = document.querySelector("[data-empty]");
const body = document.querySelector("[data-rows]");
const template = document.querySelector("[data-row-template]");
const search = document.querySelector("[data-search]");
const count = document.querySelector("[data-count]");
const noMatch = document.querySelector("[data-no-match]");
const title = document.title;

const rows = new Map(); // id → its <tr>
for (const tr of body.children) rows.set(Number(tr.dataset.id), tr);
const orders = new Map(); // id → where it belongs
let unsorted = false;
let soon = null;

document.addEventListener("plumbline:frame", ({ detail: frame }) => {
  if (frame.type === "snapshot") takeSnapshot(frame.positions);
  else if (frame.type === "position_update") take(frame.position, true);
  else if (frame.type !== "portfolio") return;
  if (frame.totals) showTitle(frame.totals[environment()]);
  settleSoon();
});

function takeSnapshot(positions) {
  const present = new Set(positions.map((row) => row.id));
  for (const id of rows.keys()) if (!present.has(id)) remove(id);
  for (const row of positions) take(row, true);
}

function take(row, tint) {
  if (!row.open || (environment() && row.environment !== environment())) {
    remove(row.id);
    return;
  }
  let tr = rows.get(row.id);
  const isNew = !tr;
  if (isNew) {
    tr = template.content.querySelector("tr").cloneNode(true);
    rows.set(row.id, tr);
    body.append(tr);
    unsorted = true;
  }
  if (orders.get(row.id) !== row.order) {
    unsorted ||= orders.has(row.id);
    orders.set(row.id, row.order);
  }
  fillRow(tr, row, { tint: tint && !isNew });
}

function remove(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  orders.delete(id);
}

/** Frames come in bursts: once after each is enough. */
function settleSoon() {
  soon ??= setTimeout(settle, SETTLE_MS);
}

/** Bring the page back in order after rows came or went. Rows do not jump under the pointer. */
function settle() {
  clearTimeout(soon);
  soon = null;
  if (unsorted && !body.matches(":hover")) {
    const ids = [...rows.keys()].sort((a, b) => (orders.get(a) < orders.get(b) ? -1 : 1));
    body.append(...ids.map((id) => rows.get(id)));
    unsorted = false;
  }
  table.hidden = rows.size === 0;
  empty.hidden = rows.size !== 0;
  tick();
  narrow();
}
body.addEventListener("pointerleave", settle);

function tick() {
  const now = serverNow();
  for (const tr of rows.values()) {
    const passed = tr.dataset.at ? now - Date.parse(tr.dataset.at) : null;
    write(tr.querySelector('[data-f="age"]'), age(passed === null ? null : passed / 1000));
    tr.toggleAttribute("data-stale", passed === null || passed > staleAfter);
  }
}
setInterval(tick, 1000);

function narrow() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const tr of rows.values()) {
    const text = `${tr.children[0].textContent} ${tr.children[1].textContent} ${tr.children[2].textContent}`.toLowerCase();
    tr.hidden = !words.every((word) => text.includes(word));
    if (!tr.hidden) shown += 1;
  }
  noMatch.hidden = shown > 0 || rows.size === 0;
  write(count, words.length ? `${shown} of ${rows.size}` : rows.size === 1 ? "1 position" : `${rows.size} positions`);
}
search.addEventListener("input", narrow);
document.addEventListener("keydown", (event) => {
  if (event.target === search && event.key === "Escape") {
    search.value = "";
    narrow();
  } else if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    search.focus();
  }
});

function showTitle(totals) {
  if (!totals || totals.unrealized === null) {
    document.title = title;
    return;
  }
  const plus = signed(totals.unrealized).startsWith("+") ? "+" : "";
  document.title = `${plus}${whole(totals.unrealized)} · ${title}`;
}

// A tab that nobody looks at is read by its title: it must not go on showing a profit of some time ago.
document.addEventListener("plumbline:state", ({ detail: name }) => {
  if (name !== "live" && name !== "catching") document.title = name === "connecting" ? title : `Offline · ${title}`;
  else if (document.title.startsWith("Offline")) document.title = title;
});

settle();
