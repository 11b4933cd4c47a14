// The board: rows appear, change and leave as frames say; ages tick; the search narrows.
import { age, whole, signed } from "./format.js";
import { environment, serverNow } from "./page.js";
import { fillRow, write } from "./patch.js";
import { RowSearch } from "./search.js";

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
const orders = new Map(); // id → where it belongs
const changed = new Set(); // ids of rows written since the page was last settled
const found = new RowSearch((id, matches) => { rows.get(id).hidden = !matches; });
for (const tr of body.children) {
  const id = Number(tr.dataset.id);
  rows.set(id, tr);
  changed.add(id);
}
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
  changed.add(row.id);
}

function remove(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  orders.delete(id);
  changed.delete(id);
  found.remove(id);
}

/** Settle the page once after a burst of frames. */
function settleSoon() {
  soon ??= setTimeout(settle, SETTLE_MS);
}

/** Sort rows that came, unless the pointer is over them, and show ages and matches of rows that changed. */
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
  for (const id of changed) {
    const tr = rows.get(id);
    showAge(tr);
    found.put(id, `${tr.children[0].textContent} ${tr.children[1].textContent} ${tr.children[2].textContent}`);
  }
  changed.clear();
  showCount();
}
body.addEventListener("pointerleave", settle);

function showAge(tr) {
  const passed = tr.dataset.at ? serverNow() - Date.parse(tr.dataset.at) : null;
  write(tr.querySelector('[data-f="age"]'), age(passed === null ? null : passed / 1000));
  tr.toggleAttribute("data-stale", passed === null || passed > staleAfter);
}
setInterval(() => { for (const tr of rows.values()) showAge(tr); }, 1000);

function showCount() {
  noMatch.hidden = found.matching > 0 || rows.size === 0;
  const all = rows.size === 1 ? "1 position" : `${rows.size} positions`;
  write(count, found.isOn ? `${found.matching} of ${rows.size}` : all);
}

function narrow() {
  found.search(search.value);
  showCount();
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

// A tab in the background shows only its title, so the title must not keep an old profit.
document.addEventListener("plumbline:state", ({ detail: name }) => {
  if (name !== "live" && name !== "catching") document.title = name === "connecting" ? title : `Offline · ${title}`;
  else if (document.title.startsWith("Offline")) document.title = title;
});

found.search(search.value); // a browser may restore what was typed before a reload
settle();
