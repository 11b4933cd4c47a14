// Types of Plumbline's stream, ws(s)://HOST/api/v1/positions/stream.
// Generated from its JSON Schema (/api/v1/stream-schema) by `manage.py stream_types`: do not edit.

/** An alert was raised, changed or cleared; it comes whole, so a repeat is harmless. */
export interface Alert {
  type: "alert";
  alert: AlertSummary;
}

/** An alert as it stands. `summary` is how it healed once it is over. */
export interface AlertSummary {
  id: number;
  kind: string;
  kind_label: string;
  severity: "critical" | "warning" | "info";
  state: "raised" | "acknowledged" | "cleared";
  /** Never changes once people know it. */
  title: string;
  summary: string;
  /** Null: of no single account. */
  account_id: number | null;
  account: string | null;
  /** False: its wait is not over, or another alert explains it. */
  told: boolean;
  /** The alert that causes it: nobody is told of this one. */
  explained_by: number | null;
  /** ISO 8601, in UTC. */
  raised_at: string;
  /** Since when nobody can say whether it is still so. */
  unjudged_since: string | null;
  acknowledged_at: string | null;
  acknowledged_by: string;
  cleared_at: string | null;
  /** ISO 8601, in UTC. */
  at: string;
}

/** How far reading what was missed has come, in facts. */
export interface Backfill {
  feed: string;
  booked: number;
  of: number | null;
}

/** What a client may send. */
export type Command = Ping | GetSummary | Subscribe | Resume;

/** What was wrong with a command. */
export interface ErrorFrame {
  type: "error";
  code: string;
  detail: string;
}

/** An account's feed changed. */
export interface Feed {
  type: "feed";
  feed: FeedState;
}

/** The state of one account's feed. */
export interface FeedState {
  account: number;
  state: "live" | "backfilling" | "stale" | "down";
  /** ISO 8601, in UTC. */
  since: string;
  /** ISO 8601, in UTC. */
  at: string;
  last_event: string | null;
  reason: string;
  /** False: this venue has no stream and is polled. */
  streams: boolean;
  progress: Backfill | null;
  copy: string;
}

/** What the server sends. */
export type Frame = Hello | Snapshot | PositionUpdate | Rows | Portfolio | Feed | Alert | Heartbeat | Pong | ErrorFrame;

/** Answered by a portfolio frame. */
export interface GetSummary {
  type: "get_summary";
}

/** Every 2 s while the book can be read. */
export interface Heartbeat {
  type: "heartbeat";
  /** ISO 8601, in UTC. */
  server_time: string;
  /** epoch-id: the place in the stream. For `resume`. */
  token: string;
}

/** The first frame. */
export interface Hello {
  type: "hello";
  /** ISO 8601, in UTC. */
  server_time: string;
  format: "named" | "compact";
}

/** Answered by a pong. Who has sent one must send another within 10 s. `last`: the last token received. */
export interface Ping {
  type: "ping";
  last?: string | null;
}

/** The answer to a ping. */
export interface Pong {
  type: "pong";
  /** ISO 8601, in UTC. */
  server_time: string;
  /** epoch-id: the place in the stream. For `resume`. */
  token: string;
}

/** Totals of what this socket may see, at most once a second. */
export interface Portfolio {
  type: "portfolio";
  /** epoch-id: the place in the stream. For `resume`. */
  token: string;
  totals: Partial<Record<"live" | "testnet" | "simulated" | "manual", Totals>>;
}

/**
 * One position as it is now. Money is in `currency`, sizes in `size_asset`; null is unknown.
 *
 * What the HTTP API has too is named as there; some of it is repeated under earlier names (`size`).
 */
export interface Position {
  /** Sorts rows as the board does. */
  order: string;
  /** False: it has ended, and leaves. */
  open: boolean;
  /** BTC-PERP: what people call the instrument. */
  name: string;
  /** BTC: what its price follows, alike for coin and perpetual. */
  underlying: string;
  kind: string;
  environment: "live" | "testnet" | "simulated" | "manual";
  environment_label: string;
  side: "long" | "short" | "flat";
  side_label: string;
  /** Signed: short is negative. */
  quantity: string;
  size_asset: string;
  quantity_step: string | null;
  price_tick: string | null;
  currency: string;
  /** Whether `currency` counts as one USD in totals. */
  in_par: boolean;
  /** Paid is positive. */
  fees: string | null;
  fees_title: string;
  /** Received is positive. */
  funding: string | null;
  funding_title: string;
  /** A decimal in fixed notation. */
  interest: string;
  /** A decimal in fixed notation. */
  adjustments: string;
  /** How many unknowns the sums leave out. */
  incomplete: number;
  risk: "none" | "safe" | "watch" | "danger" | "critical" | "unknown";
  status: string;
  status_label: string;
  proof: "PENDING" | "SYNCED" | "DRIFT" | "FAILED";
  /** With its time, where it is not of now: Synced at 14:02:11 UTC. */
  proof_label: string;
  feed: "live" | "backfilling" | "stale" | "down" | "polled" | "none" | null;
  id: number;
  /** Moves when the figures move: for If-Match. */
  version: number;
  account_id: number;
  account: string;
  venue: string;
  symbol: string;
  leg: "net" | "long" | "short";
  entry_price: string | null;
  realized_pnl: string | null;
  mark_price: string | null;
  /** When the mark was observed; with a null mark, unknown since. */
  mark_at: string | null;
  notional: string | null;
  unrealized_pnl: string | null;
  unrealized_pnl_pct: string | null;
  total_pnl: string | null;
  leverage: string | null;
  liquidation_price: string | null;
  liquidation_distance_pct: string | null;
  /** The venue's time of the report that last agreed with the book; null: none ever has. */
  proof_at: string | null;
  /** What our reading of this venue was tested with: recorded (answers it really gave), simulated, unproven (a SYNCED means less), or unsupported (kept by hand). */
  proof_reading: string;
  /** The methods behind the proof that nothing proves yet. */
  proof_unproven: string[];
  /** The same as `quantity`, under its earlier name. */
  size: string;
  /** The same as `entry_price`, under its earlier name. */
  entry: string | null;
  /** The same as `mark_price`, under its earlier name. */
  mark: string | null;
  /** The same as `mark_at`, under its earlier name. */
  at: string | null;
  /** The same as `unrealized_pnl`, under its earlier name. */
  unrealized: string | null;
  /** The same as `unrealized_pnl_pct`, under its earlier name. */
  unrealized_pct: string | null;
  /** The same as `realized_pnl`, under its earlier name. */
  realized: string | null;
  /** The same as `total_pnl`, under its earlier name. */
  net: string | null;
  /** The same as `liquidation_price`, under its earlier name. */
  liquidation: string | null;
  /** The same as `liquidation_distance_pct`, under its earlier name. */
  distance_pct: string | null;
}

/** One position changed; it comes whole, so a repeat is harmless. */
export interface PositionUpdate {
  type: "position_update";
  id: number;
  symbol: string;
  /** epoch-id: the place in the stream. For `resume`. */
  token: string;
  position: Position;
}

/** Get what changed since a token, or a snapshot. */
export interface Resume {
  type: "resume";
  token: string;
}

/** Compact format only: prices moved. Each row is [id, mark_price, unrealized_pnl, mark_at_ms]. */
export interface Rows {
  type: "rows";
  /** epoch-id: the place in the stream. For `resume`. */
  token: string;
  rows: ([number, string | null, string | null, number | null])[];
}

/** All that is open: start over from here. */
export interface Snapshot {
  type: "snapshot";
  /** epoch-id: the place in the stream. For `resume`. */
  token: string;
  totals: Partial<Record<"live" | "testnet" | "simulated" | "manual", Totals>>;
  positions: Position[];
  /** Compact format only: what a row has, id, mark_price, unrealized_pnl, mark_at_ms. */
  columns?: string[];
}

/** Narrow it to some of the accounts that may be seen (null: all of them); answered by a snapshot. */
export interface Subscribe {
  type: "subscribe";
  accounts?: number[] | null;
  /** Left out: as it is. */
  format?: "named" | "compact";
}

/** Sums over the open positions of one environment. `*_note` and what has no number are words to show. */
export interface Totals {
  environment: string;
  environment_label: string;
  positions: number;
  /** Cash and coins by the book, and what is not realized yet. */
  equity: string | null;
  equity_note: string;
  /** What was earned since the desk's day began, without flows. */
  today: string | null;
  /** In percent of what the accounts began the day with. */
  today_pct: string | null;
  today_note: string;
  unrealized: string | null;
  unrealized_note: string;
  realized: string | null;
  realized_note: string;
  gross: string | null;
  net: string | null;
  gross_note: string;
  /** The shortest way to a liquidation, in percent of the mark. */
  nearest: string | null;
  nearest_note: string;
  nearest_risk: string;
  /** The position that is nearest to its liquidation. */
  nearest_id: number | null;
  proof: string;
  proof_note: string;
  proof_level: string;
  feeds: string;
  feeds_note: string;
  feeds_level: string;
  /** The age of the oldest price that the sums rest on. */
  oldest_mark_at: string | null;
  /** How many positions have no price. */
  unpriced: number;
}
