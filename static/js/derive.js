// What follows from a price: the browser's half of portfolio.facts.value. Prices come as short rows (mark, unrealized,
// time); notional, percentages, net and the way to liquidation follow from the position as it last came whole.
import { divideHalfEven, parse } from "./format.js";

const PLACES = 18;
const ONE = 10n ** BigInt(PLACES);
const HUNDRED = 100n;

/**
 * Return a whole row at another price: `[id, mark, unrealized, at]`, `at` in milliseconds, null is unknown. Null where
 * that cannot be told, as the row came without a price: then it must be asked for whole.
 */
export function at(row, [, mark, unrealized, time]) {
  const moved = { ...row, mark, unrealized, at: time === null ? null : new Date(time).toISOString() };
  if (mark === null) return Object.assign(moved, { notional: null, unrealized_pct: null, net: null, distance_pct: null });
  const [old, now, gained] = [amount(row.mark), amount(mark), amount(unrealized)];
  const [worth, before] = [amount(row.notional), amount(row.unrealized)];
  if (!old || worth === null || (gained === null) !== (before === null)) return null;
  const inverse = row.symbol.startsWith(`${row.currency}/`);
  moved.notional = written(inverse ? divided(worth * old, now) : divided(worth * now, old));
  if (gained !== null) {
    const cost = (row.side === "long") === inverse ? worth + before : worth - before;
    moved.unrealized_pct = cost ? written(divided(gained * HUNDRED * ONE, cost)) : null;
    moved.net = row.net === null ? null : written(amount(row.net) - before + gained);
  }
  const liquidation = amount(row.liquidation);
  if (row.distance_pct !== null && liquidation !== null) {
    const gap = row.side === "long" ? now - liquidation : liquidation - now;
    moved.distance_pct = written(divided(gap * HUNDRED * ONE, now));
  }
  return moved;
}

/** A fact in units of 10^-18; null is unknown. */
function amount(text) {
  const number = parse(text);
  if (number === null) return null;
  const units = number.digits * 10n ** BigInt(PLACES - number.places);
  return number.negative ? -units : units;
}

function divided(dividend, divisor) {
  const size = divideHalfEven(abs(dividend), abs(divisor));
  return dividend < 0n === divisor < 0n ? size : -size;
}

function abs(number) {
  return number < 0n ? -number : number;
}

/** Fixed notation without trailing zeros, as core.money.fixed. */
function written(units) {
  const digits = abs(units).toString().padStart(PLACES + 1, "0");
  const part = digits.slice(-PLACES).replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -PLACES)}${part ? `.${part}` : ""}`;
}
