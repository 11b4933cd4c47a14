// Writes facts into the cells that the server's partial rendered; says which cells changed.
import * as format from "./format.js";

const TINT_MS = 600;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// One line per cell: what templates/board/_row.html shows there.
const TEXTS = {
  name: (row) => row.name,
  kind: (row) => row.kind,
  venue: (row) => row.venue,
  account: (row) => row.account,
  side_label: (row) => row.side_label,
  leverage: (row) => (row.leverage === null ? "" : `${format.quantity(row.leverage)}×`),
  size: (row) => format.quantity(row.size, row.quantity_step),
  size_asset: (row) => row.size_asset,
  mark_again: (row) => format.price(row.mark, row.price_tick),
  entry: (row) => format.price(row.entry, row.price_tick),
  mark: (row) => format.price(row.mark, row.price_tick),
  notional: (row) => format.whole(row.notional),
  unrealized: (row) => format.signed(row.unrealized),
  unrealized_pct: (row) => format.percent(row.unrealized_pct),
  realized: (row) => format.signed(row.realized),
  fees: (row) => format.signed(format.negated(row.fees)),
  funding: (row) => format.signed(row.funding),
  liquidation: (row) => format.price(row.liquidation, row.price_tick),
  distance: (row) => format.distance(row.distance_pct),
  net: (row) => format.signed(row.net),
  status_label: (row) => row.status_label,
  proof_label: (row) => row.proof_label,
};
const SIGNS = ["unrealized", "unrealized_pct", "realized", "funding", "net"];
const ATTRIBUTES = ["side", "risk", "proof", "status"];

/** Write the facts that an element has cells for. `tint` lights up the cells whose text changed. */
export function fillPiece(element, row, { tint }) {
  const cells = cellsOf(element);
  for (const [name, cell] of Object.entries(cells)) {
    if (TEXTS[name] && write(cell, TEXTS[name](row)) && tint) light(cell.closest("td, th, dd") ?? cell);
    if (SIGNS.includes(name)) set(cell, "data-sign", format.sign(row[name]));
  }
  for (const name of ATTRIBUTES) {
    if (element.hasAttribute(`data-${name}`)) set(element, `data-${name}`, row[name]);
  }
  return cells;
}

/** Write one row of the board. */
export function fillRow(tr, row, { tint }) {
  const cells = fillPiece(tr, row, { tint });
  set(tr, "data-id", String(row.id));
  set(tr, "data-at", row.at ?? "");
  set(cells.href, "href", `/positions/${row.id}/`);
  set(cells.href, "title", row.symbol);
  set(cells.size, "title", row.size ?? "");
  set(cells.fees, "title", row.fees_title);
  set(cells.funding, "title", row.funding_title);
  set(cells.bar, "width", String(format.bar(row.distance_pct)));
}

/** Write one environment's totals into the status strip. Notes come as words from the server. */
export function fillTotals(strip, totals) {
  const cell = (name) => strip.querySelector(`[data-t="${name}"]`);
  write(cell("equity"), format.whole(totals.equity));
  write(cell("unrealized"), format.signed(totals.unrealized));
  write(cell("realized"), format.signed(totals.realized));
  write(cell("gross"), format.whole(totals.gross));
  write(cell("net"), format.netted(totals.net));
  write(cell("nearest"), format.distance(totals.nearest));
  for (const name of ["equity", "unrealized", "realized", "gross", "nearest", "proof", "feeds"]) {
    write(cell(`${name}_note`), totals[`${name}_note`]);
  }
  write(cell("proof"), totals.proof);
  write(cell("feeds"), totals.feeds);
  for (const name of ["unrealized", "realized"]) set(cell(name), "data-sign", format.sign(totals[name]));
  for (const name of ["equity", "gross", "nearest"]) set(cell(name), "data-sign", totals[name] === null ? "unknown" : "");
  set(strip.querySelector('[data-stat="nearest"]'), "data-level", totals.nearest_risk);
  set(strip.querySelector('[data-stat="proof"]'), "data-level", totals.proof_level);
  set(strip.querySelector('[data-stat="feeds"]'), "data-level", totals.feeds_level);
  set(strip, "data-oldest", totals.oldest_mark_at ?? "");
  set(strip, "data-totals", totals.environment);
}

/** Write text where it differs; true when it did. */
export function write(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function light(cell) {
  if (calm.matches || document.hidden) return;
  for (const running of cell.getAnimations()) running.cancel();
  cell.animate([{ backgroundColor: "var(--accent-soft)" }, { backgroundColor: "transparent" }], {
    duration: TINT_MS, easing: "ease-out", id: "changed",
  });
}

const known = new WeakMap();
function cellsOf(element) {
  let cells = known.get(element);
  if (!cells) {
    cells = Object.fromEntries([...element.querySelectorAll("[data-f]")].map((cell) => [cell.dataset.f, cell]));
    known.set(element, cells);
  }
  return cells;
}
