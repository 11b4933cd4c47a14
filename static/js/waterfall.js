// The bars beside a position's P&L, moved when its figures change: the browser's half of portfolio/pages/waterfall.py.
const WIDTH = 100, NARROWEST = 0.6;

/** Draw the bars of a list whose lines have a `data-bar` each: a fact of the row, `-fees` for its negative, or none. */
export function drawWaterfall(list, row) {
  const bars = [...list.querySelectorAll("[data-part]")];
  if (!bars.length) return;
  const sums = [0];
  for (const bar of bars.slice(0, -1)) sums.push(sums.at(-1) + amountOf(bar, row));
  const low = Math.min(...sums), high = Math.max(...sums);
  const scale = high > low ? WIDTH / (high - low) : 0;
  bars.forEach((bar, index) => {
    const last = index === bars.length - 1;
    const [begin, end] = last ? [0, sums.at(-1)] : [sums[index], sums[index + 1]];
    const width = begin === end ? 0 : Math.max(Math.abs(end - begin) * scale, NARROWEST);
    bar.setAttribute("x", Math.min((Math.min(begin, end) - low) * scale, WIDTH - width).toFixed(2));
    bar.setAttribute("width", width.toFixed(2));
    bar.setAttribute("class", begin === end ? "" : end > begin ? "gain" : "loss");
  });
}

function amountOf(bar, row) {
  const { part, amount } = bar.dataset;
  if (amount) return Number(amount);
  const [name, sign] = part.startsWith("-") ? [part.slice(1), -1] : [part, 1];
  return row[name] === null || row[name] === undefined ? 0 : sign * Number(row[name]);
}
