"""The live log: what changed, as Redis streams, for the hub, the pipeline and everybody downstream.

Frames are complete and absolute: a repeat is harmless, a reader needs no other frame to use one. Fields of a
stream entry: `kind`, `account` (absent when it concerns no single one), `frame` (JSON). Note [Contiguous]:
a process can die between its commit and its append, and two processes can append in the other order than
they committed. So Redis keeps, per account, the last change up to which *every* one was appended; `repair`
compares it with Postgres and appends what is missing, from the rows as they are now.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

import orjson
import redis
import structlog

from core.storage.redis import client, script
from positions import queries
from positions.ledger.serialise import balance_row, position_row

LIVE = "plumbline:live"
MARKS = "plumbline:marks"
EPOCH = "plumbline:epoch"
PUBLISHED = "plumbline:published"
KEEP_MS = {LIVE: 15 * 60 * 1000, MARKS: 1000}
ROWS_PER_FRAME = 200
PAUSE_SECONDS = (
    1.0  # after a failure, so that a dead Redis does not slow each booking; the repairer catches up
)
ON_ITS_WAY_SECONDS = 0.05

log = structlog.get_logger("live")

_APPEND_CHANGE = """
redis.call('SET', KEYS[2], ARGV[6], 'NX')
local id = redis.call('XADD', KEYS[1], 'MINID', '~', ARGV[5], '*',
                      'kind', ARGV[7], 'account', ARGV[1], 'frame', ARGV[4])
local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
local done = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
if last <= done then return id end
if first > done + 1 then
  redis.call('ZADD', KEYS[4], first, ARGV[2] .. '-' .. ARGV[3])
  return id
end
done = last
while true do
  local ahead = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  if not ahead[1] or tonumber(ahead[2]) > done + 1 then break end
  done = math.max(done, tonumber(string.match(ahead[1], '-(%d+)$')))
  redis.call('ZREM', KEYS[4], ahead[1])
end
redis.call('HSET', KEYS[3], ARGV[1], string.format('%d', done))
return id
"""

_paused_until = 0.0


def append(*, kind: str, frame: dict[str, Any], account: int | None = None, stream: str = LIVE) -> str:
    """Append one frame of any kind; returns its stream id.

    `frame` holds JSON types only (money as strings). Raises redis.RedisError when Redis cannot answer.
    """
    fields: dict[Any, Any] = {"kind": kind, "frame": orjson.dumps(frame)}
    if account is not None:
        fields["account"] = account
    pipeline = client().pipeline(transaction=False)
    pipeline.set(EPOCH, secrets.token_hex(8), nx=True)
    pipeline.xadd(stream, fields, minid=str(_oldest(stream)), approximate=stream == LIVE)
    return str(pipeline.execute()[1].decode())


def append_change(*, account: int, first: int, last: int, frame: dict[str, Any], kind: str = "book") -> bool:
    """Append the frame of the account's changes `first` to `last`, after their commit.

    Never raises: what was committed must not look failed. Returns False when Redis did not take it; the
    repairer appends it then.
    """
    global _paused_until
    if time.monotonic() < _paused_until:
        return False
    try:
        _append_change(account=account, first=first, last=last, frame=frame, kind=kind)
    except redis.RedisError as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        log.warning("live log did not take a frame", account=account, sequence=last, error=str(error))
        return False
    return True


def forget_pause() -> None:
    """Try Redis again at once."""
    global _paused_until
    _paused_until = 0.0


def _append_change(*, account: int, first: int, last: int, frame: dict[str, Any], kind: str = "book") -> None:
    keys = [LIVE, EPOCH, PUBLISHED, f"plumbline:ahead:{account}"]
    values = [account, first, last, orjson.dumps(frame), _oldest(LIVE), secrets.token_hex(8), kind]
    script(_APPEND_CHANGE)(keys=keys, args=values)


def _oldest(stream: str) -> int:
    return int(time.time() * 1000) - KEEP_MS[stream]


def epoch() -> str:
    """Return the random key of this Redis: another one means that a resume token is worth nothing."""
    redis_client = client()
    redis_client.set(EPOCH, secrets.token_hex(8), nx=True)
    return str(redis_client.get(EPOCH).decode())  # type: ignore[union-attr]


def published() -> dict[int, int]:
    """Return, per account, the change up to which every one was appended."""
    return {int(account): int(done) for account, done in client().hgetall(PUBLISHED).items()}


def repair() -> dict[int, int]:
    """Append every committed change that the log lacks; returns how many changes, by account.

    Run it each second under a lease. Raises redis.RedisError when Redis cannot answer.
    """
    before, sequences = published(), queries.change_sequences()
    if any(before.get(account, 0) < sequence for account, sequence in sequences):
        # Most likely on its way: it was committed just now, and is appended in a moment.
        time.sleep(ON_ITS_WAY_SECONDS)
    done = published()
    repaired = {}
    for account, sequence in sequences:
        last = done.get(account, 0)
        if before.get(account, 0) > sequence:
            # The database is older than Redis (restored from a backup): what was published is void.
            client().hdel(PUBLISHED, str(account))
            last = 0
        if last < sequence:
            _republish(account=account, after=last, sequence=sequence)
            repaired[account] = sequence - last
    return repaired


def _republish(*, account: int, after: int, sequence: int) -> None:
    """Append all rows changed since; only the last frame claims the range: a crash before it repeats all."""
    positions = [
        position_row(row) for row in queries.positions_changed_since(account=account, sequence=after)
    ]
    balances = [
        balance_row(row.wallet, row.asset, row.amount, row.unknown_count)
        for row in queries.balances_changed_since(account=account, sequence=after)
    ]
    while len(positions) > ROWS_PER_FRAME:
        head, positions = positions[:ROWS_PER_FRAME], positions[ROWS_PER_FRAME:]
        append(
            kind="book",
            account=account,
            frame=book_frame(account=account, sequence=after, positions=head, balances=[], trace_id="repair"),
        )
    frame = book_frame(
        account=account, sequence=sequence, positions=positions, balances=balances, trace_id="repair"
    )
    _append_change(account=account, first=after + 1, last=sequence, frame=frame)


def book_frame(
    *,
    account: int,
    sequence: int,
    positions: Sequence[dict[str, Any]],
    balances: Sequence[dict[str, Any]],
    trace_id: str,
) -> dict[str, Any]:
    """Return a book frame: absolute rows of the positions and balances that changed."""
    return {
        "account": account,
        "sequence": sequence,
        "trace_id": trace_id,
        "positions": list(positions),
        "balances": list(balances),
    }
