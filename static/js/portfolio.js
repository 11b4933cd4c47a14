// The portfolio's chart: equity above, drawdown below, on one axis of time. The library is loaded when the chart comes
// into view; without it, or without JavaScript, the table under it shows the same figures. Each minute the page is read
// again and its parts replaced.
import { colour, faded, local, onTheme, part, theme, whenSeen } from "./chart.js";
import { money, signed } from "./format.js";
import { readFragment } from "./fragment.js";

const EQUITY = 0, FALL = 1; // panes
const UNSEEN = { lineColor: "transparent", topColor: "transparent", bottomColor: "transparent" };
const MOST_LABELS = 8; // flows with their amount beside them; more would cover the line
let drawn = null; // {chart, equity, fall, markers, data}

const box = () => document.querySelector("[data-chart]");
const read = () => JSON.parse(document.getElementById("portfolio-chart").textContent);
/** Rows for one line. Where snapshots are missing the row has a time and no value, so that the line breaks. */
function line(data, column) {
  const rows = [], gaps = new Set(data.gaps.map(([since]) => since));
  let before = null, shown = null, broken = false;
  for (const point of data.points) {
    const gap = before !== null && gaps.has(before);
    if (gap) for (let at = before + data.step; at < point[0]; at += data.step) rows.push({ time: local(at) });
    const value = point[column];
    broken ||= gap || value === null;
    if (value === null) rows.push({ time: local(point[0]) });
    else {
      // The library joins what lies on both sides of a gap: what it draws from the point before is not to be seen.
      if (broken && shown) Object.assign(shown, UNSEEN);
      shown = { time: local(point[0]), value: Number(value) };
      rows.push(shown);
      broken = false;
    }
    before = point[0];
  }
  for (let at = before + data.step; before !== null && at < data.until - data.step; at += data.step) {
    rows.push({ time: local(at) });
  }
  // Clocks go back once a year: of two rows with one local time the later one stays.
  return rows.filter((row, index) => index === rows.length - 1 || row.time < rows[index + 1].time);
}

function marksOf(data, gain, loss) {
  const times = data.points.map((point) => point[0]);
  return data.flows.flatMap(([at, amount, text]) => {
    const after = times.find((time) => time >= at);
    if (after === undefined) return [];
    const out = amount?.startsWith("-");
    return [{
      time: local(after), position: out ? "aboveBar" : "belowBar", shape: out ? "arrowDown" : "arrowUp",
      color: out ? loss : gain, id: text,
      text: data.flows.length > MOST_LABELS ? "" : amount === null ? "?" : compact(amount),
    }];
  });
}

function compact(amount) {
  const number = Number(amount);
  const sign = number < 0 ? "−" : "+";
  return Math.abs(number) >= 1000 ? `${sign}${(Math.abs(number) / 1000).toFixed(number % 1000 ? 1 : 0)}k` : sign + Math.abs(number);
}

function paint() {
  const accent = colour("--accent"), loss = colour("--loss"), gain = colour("--gain");
  drawn.chart.applyOptions(theme());
  drawn.equity.applyOptions({ lineColor: accent, topColor: faded(accent, 0.2), bottomColor: faded(accent, 0.01) });
  drawn.fall.applyOptions({ lineColor: loss, topColor: faded(loss, 0.02), bottomColor: faded(loss, 0.24) });
  drawn.markers.setMarkers(marksOf(drawn.data, gain, loss));
}

function fill(data) {
  drawn.data = data;
  drawn.equity.setData(line(data, 1));
  drawn.fall.setData(line(data, 4));
  paint();
}

async function draw() {
  const place = box();
  if (!place) return;
  const data = read();
  let library;
  try {
    library = await import(place.dataset.library);
  } catch {
    return; // it could not be loaded: the table stays open
  }
  place.hidden = false;
  const { createChart, AreaSeries, createSeriesMarkers } = library;
  const short = data.step < 3600;
  const chart = createChart(place, {
    autoSize: true,
    ...theme(),
    rightPriceScale: { borderVisible: false, minimumWidth: 74 },
    timeScale: { borderVisible: false, timeVisible: data.step < 86400, secondsVisible: false, rightOffset: short ? 2 : 1, minBarSpacing: 0.05 },
    localization: { locale: navigator.language },
    handleScroll: { vertTouchDrag: false },
    handleScale: { mouseWheel: false },
  });
  const plain = { lineWidth: 2, priceLineVisible: false, lastValueVisible: true };
  const equity = chart.addSeries(AreaSeries, {
    ...plain, priceFormat: { type: "custom", minMove: 0.01, formatter: (value) => money(value.toFixed(2)) },
  }, EQUITY);
  const fall = chart.addSeries(AreaSeries, {
    ...plain, lineWidth: 1, invertFilledArea: true, lastValueVisible: false,
    priceFormat: { type: "custom", minMove: 0.01, formatter: (value) => `${value.toFixed(2).replace("-", "−")} %` },
  }, FALL);
  chart.panes()[FALL].setStretchFactor(0.34);
  chart.panes()[EQUITY].setStretchFactor(1);
  chart.priceScale("right", EQUITY).applyOptions({ scaleMargins: { top: 0.16, bottom: 0.08 } });
  chart.priceScale("right", FALL).applyOptions({ scaleMargins: { top: 0.06, bottom: 0.1 } });
  drawn = { chart, equity, fall, markers: createSeriesMarkers(equity, []), data };
  fill(data);
  chart.timeScale().fitContent();
  chart.subscribeCrosshairMove((move) => legend(move.time));
  legend();
  document.querySelector("[data-table]")?.removeAttribute("open");
  place.dataset.drawn = "";
}

/** What the pointer is at, else the newest: amounts to the cent, from the text that the server sent. */
function legend(time) {
  const { points, flows } = drawn.data;
  const at = time === undefined ? points.length - 1 : points.findIndex((point) => local(point[0]) === time);
  const place = document.querySelector("[data-legend]");
  if (at < 0) {
    place.textContent = "No snapshot here";
    return;
  }
  const [seconds, equity, low, high, fall, quality, missing] = points[at];
  const when = new Date(seconds * 1000);
  const parts = [
    part(when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }), "", when.toISOString()),
    part("Equity ", money(equity)),
    part("Low ", money(low)), part("High ", money(high)),
    part("Below peak ", fall === null ? "—" : `${Number(fall).toFixed(2).replace("-", "−")} %`),
  ];
  if (quality) parts.push(part("inputs incomplete", "", "", "warn"));
  if (missing) parts.push(part(`${missing} snapshots missing`, "", "", "warn"));
  const since = at ? points[at - 1][0] : seconds;
  for (const [when_, amount, text] of flows) {
    if (when_ > since && when_ <= seconds) parts.push(part(`${text.split(" · ")[0]} `, amount === null ? "unknown" : signed(amount)));
  }
  place.replaceChildren(...parts);
}

async function refresh() {
  if (document.hidden) return;
  const found = await readFragment(location.href);
  if (!found) return;
  for (const old of document.querySelectorAll("[data-part]")) {
    const fresh = found.querySelector(`[data-part="${old.dataset.part}"]`);
    if (!fresh || old.contains(document.activeElement)) continue;
    if (old.dataset.part !== "chart") {
      old.replaceWith(document.importNode(fresh, true));
      continue;
    }
    const data = found.getElementById("portfolio-chart");
    if (data && drawn) {
      document.getElementById("portfolio-chart").textContent = data.textContent;
      fill(read());
      legend();
    }
    for (const name of ["[data-quality]", ".as-table tbody"]) {
      const [shown, said] = [old.querySelector(name), fresh.querySelector(name)];
      if (shown && said) shown.replaceChildren(...document.importNode(said, true).childNodes);
    }
  }
}

const place = box();
// Hidden it has no size to come into view with: its panel has.
if (place) whenSeen(place.closest("[data-part]"), draw);
const root = document.querySelector("[data-portfolio]");
if (root) setInterval(refresh, Number(root.dataset.refresh) * 1000);
onTheme(() => { if (drawn) paint(); });
