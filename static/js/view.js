// How one looks at the board: order, groups, columns, words searched: the browser's half of portfolio/pages/board_view.py.
// One table tests both. All of it is in the page's address.
import { abs, amount, divided, written } from "./derive.js";

const NUMBERS = {
  size: "quantity", entry: "entry_price", mark: "mark_price", notional: "notional", unrealized: "unrealized_pnl",
  pct: "unrealized_pnl_pct", realized: "realized_pnl", fees: "fees", funding: "funding",
  liquidation: "liquidation_price", distance: "liquidation_distance_pct",
};
const TEXTS = {
  instrument: ["name", "order"], account: ["venue", "account", "order"], side: ["side", "order"],
  status: ["status_label", "order"], proof: ["proof_label", "order"], age: ["mark_at", "order"],
};
const GROUPS = {
  asset: ["underlying", ["underlying"]], venue: ["venue", ["venue"]], account: ["account_id", ["venue", "account"]],
};
const PROOFS_FIRST = ["FAILED", "DRIFT"];
const RISKS_FIRST = ["critical", "danger", "watch"];
const HUNDRED = 100n * 10n ** 18n;

/** The view that an address asks for, as `board_view.view_of`: { sort, descending, group, search, hidden, compact }. */
export function viewOf(query) {
  const given = new URLSearchParams(query);
  const asked = given.get("sort") ?? "";
  const column = asked.replace(/^-/, "");
  const sort = column in NUMBERS || column in TEXTS ? column : "";
  const group = given.get("group") ?? "";
  return {
    sort,
    descending: sort !== "" && asked.startsWith("-"),
    group: group in GROUPS ? group : "",
    search: given.get("q") ?? "",
    hidden: (given.get("hide") ?? "").split(",").filter(Boolean),
    compact: given.get("rows") === "compact",
    environment: given.get("environment") ?? "",
  };
}

/** What a heading's link leads to: its order, then the other way round, then the board's own, as `_heading`. */
export function nextSort(view, column) {
  const first = { sort: column, descending: column in NUMBERS };
  if (view.sort !== column) return { ...view, ...first };
  return view.descending === first.descending
    ? { ...view, sort: column, descending: !first.descending }
    : { ...view, sort: "", descending: false };
}

/** The address's query of a view. */
export function queryOf(view) {
  const query = new URLSearchParams();
  const set = (name, value) => { if (value) query.set(name, value); };
  set("q", view.search);
  set("sort", view.sort && `${view.descending ? "-" : ""}${view.sort}`);
  set("group", view.group);
  set("hide", view.hidden.join(","));
  set("rows", view.compact ? "compact" : "");
  set("environment", view.environment);
  return query.toString();
}

/** The facts that decide where a row belongs in a view: rows move only when one of them changes. */
export function placeOf(row, view) {
  const facts = view.sort === "" ? ["proof", "risk"] : NUMBERS[view.sort] ? [NUMBERS[view.sort]] : TEXTS[view.sort];
  return [...facts, "order"].map((fact) => row[fact] ?? "").concat(groupOf(row, view.group)).join("\n");
}

/** Whether rows of this view move with prices. */
export function movesWithPrices(view) {
  return ["mark", "notional", "unrealized", "pct", "distance", "age"].includes(view.sort);
}

/** Rows in the order of the view: [{ key, label, rows }], as `board_view.arrange` without its search. */
export function arrange(rows, view) {
  const groups = new Map();
  for (const row of ordered(rows, view)) {
    const [key, label] = groupOf(row, view.group);
    if (!groups.has(key)) groups.set(key, { key, label, rows: [] });
    groups.get(key).rows.push(row);
  }
  const name = (group) => `${group.label.toLowerCase()}\n${group.key}`;
  return [...groups.values()].sort((a, b) => compare(name(a), name(b)));
}

function ordered(rows, view) {
  const found = [...rows].sort((a, b) => compare(a.order, b.order));
  const way = view.descending ? -1 : 1;
  if (view.sort in NUMBERS) {
    const fact = NUMBERS[view.sort];
    const known = found.filter((row) => row[fact] !== null).map((row) => [amount(row[fact]), row]);
    known.sort(([a], [b]) => way * compare(a, b));
    return [...known.map(([, row]) => row), ...found.filter((row) => row[fact] === null)];
  }
  if (!view.sort) return found.sort((a, b) => attention(a) - attention(b));
  const key = (row) => TEXTS[view.sort].map((fact) => String(row[fact] ?? "").toLowerCase());
  return found.sort((a, b) => way * compareAll(key(a), key(b)));
}

function attention(row) {
  const proof = PROOFS_FIRST.indexOf(row.proof);
  if (proof >= 0) return proof;
  const risk = RISKS_FIRST.indexOf(row.risk);
  return PROOFS_FIRST.length + (risk >= 0 ? risk : RISKS_FIRST.length);
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareAll(a, b) {
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return compare(a[i], b[i]);
  return 0;
}

/** A row's group: [key, name]; ["", ""] without groups. */
export function groupOf(row, group) {
  if (!group) return ["", ""];
  const [key, names] = GROUPS[group];
  return [String(row[key]), names.map((name) => row[name]).join(" · ")];
}

/** What rows add up to, as rollup.PositionSums: amounts as facts, and how many a sum leaves out. */
export function sumsOf(rows) {
  const sums = { unrealized: total(), realized: total(), notional: total(), shorts: total() };
  const sides = new Set();
  for (const row of rows) {
    add(sums.unrealized, row.unrealized_pnl, row.in_par);
    add(sums.realized, row.realized_pnl, row.in_par);
    add(sums.notional, row.notional, row.in_par);
    if (row.side === "short") add(sums.shorts, row.notional, row.in_par);
    sides.add(row.side);
  }
  const gross = amountOf(sums.notional);
  const net = gross === null ? null : gross - 2n * sums.shorts.value;
  const isWhole = gross && !sums.notional.left && sides.size > 1;
  return {
    count: rows.length,
    gross: fact(gross),
    net: fact(net),
    unrealized: fact(amountOf(sums.unrealized)),
    realized: fact(amountOf(sums.realized)),
    left_out: Math.max(...Object.values(sums).map((sum) => sum.left)),
    hedged_pct: isWhole ? written(divided((gross - abs(net)) * HUNDRED, gross)) : null,
  };
}

function total() {
  return { value: 0n, known: 0, left: 0 };
}

function add(sum, value, inPar) {
  if (value === null || !inPar) sum.left += 1;
  else { sum.value += amount(value); sum.known += 1; }
}

function amountOf(sum) {
  return sum.left && !sum.known ? null : sum.value;
}

function fact(units) {
  return units === null ? null : written(units);
}
