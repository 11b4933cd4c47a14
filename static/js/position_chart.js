// The chart of a position: candles with its fills, lines for entry, mark and liquidation that follow the stream, and its
// P&L below. The library and the prices are loaded when the chart comes into view, and the prices again each minute.
import { colour, faded, local, onTheme, part, theme, whenSeen } from "./chart.js";
import { price, quantity, signed } from "./format.js";
import { write } from "./patch.js";

const PRICE = 0, PNL = 1; // panes
const AGAIN_MS = 60_000;
const MOST_LABELS = 12; // fills with their price beside them; more would cover the candles
const LINES = { entry_price: "entry", mark_price: "mark", liquidation_price: "liq." };
const panel = document.querySelector("[data-position-chart]");
const place = panel?.querySelector("[data-chart]");
const note = panel?.querySelector("[data-chart-note]");
const facts = document.querySelector("[data-prices]");
let drawn = null; // {chart, candles, pnl, markers, lines, data}

async function read() {
  const answer = await fetch(panel.dataset.positionChart, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return null;
  return answer.json();
}

/** Rows for a series; a step without one stays a gap. */
function rows(found, step, row) {
  const made = [];
  let before = null;
  for (const one of found) {
    for (let at = before + step; before !== null && at < one[0]; at += step) made.push({ time: local(at) });
    made.push(row(one));
    before = one[0];
  }
  // Clocks go back once a year: of two rows with one local time the later one stays.
  return made.filter((one, index) => index === made.length - 1 || one.time < made[index + 1].time);
}

const candle = ([at, open, high, low, close]) => (
  { time: local(at), open: Number(open), high: Number(high), low: Number(low), close: Number(close) }
);
const profit = ([at, value]) => (value === null ? { time: local(at) } : { time: local(at), value: Number(value) });

function markersOf({ fills, tick }) {
  const [gain, loss] = [colour("--gain"), colour("--loss")];
  return fills.map((fill) => {
    const bought = fill.side === "buy";
    const several = fill.count > 1 ? `${fill.count} fills, ` : "";
    return {
      time: local(fill.at), position: bought ? "belowBar" : "aboveBar", shape: bought ? "arrowUp" : "arrowDown",
      color: bought ? gain : loss,
      text: fills.length > MOST_LABELS ? "" : `${several}${fill.price === null ? "price unknown" : price(fill.price, tick)}`,
    };
  });
}

function paint() {
  const [gain, loss, accent] = [colour("--gain"), colour("--loss"), colour("--accent")];
  drawn.chart.applyOptions(theme());
  drawn.candles.applyOptions({
    upColor: gain, downColor: loss, wickUpColor: gain, wickDownColor: loss, borderVisible: false,
  });
  drawn.pnl.applyOptions({
    topLineColor: gain, topFillColor1: faded(gain, 0.2), topFillColor2: faded(gain, 0.02),
    bottomLineColor: loss, bottomFillColor1: faded(loss, 0.02), bottomFillColor2: faded(loss, 0.2),
  });
  const colours = { entry_price: accent, mark_price: colour("--ink-3"), liquidation_price: colour("--act") };
  for (const [name, line] of drawn.lines) line.applyOptions({ color: colours[name], axisLabelColor: colours[name] });
  drawn.markers.setMarkers(markersOf(drawn.data));
}

function fill(data) {
  drawn.data = data;
  drawn.candles.setData(rows(data.candles, data.step, candle));
  drawn.pnl.setData(data.pnl.map(profit));
  // Without prices the P&L stands alone, in a lower chart.
  place.classList.toggle("low", !data.candles.length);
  drawn.chart.panes()[PRICE].setStretchFactor(data.candles.length ? 1 : 0.01);
  paint();
  legend();
}

/** Draw or move the lines; one whose price is not known is not drawn. */
function follow(row) {
  if (!drawn) return;
  for (const [name, title] of Object.entries(LINES)) {
    const value = row[name] === null || row[name] === undefined ? null : Number(row[name]);
    const line = drawn.lines.get(name);
    if (value === null || value <= 0) {
      if (line) drawn.candles.removePriceLine(line);
      drawn.lines.delete(name);
    } else if (line) line.applyOptions({ price: value });
    else {
      const style = name === "mark_price" ? 1 : 2; // dotted, dashed
      drawn.lines.set(name, drawn.candles.createPriceLine({ price: value, title, lineWidth: 1, lineStyle: style, axisLabelVisible: true }));
      paint();
    }
  }
}

/** What the pointer is at: amounts from the text that the server sent. */
function legend(time) {
  const found = time === undefined ? drawn.data.candles.at(-1) : drawn.data.candles.find(([at]) => local(at) === time);
  const parts = [];
  if (found) {
    const [at, open, high, low, close] = found;
    const when = new Date(at * 1000);
    parts.push(part(when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }), "", when.toISOString()));
    for (const [label, value] of [["Open ", open], ["High ", high], ["Low ", low], ["Close ", close]]) {
      parts.push(part(label, price(value, drawn.data.tick)));
    }
    for (const one of drawn.data.fills.filter((one) => one.at === at)) {
      const verb = one.side === "buy" ? "Bought " : "Sold ";
      parts.push(part(verb, `${quantity(one.quantity)} at ${one.price === null ? "—" : price(one.price, drawn.data.tick)}`));
    }
  }
  const pnl = time === undefined ? drawn.data.pnl.at(-1) : drawn.data.pnl.findLast(([at]) => local(at) <= time);
  if (pnl) parts.push(part("P&L ", pnl[1] === null ? "—" : signed(pnl[1])));
  place.querySelector("[data-legend]").replaceChildren(...parts);
}

function tell({ problem, detail }) {
  write(note, problem);
  note.title = detail;
}

async function draw() {
  const [data, library] = await Promise.all([read(), import(place.dataset.library).catch(() => null)]);
  if (!data || !library) {
    write(note, "The prices could not be read. Reload to try again.");
    return;
  }
  tell(data);
  if (!data.candles.length && !data.pnl.length) return;
  place.hidden = false;
  const { createChart, BaselineSeries, CandlestickSeries, createSeriesMarkers } = library;
  const chart = createChart(place, {
    autoSize: true,
    ...theme(),
    rightPriceScale: { borderVisible: false, minimumWidth: 74 },
    timeScale: { borderVisible: false, timeVisible: data.step < 86400, secondsVisible: false, rightOffset: 2, minBarSpacing: 0.05 },
    localization: { locale: navigator.language },
    handleScroll: { vertTouchDrag: false },
    handleScale: { mouseWheel: false },
  });
  const candles = chart.addSeries(CandlestickSeries, {
    lastValueVisible: false, priceLineVisible: false,
    priceFormat: { type: "custom", minMove: Number(data.tick ?? 0.00000001), formatter: (value) => price(value.toFixed(12), data.tick) },
  }, PRICE);
  const pnl = chart.addSeries(BaselineSeries, {
    baseValue: { type: "price", price: 0 }, lineWidth: 1, priceLineVisible: false,
    priceFormat: { type: "custom", minMove: 0.01, formatter: (value) => signed(value.toFixed(2)) },
  }, PNL);
  chart.panes()[PNL].setStretchFactor(0.4);
  drawn = { chart, candles, pnl, markers: createSeriesMarkers(candles, []), lines: new Map(), data };
  fill(data);
  chart.timeScale().fitContent();
  chart.subscribeCrosshairMove((move) => legend(move.time));
  follow(JSON.parse(facts.dataset.prices));
  place.dataset.drawn = "";
}

async function again() {
  if (document.hidden || !drawn) return;
  const data = await read();
  if (!data) return;
  tell(data);
  if (data.candles.length || !drawn.data.candles.length) fill(data); // what is shown stays while the venue is silent
}

if (panel) {
  whenSeen(panel, draw);
  setInterval(again, AGAIN_MS);
  onTheme(() => { if (drawn) paint(); });
  const id = Number(facts.dataset.position);
  document.addEventListener("plumbline:frame", ({ detail: frame }) => {
    const rows = frame.type === "snapshot" ? frame.positions : frame.type === "position_update" ? [frame.position] : [];
    const row = rows.find((one) => one.id === id);
    if (row?.open) follow(row);
  });
}
