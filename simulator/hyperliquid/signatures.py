"""Who signed an action. The body of POST /exchange names nobody: the address is recovered from the signature.

EIP-712 as Hyperliquid uses it: L1 actions sign a hash of the packed action as an "Agent", user-signed actions
sign their own fields. Written out here, so that the server needs nothing that the product does not ship.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.wire import Malformed

RATE = 136
MASK = (1 << 64) - 1
STRING, UINT, BOOL, ADDRESS, BYTES32 = "string", "uint64", "bool", "address", "bytes32"
CHAIN = ("hyperliquidChain", STRING)
USER_SIGNED: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "usdSend": ("UsdSend", (CHAIN, ("destination", STRING), ("amount", STRING), ("time", UINT))),
    "withdraw3": ("Withdraw", (CHAIN, ("destination", STRING), ("amount", STRING), ("time", UINT))),
    "spotSend": (
        "SpotSend",
        (CHAIN, ("destination", STRING), ("token", STRING), ("amount", STRING), ("time", UINT)),
    ),
    "usdClassTransfer": ("UsdClassTransfer", (CHAIN, ("amount", STRING), ("toPerp", BOOL), ("nonce", UINT))),
    "approveAgent": (
        "ApproveAgent",
        (CHAIN, ("agentAddress", ADDRESS), ("agentName", STRING), ("nonce", UINT)),
    ),
    "approveBuilderFee": (
        "ApproveBuilderFee",
        (CHAIN, ("maxFeeRate", STRING), ("builder", ADDRESS), ("nonce", UINT)),
    ),
    "sendAsset": (
        "SendAsset",
        (
            CHAIN,
            ("destination", STRING),
            ("sourceDex", STRING),
            ("destinationDex", STRING),
            ("token", STRING),
            ("amount", STRING),
            ("fromSubAccount", STRING),
            ("nonce", UINT),
        ),
    ),
}


def _round_constants() -> Iterator[int]:
    register = 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if register & 1:
                constant |= 1 << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        yield constant


ROUNDS = tuple(_round_constants())


def _rotate(value: int, by: int) -> int:
    by %= 64
    return ((value << by) | (value >> (64 - by))) & MASK


def _permute(lanes: list[list[int]]) -> list[list[int]]:
    for constant in ROUNDS:
        parity = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)]
        mixed = [parity[(x + 4) % 5] ^ _rotate(parity[(x + 1) % 5], 1) for x in range(5)]
        lanes = [[lanes[x][y] ^ mixed[x] for y in range(5)] for x in range(5)]
        x, y, current = 1, 0, lanes[1][0]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, lanes[x][y] = lanes[x][y], _rotate(current, (step + 1) * (step + 2) // 2)
        for y in range(5):
            row = [lanes[x][y] for x in range(5)]
            for x in range(5):
                lanes[x][y] = row[x] ^ (~row[(x + 1) % 5] & MASK & row[(x + 2) % 5])
        lanes[0][0] ^= constant
    return lanes


def keccak(data: bytes) -> bytes:
    """Keccak-256 (the original padding, as Ethereum uses it)."""
    padding = bytearray(RATE - len(data) % RATE)
    padding[0] ^= 0x01
    padding[-1] ^= 0x80
    padded = data + bytes(padding)
    lanes = [[0] * 5 for _ in range(5)]
    for offset in range(0, len(padded), RATE):
        for lane in range(RATE // 8):
            word = padded[offset + 8 * lane : offset + 8 * lane + 8]
            lanes[lane % 5][lane // 5] ^= int.from_bytes(word, "little")
        lanes = _permute(lanes)
    return b"".join(lanes[lane % 5][lane // 5].to_bytes(8, "little") for lane in range(4))


def _encoded(kind: str, value: Any) -> bytes:
    if kind == STRING:
        return keccak(str(value).encode())
    if kind == ADDRESS:
        return bytes.fromhex(str(value)[2:]).rjust(32, b"\0")
    if kind == BYTES32:
        return bytes(value)
    return int(value).to_bytes(32, "big")


def _struct(name: str, fields: tuple[tuple[str, str], ...], values: dict[str, Any]) -> bytes:
    written = ",".join(f"{kind} {field}" for field, kind in fields)
    parts = [keccak(f"{name}({written})".encode())]
    parts += [_encoded(kind, values[field]) for field, kind in fields]
    return keccak(b"".join(parts))


def _domain(name: str, chain: int) -> bytes:
    fields = (("name", STRING), ("version", STRING), ("chainId", "uint256"), ("verifyingContract", ADDRESS))
    values = {"name": name, "version": "1", "chainId": chain, "verifyingContract": "0x" + "0" * 40}
    return _struct("EIP712Domain", fields, values)


def action_hash(action: dict[str, Any], *, nonce: int, vault: str | None, expires: int | None) -> bytes:
    """What an L1 action's agent signs: packed action, nonce, vault, expiry. Key order matters."""
    import msgpack  # type: ignore[import-untyped]

    data: bytes = msgpack.packb(action) + nonce.to_bytes(8, "big")
    data += b"\x00" if vault is None else b"\x01" + bytes.fromhex(vault[2:])
    if expires is not None:
        data += b"\x00" + expires.to_bytes(8, "big")
    return keccak(data)


def digests(body: dict[str, Any]) -> list[bytes]:
    """The messages that a body's signer may have signed: as mainnet, then as testnet. Raises Malformed."""
    action, nonce = body["action"], body["nonce"]
    try:
        if action["type"] in USER_SIGNED:
            name, fields = USER_SIGNED[action["type"]]
            values = {"agentName": ""} | action
            domain = _domain("HyperliquidSignTransaction", int(action["signatureChainId"], 16))
            return [_message(domain, _struct(f"HyperliquidTransaction:{name}", fields, values))]
        connection = action_hash(
            action, nonce=nonce, vault=body.get("vaultAddress"), expires=body.get("expiresAfter")
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Malformed(str(error)) from error
    domain = _domain("Exchange", 1337)
    fields = (("source", STRING), ("connectionId", BYTES32))
    agents = [{"source": source, "connectionId": connection} for source in ("a", "b")]
    return [_message(domain, _struct("Agent", fields, agent)) for agent in agents]


def _message(domain: bytes, struct: bytes) -> bytes:
    return keccak(b"\x19\x01" + domain + struct)


def signers(body: dict[str, Any]) -> list[str]:
    """The addresses that may have signed, one per network. Raises Malformed."""
    from coincurve import PublicKey

    signature = body.get("signature")
    try:
        assert isinstance(signature, dict)
        r, s, v = int(signature["r"], 16), int(signature["s"], 16), int(signature["v"])
        packed = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v - 27])
        keys = [PublicKey.from_signature_and_message(packed, digest, hasher=None) for digest in digests(body)]
    except (AssertionError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Malformed("bad signature") from error
    return ["0x" + keccak(key.format(compressed=False)[1:])[-20:].hex() for key in keys]
