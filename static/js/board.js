// The board: rows appear, change and leave as frames say; ages tick; the search narrows; the view orders and groups.
import { age, whole, signed } from "./format.js";
import { Groups } from "./groups.js";
import { environment, serverNow } from "./page.js";
import { fillRow, write } from "./patch.js";
import { RowSearch } from "./search.js";
import { movesWithPrices, nextSort, placeOf, queryOf, viewOf } from "./view.js";

const SETTLE_MS = 50;
const MOVE_MS = 2000; // rows that move with prices move together, so that one can read them
const staleAfter = Number(document.body.dataset.staleAfter) * 1000;
const section = document.querySelector("[data-table]");
const table = section.querySelector("table");
const empty = document.querySelector("[data-empty]");
const template = document.querySelector("[data-row-template]");
const search = document.querySelector("[data-search]");
const viewForm = document.querySelector("[data-view-form]");
const count = document.querySelector("[data-count]");
const noMatch = document.querySelector("[data-no-match]");
const title = document.title;

const rows = new Map(); // id → its <tr>
const facts = new Map(); // id → what it shows, from the first snapshot on
const places = new Map(); // id → where it belongs in this view
const changed = new Set(); // ids of rows written since the page was last settled
const found = new RowSearch((id, matches) => { rows.get(id).hidden = !matches; });
const groups = new Groups(table, document.querySelector("[data-group-template]"));
let view = viewOf(location.search);
for (const tr of table.querySelectorAll("tr.pos")) {
  const id = Number(tr.dataset.id);
  rows.set(id, tr);
  changed.add(id);
}
let unsorted = false;
let movedAt = 0;
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
    tr.hidden = found.isOn; // until it is matched
    rows.set(row.id, tr);
    groups.append(tr, row);
    unsorted = true;
  }
  facts.set(row.id, row);
  const place = placeOf(row, view);
  if (places.get(row.id) !== place) {
    unsorted = true;
    places.set(row.id, place);
  }
  fillRow(tr, row, { tint: tint && !isNew });
  changed.add(row.id);
}

function remove(id) {
  unsorted ||= rows.has(id);
  rows.get(id)?.remove();
  for (const known of [rows, facts, places, changed]) known.delete(id);
  found.remove(id);
}

/** Settle the page once after a burst of frames. */
function settleSoon() {
  soon ??= setTimeout(settle, SETTLE_MS);
}

/** Order rows that came or moved, unless the pointer is over them; show ages and matches of rows that changed. */
function settle() {
  clearTimeout(soon);
  soon = null;
  if (unsorted && mayMove()) place();
  section.hidden = rows.size === 0;
  empty.hidden = rows.size !== 0;
  for (const id of changed) {
    const tr = rows.get(id);
    showAge(tr);
    found.put(id, searched(tr));
  }
  groups.show(facts, changed, (id) => !rows.get(id).hidden);
  changed.clear();
  showCount();
}

function mayMove() {
  if (table.querySelector("tbody:hover")) return false;
  return !movesWithPrices(view) || Date.now() - movedAt >= MOVE_MS;
}

function place() {
  if (facts.size < rows.size) return; // the server's order, until the first snapshot
  groups.place(facts, rows, view);
  unsorted = false;
  movedAt = Date.now();
}
table.addEventListener("pointerout", ({ relatedTarget }) => {
  if (unsorted && !relatedTarget?.closest?.("tbody")) settle();
});

/** What a search looks through, as board_view.searched: the text that the row shows. */
function searched(tr) {
  const shown = ["name", "venue", "account", "side_label", "status_label", "proof_label"]
    .map((fact) => tr.querySelector(`[data-f="${fact}"]`).textContent);
  const risk = ["critical", "danger", "watch"].includes(tr.dataset.risk) ? " at risk" : "";
  return `${shown.join(" ")} ${tr.querySelector("[data-link]").title}${risk}`;
}

function showAge(tr) {
  const passed = tr.dataset.at ? serverNow() - Date.parse(tr.dataset.at) : null;
  write(tr.querySelector('[data-f="age"]'), age(passed === null ? null : passed / 1000));
  tr.toggleAttribute("data-stale", passed === null || passed > staleAfter);
}
setInterval(() => {
  for (const tr of rows.values()) showAge(tr);
  if (unsorted) settleSoon();
}, 1000);

function showCount() {
  noMatch.hidden = found.matching > 0 || rows.size === 0;
  const all = rows.size === 1 ? "1 position" : `${rows.size} positions`;
  write(count, found.isOn ? `${found.matching} of ${rows.size}` : all);
}

/** Show another view at once, and keep it in the address. */
function look(wanted) {
  view = wanted;
  const query = queryOf(view);
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
  table.dataset.hide = view.hidden.join(" ");
  table.toggleAttribute("data-compact", view.compact);
  for (const th of table.tHead.rows[0].cells) {
    const name = th.dataset.column;
    if (name === view.sort) th.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
    th.firstElementChild.href = `?${queryOf(nextSort(view, name))}`;
  }
  for (const [id, row] of facts) places.set(id, placeOf(row, view));
  place();
  for (const id of facts.keys()) changed.add(id);
  settle();
  document.querySelector("[data-view-query]").value = query;
}

function narrow() {
  found.search(search.value);
  look({ ...view, search: search.value.trim() });
}
search.addEventListener("input", narrow);
search.form.addEventListener("submit", (event) => event.preventDefault());
table.tHead.addEventListener("click", (event) => {
  const th = event.target.closest("a") && event.target.closest("th");
  if (!th || event.ctrlKey || event.metaKey || facts.size < rows.size) return;
  event.preventDefault();
  look(nextSort(view, th.dataset.column));
});
viewForm.addEventListener("change", () => {
  const ticked = [...viewForm.querySelectorAll('[name="show"]')];
  look({
    ...view,
    group: viewForm.elements.group.value,
    compact: viewForm.elements.rows.value === "compact",
    hidden: ticked.filter((box) => !box.checked).map((box) => box.value),
  });
});
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

/** Say in the menu which columns are chosen and yet too wide for this window. */
document.querySelector("[data-view-menu]")?.addEventListener("toggle", ({ target: menu }) => {
  for (const box of menu.open ? menu.querySelectorAll('[name="show"]') : []) {
    const heading = table.querySelector(`thead .c-${box.value}`);
    const narrow = box.checked && heading !== null && getComputedStyle(heading).display === "none";
    const label = box.closest("label");
    label.toggleAttribute("data-narrow", narrow);
    label.title = narrow ? "Shown in a wider window" : "";
  }
});
