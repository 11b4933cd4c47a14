"""What is listed: tokens, perpetuals, a builder-deployed dex, spot pairs; decimals as on mainnet."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from simulator.margin import Tier, flat
from simulator.wire import number

PERP, SPOT = "perp", "spot"
DEX_ASSET_BASE, DEX_ASSET_STEP, SPOT_ASSET_BASE = 100_000, 10_000, 10_000
# A table id below 50 is a flat leverage; these are the tiered ones in use.
MARGIN_TABLES: dict[int, tuple[Tier, ...]] = {
    55: (Tier(Decimal(0), 25), Tier(Decimal(100_000_000), 15)),
    56: (Tier(Decimal(0), 40), Tier(Decimal(150_000_000), 20)),
}
BUILDER_DEX = "flx"
# What backs the positions of each perp dex.
COLLATERAL = {"": "USDC", BUILDER_DEX: "USDH"}
BUILDER_DEX_ADDRESS = "0x2fab552502a6d45920d5741a2f3ebf4c35536352"


@dataclass(frozen=True, slots=True)
class Token:
    """A spot token; its index is its place in the list."""

    name: str
    size_decimals: int
    wei_decimals: int
    full_name: str | None = None


TOKENS = (
    Token("USDC", 8, 8),
    Token("PURR", 0, 5),
    Token("HYPE", 2, 8, "Hyperliquid"),
    Token("UBTC", 5, 10, "Unit Bitcoin"),
    Token("USDH", 2, 8, "USDH"),
)
TOKEN_INDEX = {token.name: index for index, token in enumerate(TOKENS)}


@dataclass(frozen=True, slots=True)
class Listing:
    """A market as listed. `volatility`: standard deviation of a minute's return, as a fraction.

    Markets that `follow` the same name walk the same seeded path, here and on another simulated venue.
    """

    coin: str
    asset: int
    kind: str
    size_decimals: int
    start: Decimal
    volatility: float
    quote: str = "USDC"
    base: str = ""
    dex: str = ""
    table: int = 0
    only_isolated: bool = False
    follow: str = ""

    @property
    def price_decimals(self) -> int:
        """Most decimals a price may have."""
        return (6 if self.kind == PERP else 8) - self.size_decimals

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Margin tiers; a table id below 50 is the leverage itself."""
        return MARGIN_TABLES[self.table] if self.table >= 50 else flat(self.table)

    @property
    def max_leverage(self) -> int:
        """Leverage allowed to the smallest position."""
        return self.tiers[0].max_leverage

    def tick(self, price: Decimal) -> Decimal:
        """The step between prices near `price`: five significant digits, integers always allowed."""
        places = min(self.price_decimals, max(0, 4 - price.adjusted()))
        return Decimal(1).scaleb(-places)

    def rounded(self, price: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        """The valid price nearest to `price`."""
        return price.quantize(self.tick(price), rounding=rounding)

    def valid_price(self, price: Decimal) -> bool:
        """Whether an order may carry `price`."""
        return price > 0 and (price == price.to_integral_value() or price == self.rounded(price))

    def valid_size(self, size: Decimal) -> bool:
        """Whether `size` has no more decimals than the market's."""
        return size == size.quantize(Decimal(1).scaleb(-self.size_decimals))


def _perp(coin: str, asset: int, decimals: int, start: str, volatility: float, table: int) -> Listing:
    return Listing(coin, asset, PERP, decimals, Decimal(start), volatility, table=table)


def _spot(coin: str, index: int, base: str, start: str, volatility: float) -> Listing:
    size = TOKENS[TOKEN_INDEX[base]].size_decimals
    asset = SPOT_ASSET_BASE + index
    follow = base.removeprefix("U")
    return Listing(coin, asset, SPOT, size, Decimal(start), volatility, base=base, follow=follow)


def _builder(coin: str, index: int, decimals: int, start: str, volatility: float, table: int) -> Listing:
    asset = DEX_ASSET_BASE + DEX_ASSET_STEP + index
    price = Decimal(start)
    return Listing(
        coin,
        asset,
        PERP,
        decimals,
        price,
        volatility,
        "USDH",
        dex=BUILDER_DEX,
        table=table,
        only_isolated=True,
    )


LISTINGS = (
    _perp("BTC", 0, 5, "97250", 0.0006, 56),
    _perp("ETH", 1, 4, "3412.5", 0.0008, 55),
    _perp("SOL", 2, 2, "187.42", 0.0011, 20),
    _perp("HYPE", 3, 2, "38.615", 0.0015, 10),
    _perp("DOGE", 4, 0, "0.18244", 0.0013, 10),
    _perp("kPEPE", 5, 0, "0.011873", 0.0018, 10),
    _builder("flx:CRCL", 0, 3, "131.27", 0.0012, 10),
    _builder("flx:GOLD", 1, 4, "4031.5", 0.0004, 20),
    _spot("PURR/USDC", 0, "PURR", "0.16231", 0.0012),
    _spot("@1", 1, "HYPE", "38.615", 0.0015),
    _spot("@2", 2, "UBTC", "97250", 0.0006),
)


def universe(dex: str) -> list[Listing]:
    """The perpetuals of one dex in the order of their asset ids."""
    return [listing for listing in LISTINGS if listing.kind == PERP and listing.dex == dex]


def meta(dex: str, delisted: frozenset[str], unlisted: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The `meta` answer of one dex; `unlisted` coins trade already, and are not in it yet."""
    rows = []
    for listing in universe(dex):
        if listing.coin in unlisted:
            continue
        row: dict[str, Any] = {
            "szDecimals": listing.size_decimals,
            "name": listing.coin,
            "maxLeverage": listing.max_leverage,
            "marginTableId": listing.table,
        }
        if listing.only_isolated:
            row |= {"onlyIsolated": True, "marginMode": "strictIsolated"}
        if listing.coin in delisted:
            row["isDelisted"] = True
        rows.append(row)
    collateral = TOKEN_INDEX[COLLATERAL[dex]]
    return {"universe": rows, "marginTables": margin_tables(), "collateralToken": collateral}


def margin_tables() -> list[list[Any]]:
    """marginTables of `meta`."""
    return [[table, margin_table(table)] for table in sorted(MARGIN_TABLES)]


def margin_table(table: int) -> dict[str, Any]:
    """The `marginTable` answer: tiers of one table id."""
    tiers = MARGIN_TABLES.get(table) or flat(table)
    leverage = tiers[0].max_leverage
    return {
        "description": f"tiered {leverage}x" if table in MARGIN_TABLES else "",
        "marginTiers": [
            {"lowerBound": number(tier.lower_bound), "maxLeverage": tier.max_leverage} for tier in tiers
        ],
    }


def spot_meta(unlisted: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The `spotMeta` answer, without pairs that are `unlisted`."""
    tokens = [
        {
            "name": token.name,
            "szDecimals": token.size_decimals,
            "weiDecimals": token.wei_decimals,
            "index": index,
            "tokenId": token_id(index),
            "isCanonical": index < 2,
            "evmContract": None,
            "fullName": token.full_name,
            "deployerTradingFeeShare": "0.0",
        }
        for index, token in enumerate(TOKENS)
    ]
    pairs = [
        {
            "tokens": [TOKEN_INDEX[listing.base], TOKEN_INDEX[listing.quote]],
            "name": listing.coin,
            "index": listing.asset - SPOT_ASSET_BASE,
            "isCanonical": not listing.coin.startswith("@"),
        }
        for listing in LISTINGS
        if listing.kind == SPOT and listing.coin not in unlisted
    ]
    return {"tokens": tokens, "universe": pairs}


def token_id(index: int) -> str:
    """A token's 16-byte id."""
    return f"0x{0x6D1E7CDE53BA9467B783CB7C530CE054 + index:032x}"


def perp_dexs() -> list[dict[str, Any] | None]:
    """The `perpDexs` answer: null for the first dex, then the builder-deployed one."""
    coins = [listing.coin for listing in LISTINGS if listing.dex == BUILDER_DEX]
    return [
        None,
        {
            "name": BUILDER_DEX,
            "fullName": "Felix Exchange",
            "deployer": BUILDER_DEX_ADDRESS,
            "oracleUpdater": None,
            "feeRecipient": BUILDER_DEX_ADDRESS,
            "assetToStreamingOiCap": [[coin, "100000000.0"] for coin in coins],
            "subDeployers": [["setOracle", [BUILDER_DEX_ADDRESS]]],
            "deployerFeeScale": "1.0",
            "lastDeployerFeeScaleChangeTime": "2025-11-13T00:00:00.000000000",
            "assetToFundingMultiplier": [[coin, "1.0"] for coin in coins],
        },
    ]
