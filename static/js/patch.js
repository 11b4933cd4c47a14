// Writes facts into the cells that the server's partial rendered, and tints those that changed.
import { serverNow } from "./clock.js";
import * as format from "./format.js";

const TINT_MS = 600;
const STATES = ["side", "risk", "proof", "status"]; // attributes that the style sheet reads
const TELLING_FEEDS = ["live", "polled", "none"]; // of positions.labels: by others nothing is heard of what happens
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Write the facts that an element has cells for, as its template says: `data-f` names the fact, `data-as` the rules of
 * format.js that write it (applied in order, the step given as `data-step` to the first), `data-title` the fact that
 * is its title. `tint` lights up the cells whose text changed; a part of a cell that is `data-own` lights up alone.
 */
export function fillPiece(element, row, { tint }) {
  for (const { cell, fact, rules, step, title, signed } of cellsOf(element)) {
    if (!(fact in row)) continue;
    if (fact === "proof_label") fillProof(element, cell, row, tint);
    else if (write(cell, text(row, fact, rules, step)) && tint) light(cell.closest("[data-own], td, th, dd") ?? cell);
    if (signed) set(cell, "data-sign", format.sign(row[fact]));
    if (title) set(cell, "title", row[title] ?? "");
  }
  for (const name of STATES) {
    if (element.hasAttribute(`data-${name}`)) set(element, `data-${name}`, row[name]);
  }
}

/** Write how a leg is proven. What was proven before its feed stopped is grey, and goes on ageing (page.js). */
function fillProof(element, chip, row, tint) {
  const aged = row.proof === "SYNCED" && row.feed !== null && !TELLING_FEEDS.includes(row.feed);
  const changed = element.dataset.proof !== row.proof || element.hasAttribute("data-aged") !== aged;
  element.toggleAttribute("data-aged", aged);
  if (aged) {
    set(chip, "data-proven", row.proof_at);
    set(chip, "title", row.proof_label);
    showProof(chip);
  } else {
    chip.removeAttribute("data-proven");
    chip.removeAttribute("title");
    write(chip, row.proof_label);
  }
  if (changed && tint) light(chip.closest("td, th, dd") ?? chip);
}

/** Write the age of a proof that is not of now. */
export function showProof(chip) {
  write(chip, `Synced ${format.age((serverNow() - Date.parse(chip.dataset.proven)) / 1000)} ago`);
}

function text(row, fact, rules, step) {
  return rules.reduce((value, rule, i) => format[rule](value, i === 0 && step ? row[step] : null), row[fact]);
}

/** Write one row of the board. */
export function fillRow(tr, row, { tint }) {
  fillPiece(tr, row, { tint });
  set(tr, "data-id", String(row.id));
  set(tr, "data-at", row.mark_at ?? "");
  const link = tr.querySelector("[data-link]");
  set(link, "href", `/positions/${row.id}/`);
  set(link, "title", row.symbol);
  set(tr.querySelector("[data-bar]"), "width", String(format.bar(row.liquidation_distance_pct)));
}

/** Write one environment's totals into the status strip. Notes come as words from the server. */
export function fillTotals(strip, totals) {
  const cell = (name) => strip.querySelector(`[data-t="${name}"]`);
  write(cell("equity"), format.whole(totals.equity));
  write(cell("today"), format.signed(totals.today));
  write(cell("today_pct"), totals.today_pct === null ? "" : format.percent(totals.today_pct));
  write(cell("unrealized"), format.signed(totals.unrealized));
  write(cell("gross"), format.whole(totals.gross));
  write(cell("net"), format.netted(totals.net));
  write(cell("nearest"), format.distance(totals.nearest));
  for (const name of ["equity", "today", "unrealized", "gross", "nearest", "proof", "feeds"]) {
    write(cell(`${name}_note`), totals[`${name}_note`]);
  }
  write(cell("proof"), totals.proof);
  write(cell("feeds"), totals.feeds);
  for (const name of ["today", "unrealized"]) set(cell(name), "data-sign", format.sign(totals[name]));
  for (const name of ["equity", "gross", "nearest"]) set(cell(name), "data-sign", totals[name] === null ? "unknown" : "");
  const nearest = strip.querySelector('[data-stat="nearest"]');
  set(nearest, "data-level", totals.nearest_risk);
  set(nearest, "href", totals.nearest_id === null ? "/?sort=distance" : `/positions/${totals.nearest_id}/`);
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
    cells = [...element.querySelectorAll("[data-f]")].map((cell) => ({
      cell,
      fact: cell.dataset.f,
      rules: cell.dataset.as?.split(" ") ?? [],
      step: cell.dataset.step,
      title: cell.dataset.title,
      signed: cell.hasAttribute("data-sign"),
    }));
    known.set(element, cells);
  }
  return cells;
}
