// What follows from a price: the browser's half of portfolio.live.board_position. Prices come as short rows (mark
// price, unrealized P&L, time); notional, percentages, total P&L and the distance to liquidation follow from the
// position as it last came whole.
import { divideHalfEven, parse } from "./format.js";

const PLACES = 18;
const ONE = 10n ** BigInt(PLACES);
const HUNDRED = 100n;

/**
 * Return a whole row at another price: `[id, mark_price, unrealized_pnl, mark_at_ms]`, null is unknown. Returns null
 * where nothing follows, as the row came without a price: then it must be requested whole.
 */
export function at(row, [, mark_price, unrealized_pnl, time]) {
  const mark_at = time === null ? null : new Date(time).toISOString();
  const moved = { ...row, mark_price, unrealized_pnl, mark_at };
  if (mark_price === null) {
    return Object.assign(moved, { notional: null, unrealized_pnl_pct: null, total_pnl: null, liquidation_distance_pct: null });
  }
  const [old, now, gained] = [amount(row.mark_price), amount(mark_price), amount(unrealized_pnl)];
  const [worth, before] = [amount(row.notional), amount(row.unrealized_pnl)];
  if (!old || worth === null || (gained === null) !== (before === null)) return null;
  const inverse = row.symbol.startsWith(`${row.currency}/`);
  moved.notional = written(inverse ? divided(worth * old, now) : divided(worth * now, old));
  if (gained !== null) {
    const cost = (row.side === "long") === inverse ? worth + before : worth - before;
    moved.unrealized_pnl_pct = cost ? written(divided(gained * HUNDRED * ONE, cost)) : null;
    moved.total_pnl = row.total_pnl === null ? null : written(amount(row.total_pnl) - before + gained);
  }
  const liquidation = amount(row.liquidation_price);
  if (row.liquidation_distance_pct !== null && liquidation !== null) {
    const gap = row.side === "long" ? now - liquidation : liquidation - now;
    moved.liquidation_distance_pct = written(divided(gap * HUNDRED * ONE, now));
  }
  return moved;
}

/** A fact in units of 10^-18; null is unknown. */
export function amount(text) {
  const number = parse(text);
  if (number === null) return null;
  const units = number.digits * 10n ** BigInt(PLACES - number.places);
  return number.negative ? -units : units;
}

/** A quotient of integers, half-even. */
export function divided(dividend, divisor) {
  const size = divideHalfEven(abs(dividend), abs(divisor));
  return dividend < 0n === divisor < 0n ? size : -size;
}

export function abs(number) {
  return number < 0n ? -number : number;
}

/** Fixed notation without trailing zeros, as core.values.money.fixed. */
export function written(units) {
  const digits = abs(units).toString().padStart(PLACES + 1, "0");
  const part = digits.slice(-PLACES).replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -PLACES)}${part ? `.${part}` : ""}`;
}
