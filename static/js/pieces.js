// Pages of one position or one account: figures stay live; lists say when they are no longer the newest.
import { age } from "./format.js";
import { serverNow } from "./page.js";
import { fillPiece, fillRow, write } from "./patch.js";
import { drawWaterfall } from "./waterfall.js";

const staleAfter = Number(document.body.dataset.staleAfter) * 1000;
const account = Number(document.body.dataset.account);
const newer = document.querySelector("[data-newer]");
const versions = new Map(); // position id → the version that the lists below were painted with

for (const piece of document.querySelectorAll("[data-position][data-version]")) {
  versions.set(Number(piece.dataset.position), Number(piece.dataset.version));
}

document.addEventListener("plumbline:frame", ({ detail: frame }) => {
  const rows = frame.type === "snapshot" ? frame.positions : frame.type === "position_update" ? [frame.position] : [];
  for (const row of rows) take(row);
  if (frame.type === "snapshot") missed(new Set(rows.map((row) => row.id)));
  tick();
});

/** Positions that closed while nobody was listening. */
function missed(open) {
  for (const tr of document.querySelectorAll("tr.pos[data-id]")) if (!open.has(Number(tr.dataset.id))) tr.remove();
  for (const id of versions.keys()) if (!open.has(id)) newer.hidden = false;
}

function take(row) {
  for (const tr of document.querySelectorAll(`tr.pos[data-id="${row.id}"]`)) {
    if (row.open) fillRow(tr, row, { tint: true });
    else tr.remove();
  }
  for (const piece of document.querySelectorAll(`[data-position="${row.id}"]`)) {
    if (!row.open) continue;
    fillPiece(piece, row, { tint: true });
    if (piece.matches("[data-waterfall]")) drawWaterfall(piece, row);
    for (const cell of piece.querySelectorAll("[data-at]")) cell.dataset.at = row.mark_at ?? "";
  }
  const shown = versions.get(row.id);
  if (shown === undefined && row.account_id === account) versions.set(row.id, row.version);
  const isNew = account && row.account_id === account && row.open && !document.querySelector(`tr.pos[data-id="${row.id}"]`);
  if ((shown !== undefined && (row.version !== shown || !row.open)) || isNew) newer.hidden = false;
}

function tick() {
  const now = serverNow();
  for (const element of document.querySelectorAll("[data-at]")) {
    const passed = element.dataset.at ? now - Date.parse(element.dataset.at) : null;
    const shown = element.matches(".age") ? element : element.querySelector('[data-f="age"]');
    if (shown) write(shown, age(passed === null ? null : passed / 1000));
    element.toggleAttribute("data-stale", passed === null || passed > staleAfter);
  }
}
tick();
setInterval(tick, 1000);
