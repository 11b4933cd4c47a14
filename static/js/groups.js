// The groups of the board's table: one <tbody> each, with a heading that says what its rows add up to.
import * as format from "./format.js";
import { write } from "./patch.js";
import { arrange, groupOf, sumsOf } from "./view.js";

const ADD_UP_MS = 500; // subtotals follow prices no faster than people read
const RULES = {
  count: String, left_out: String, gross: format.whole, net: format.netted, unrealized: format.signed,
  realized: format.signed, hedged_pct: format.distance,
};

export class Groups {
  #table;
  #template;
  #group = ""; // what the table is grouped by
  #due = new Set(); // keys of groups whose rows changed since they were added up
  #addedAt = 0;

  constructor(table, template) {
    this.#table = table;
    this.#template = template;
  }

  /** Add a row at the end of its group, or of the table, until rows are placed. */
  append(tr, row) {
    const bodies = [...this.#table.tBodies];
    const [key] = groupOf(row, this.#group);
    (bodies.find((body) => body.dataset.group === key) ?? bodies.at(-1)).append(tr);
  }

  /** Put rows (id → tr) where their facts (id → row) belong in a view. Only what is elsewhere moves. */
  place(facts, rows, view) {
    const old = new Map([...this.#table.tBodies].map((body) => [body.dataset.group, body]));
    if (view.group !== this.#group) {
      for (const body of old.values()) body.querySelector("[data-group-row]")?.remove();
      this.#group = view.group;
    }
    const wanted = arrange(facts.values(), view);
    let after = this.#table.tHead;
    for (const group of wanted.length ? wanted : [{ key: "", label: "", rows: [] }]) {
      const body = old.get(group.key) ?? newBody(group.key);
      old.delete(group.key);
      body.hidden = false;
      if (after.nextElementSibling !== body) after.after(body);
      after = body;
      let last = view.group && group.rows.length ? this.#heading(body, group) : null;
      for (const { id } of group.rows) {
        const tr = rows.get(id);
        const here = last ? last.nextElementSibling : body.firstElementChild;
        if (here !== tr) body.insertBefore(tr, here);
        last = tr;
      }
      this.#due.add(group.key);
    }
    for (const body of old.values()) body.remove();
    this.#addedAt = 0;
  }

  #heading(body, group) {
    let tr = body.querySelector("[data-group-row]");
    if (!tr) {
      tr = this.#template.content.querySelector("tr").cloneNode(true);
      body.prepend(tr);
    }
    write(tr.querySelector('[data-g="label"]'), group.label);
    return tr;
  }

  /** Add groups up anew in which one of these rows changed; only rows that are seen count. */
  show(facts, changed, isSeen) {
    if (!this.#group) {
      this.#due.clear();
      return;
    }
    for (const id of changed) if (facts.has(id)) this.#due.add(groupOf(facts.get(id), this.#group)[0]);
    if (!this.#due.size || Date.now() - this.#addedAt < ADD_UP_MS) return;
    const seen = new Map();
    for (const row of facts.values()) {
      const [key] = groupOf(row, this.#group);
      if (this.#due.has(key) && isSeen(row.id)) seen.set(key, [...(seen.get(key) ?? []), row]);
    }
    for (const body of this.#table.tBodies) {
      if (!this.#due.has(body.dataset.group)) continue;
      const rows = seen.get(body.dataset.group) ?? [];
      body.hidden = !rows.length;
      if (rows.length) fill(body.querySelector("[data-group-row]"), sumsOf(rows));
    }
    this.#due.clear();
    this.#addedAt = Date.now();
  }
}

function newBody(key) {
  const body = document.createElement("tbody");
  body.dataset.rows = "";
  body.dataset.group = key;
  return body;
}

function fill(tr, sums) {
  if (!tr) return;
  for (const cell of tr.querySelectorAll("[data-g]")) {
    const name = cell.dataset.g;
    if (RULES[name]) write(cell, RULES[name](sums[name]));
    if (cell.hasAttribute("data-sign")) cell.setAttribute("data-sign", format.sign(sums[name]));
  }
  tr.querySelector('[data-g="hedged"]').hidden = sums.hedged_pct === null;
  tr.querySelector('[data-g="left"]').hidden = !sums.left_out;
}
