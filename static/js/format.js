// How numbers read on a page: the browser's half of core/templatetags/numbers.py. One table tests both.
// Facts arrive as fixed-notation strings; they are rounded half-even as integers, never through a float.

export const UNKNOWN = "—";
const MINUS = "−";
const NBSP = "\u00a0";
const FINEST = 18;
const SIZE_PLACES = 8;
const PRICE_DIGITS = 6;
const FARTHEST = 1000n;
const BAR_FULL_AT = 25n;
const BAR_WIDTH = 58n;

/** A signed size: at least the size step's places, and all of its own digits up to 8 places. */
export function quantity(value, step = null) {
  const number = parse(value);
  if (number === null) return UNKNOWN;
  return fixed(number, Math.max(placesOf(step) ?? 0, Math.min(ownPlaces(number), SIZE_PLACES)));
}

/** A leverage, "5×"; nothing where it is unknown. */
export function multiple(value) {
  return parse(value) === null ? "" : `${quantity(value)}×`;
}

/** A price to its tick; six significant digits (at least 2 places) where the tick is unknown. */
export function price(value, step = null) {
  const number = parse(value);
  if (number === null) return UNKNOWN;
  let places = placesOf(step);
  if (places === null) {
    const wanted = number.digits ? Math.min(Math.max(2, PRICE_DIGITS - 1 - adjusted(number)), FINEST) : 2;
    places = Math.max(2, ownPlaces(round(number, wanted)));
  }
  return fixed(number, places);
}

/** An amount to the cent; smaller ones show two significant digits. */
export function money(value) {
  const number = parse(value);
  return number === null ? UNKNOWN : fixed(number, 2);
}

/** An amount where cents are noise: no places from 1,000 up, else to the cent. */
export function whole(value) {
  const number = parse(value);
  if (number === null) return UNKNOWN;
  return fixed(number, number.digits >= 1000n * 10n ** BigInt(number.places) ? 0 : 2);
}

/** A gain or loss to the cent with its sign always shown. */
export function signed(value) {
  return plus(parse(value)) + money(value);
}

/** A net amount with its sign always shown, no places from 1,000 up. */
export function netted(value) {
  return plus(parse(value)) + whole(value);
}

/** A signed change given in percent. */
export function percent(value) {
  const number = parse(value);
  if (number === null) return UNKNOWN;
  return `${plus(number)}${minus(number)}${grouped(round(number, 2))}${NBSP}%`;
}

/** The way left to liquidation, given in percent of the mark; beyond 1,000 % nobody counts. */
export function distance(value) {
  const number = parse(value);
  if (number === null) return UNKNOWN;
  const far = FARTHEST * 10n ** BigInt(number.places);
  if (!number.negative && number.digits > far) return `>${NBSP}1,000${NBSP}%`;
  return `${minus(number)}${grouped(round(number, 1))}${NBSP}%`;
}

/** Width of the distance bar in user units, 0 to 58, full at 25 percent; 0 for unknown. */
export function bar(value) {
  const number = parse(value);
  if (number === null || number.negative || !number.digits) return 0;
  const full = BAR_FULL_AT * 10n ** BigInt(number.places);
  const part = number.digits < full ? number.digits : full;
  return Number(divideHalfEven(part * BAR_WIDTH, full));
}

/** Word for the sign, for the style sheet: "gain", "loss", "zero" or "unknown". */
export function sign(value) {
  const number = parse(value);
  if (number === null) return "unknown";
  return number.digits ? (number.negative ? "loss" : "gain") : "zero";
}

/** The opposite amount as a fact. */
export function negated(value) {
  const number = parse(value);
  if (number === null) return null;
  if (!number.digits) return value;
  return number.negative ? value.slice(1) : `-${value}`;
}

/** How long ago in one unit, rounded down: "0 s", "41 s", "12 min", "5 h", "3 d". */
export function age(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return UNKNOWN;
  const all = Math.max(0, Math.trunc(seconds));
  for (const [limit, size, unit] of [[60, 1, "s"], [3600, 60, "min"], [172800, 3600, "h"]]) {
    if (all < limit) return `${Math.floor(all / size)}${NBSP}${unit}`;
  }
  return `${Math.floor(all / 86400)}${NBSP}d`;
}

/** A fact as an integer, the number of its places, and its sign; null for unknown. */
export function parse(value) {
  if (value === null || value === undefined || value === "") return null;
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(value);
  if (!match) throw new RangeError(`not a number that can be shown: ${value}`);
  const places = (match[3] ?? "").length;
  const digits = BigInt(match[2] + (match[3] ?? ""));
  return { negative: match[1] === "-" && digits > 0n, digits, places };
}

/** Of integers that are not negative. */
export function divideHalfEven(dividend, divisor) {
  const quotient = dividend / divisor;
  const twice = (dividend % divisor) * 2n;
  const up = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

function round(number, places) {
  const shift = places - number.places;
  const digits = shift >= 0
    ? number.digits * 10n ** BigInt(shift)
    : divideHalfEven(number.digits, 10n ** BigInt(-shift));
  return { negative: number.negative, digits, places };
}

/** Power of ten of the leading digit. */
function adjusted(number) {
  return number.digits.toString().length - 1 - number.places;
}

function ownPlaces(number) {
  if (!number.digits) return 0;
  const zeros = /0*$/.exec(number.digits.toString())[0].length;
  return Math.max(0, number.places - zeros);
}

function placesOf(step) {
  const size = parse(step);
  return size === null || !size.digits ? null : ownPlaces(size);
}

function fixed(number, places) {
  let rounded = round(number, places);
  if (number.digits && !rounded.digits) rounded = round(number, Math.min(1 - adjusted(number), FINEST));
  return minus(number) + grouped(rounded);
}

function grouped({ digits, places }) {
  const text = digits.toString().padStart(places + 1, "0");
  const units = text.slice(0, text.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  return places ? `${units}.${text.slice(-places)}` : units;
}

function minus(number) {
  return number.negative ? MINUS : "";
}

function plus(number) {
  return number !== null && number.digits && !number.negative ? "+" : "";
}
