// Keys that work on every page, and the palette that leads anywhere. No key here changes anything in the book.
const PATIENCE_MS = 1500; // after a g
const MOST = 12; // places that the palette lists
const palette = document.querySelector("[data-palette]");
const help = document.querySelector("[data-keys]");
const positions = new Map(); // id → { label, note, href }, from the stream
let goingUntil = 0;

document.addEventListener("plumbline:frame", ({ detail: frame }) => {
  if (frame.type === "snapshot") positions.clear();
  for (const row of frame.positions ?? (frame.type === "position_update" ? [frame.position] : [])) {
    if (!row.open) positions.delete(row.id);
    else if (!positions.has(row.id)) {
      positions.set(row.id, {
        label: row.name, note: `${row.side_label} · ${row.venue} ${row.account}`, href: `/positions/${row.id}/`,
        account: { label: `${row.venue} ${row.account}`, note: "Account", href: `/accounts/${row.account_id}/` },
      });
    }
  }
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (Date.now() < goingUntil) go(event);
  else if (event.key === "g") goingUntil = Date.now() + PATIENCE_MS;
  else if (event.key === "?" && help) help.showModal();
  else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
});

function go(event) {
  goingUntil = 0;
  document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
}

/** Move to the next row that is shown, from the one that has the focus. */
function step(by) {
  const links = [...document.querySelectorAll("tr.pos [data-link]")].filter((link) => link.offsetParent !== null);
  const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const marked = links.findIndex((link) => link.closest("tr").hasAttribute("aria-current"));
  const from = at >= 0 ? at : marked;
  const next = links[from < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(from + by, 0), links.length - 1)];
  next?.focus();
  next?.closest("tr").scrollIntoView({ block: "nearest" });
}

if (palette) {
  const input = palette.querySelector("[data-palette-input]");
  const list = palette.querySelector("[data-palette-list]");
  const none = palette.querySelector("[data-palette-none]");
  input.addEventListener("input", () => show(input, list, none));
  palette.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(input, list, list.querySelector('[aria-selected="true"]')?.[event.key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling"]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      lead(list.querySelector('[aria-selected="true"]'));
    }
  });
  palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
}

function openPalette() {
  if (!palette || palette.open) return;
  const input = palette.querySelector("[data-palette-input]");
  input.value = "";
  show(input, palette.querySelector("[data-palette-list]"), palette.querySelector("[data-palette-none]"));
  palette.showModal();
  input.focus();
}

/** Go where an item leads. The keys stay in the field, so an item is no link: it could get no focus. */
function lead(item) {
  if (item) location.assign(item.dataset.href);
}

function places() {
  const pages = [...document.querySelectorAll(".rail [data-go], [data-jump]")].map((link) => ({
    label: link.textContent.trim(), note: "", href: link.getAttribute("href"),
  }));
  const accounts = new Map([...positions.values()].map(({ account }) => [account.href, account]));
  return [...pages, ...positions.values(), ...accounts.values()];
}

function show(input, list, none) {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = places().filter(({ label, note }) => {
    const text = `${label} ${note}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  list.replaceChildren(...found.slice(0, MOST).map((place, i) => {
    const item = document.createElement("li");
    item.role = "option";
    item.id = `palette-${i}`;
    item.dataset.href = place.href;
    const label = document.createElement("span");
    label.textContent = place.label;
    const note = document.createElement("span");
    note.className = "muted";
    note.textContent = place.note;
    item.append(label, note);
    item.addEventListener("click", () => lead(item));
    return item;
  }));
  none.hidden = found.length > 0;
  choose(input, list, list.firstElementChild);
}

function choose(input, list, item) {
  if (!item) return;
  for (const other of list.children) other.setAttribute("aria-selected", String(other === item));
  input.setAttribute("aria-activedescendant", item.id);
  item.scrollIntoView({ block: "nearest" });
}
