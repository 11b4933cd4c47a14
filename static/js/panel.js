// The side panel of the board: a position's page in short, beside the board, which stays visible and live.
import { forgetFragment, readFragment } from "./fragment.js";
import { age } from "./format.js";
import { serverNow } from "./page.js";
import { fillPiece, write } from "./patch.js";
import { drawWaterfall } from "./waterfall.js";

const NARROW = matchMedia("(max-width: 680px)");
const panel = document.querySelector("[data-panel]");
const content = panel.querySelector("[data-panel-body]");
const table = document.querySelector("[data-table] table");
let shown = null; // the id of the position that the panel shows
let opener = null;
let reading = false;
let again = false;

/** Show a position; the row stays marked. */
async function open(id, from) {
  opener = from;
  if (shown !== id) {
    if (shown !== null) forgetFragment(address(shown));
    shown = id;
    content.setAttribute("aria-busy", "true");
  }
  panel.hidden = false;
  document.body.classList.add("with-panel");
  mark();
  await read();
  if (shown === id) panel.focus({ preventScroll: !NARROW.matches });
}

function close() {
  if (shown === null) return;
  forgetFragment(address(shown));
  shown = null;
  panel.hidden = true;
  content.replaceChildren();
  document.body.classList.remove("with-panel");
  mark();
  opener?.focus({ preventScroll: true });
}

function address(id) {
  return `/positions/${id}/panel/`;
}

/** Read the panel's content again; a change during a read leads to one more. */
async function read() {
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  do {
    again = false;
    const id = shown;
    const newer = (await readFragment(address(id)))?.querySelector("[data-panel-content]");
    if (newer && shown === id) content.replaceChildren(newer);
    if (shown === id) content.removeAttribute("aria-busy");
  } while (again && shown !== null);
  reading = false;
}

function mark() {
  for (const tr of table.querySelectorAll("tr.pos[aria-current]")) tr.removeAttribute("aria-current");
  if (shown !== null) table.querySelector(`tr.pos[data-id="${shown}"]`)?.setAttribute("aria-current", "true");
}

table.addEventListener("click", (event) => {
  const tr = event.target.closest("tr.pos");
  const link = event.target.closest("a");
  if (!tr || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link && !link.hasAttribute("data-link")) return;
  if (!link && String(getSelection())) return; // somebody copies a number
  event.preventDefault();
  open(Number(tr.dataset.id), tr.querySelector("[data-link]"));
});
panel.querySelector("[data-panel-close]").addEventListener("click", close);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && shown !== null && !document.querySelector("dialog[open]") && !event.defaultPrevented
    && !event.target.closest("input, [data-menu][open]")) close();
});
document.addEventListener("plumbline:frame", ({ detail: frame }) => {
  const row = frame.type === "position_update" ? frame.position : frame.positions?.find(({ id }) => id === shown);
  if (shown === null || row?.id !== shown) return;
  for (const piece of content.querySelectorAll(`[data-position="${row.id}"]`)) {
    fillPiece(piece, row, { tint: true });
    if (piece.matches("[data-waterfall]")) drawWaterfall(piece, row);
    for (const cell of piece.querySelectorAll("[data-at]")) cell.dataset.at = row.mark_at ?? "";
  }
  const now = content.querySelector("[data-panel-content]");
  if (now && (now.dataset.version !== String(row.version) || now.dataset.proof !== row.proof)) read();
});
setInterval(() => {
  for (const cell of content.querySelectorAll("[data-at]")) {
    write(cell, age(cell.dataset.at ? (serverNow() - Date.parse(cell.dataset.at)) / 1000 : null));
  }
}, 1000);
