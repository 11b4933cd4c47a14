"""POST /exchange: signed actions, done in the name of whoever signed them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from simulator.engine import transfers
from simulator.engine.accounts import Account, add_to
from simulator.engine.book import Builder, Order, Trigger
from simulator.engine.catalogue import BUILDER_DEX
from simulator.engine.exchange import Exchange
from simulator.engine.market import Market
from simulator.engine.matching import Rejected, Request, cancel, place
from simulator.hyperliquid.signatures import signers
from simulator.wire import ADDRESS, Malformed

Body = dict[str, Any]
ZERO = Decimal(0)
DONE: Body = {"status": "ok", "response": {"type": "default"}}
GONE = "Order was never placed, already canceled, or filled."
TENTH_OF_A_BASIS_POINT = Decimal("0.00001")
MASTER_ONLY = {
    "approveAgent",
    "approveBuilderFee",
    "usdSend",
    "spotSend",
    "withdraw3",
    "usdClassTransfer",
    "sendAsset",
}


class Refused(ValueError):
    """The whole request is refused: status "err" with the venue's text."""


class Actions:
    """Writes to one exchange. `log` keeps (signer, action) of everything accepted for reading."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.nonces: dict[str, list[int]] = {}
        self.routes: dict[str, Callable[[Account, Body], Body]] = {
            "order": self.order,
            "cancel": self.cancel,
            "cancelByCloid": self.cancel_by_cloid,
            "modify": self.modify,
            "batchModify": self.batch_modify,
            "scheduleCancel": lambda account, action: DONE,
            "updateLeverage": self.update_leverage,
            "updateIsolatedMargin": self.update_isolated_margin,
            "approveAgent": self.approve_agent,
            "approveBuilderFee": self.approve_builder_fee,
            "setReferrer": lambda account, action: DONE,
            "noop": lambda account, action: DONE,
            "usdSend": self.usd_send,
            "spotSend": self.spot_send,
            "withdraw3": self.withdraw,
            "usdClassTransfer": self.class_transfer,
            "sendAsset": self.send_asset,
        }

    def answer(self, body: Body) -> Body:
        """The answer to one body. Raises Malformed."""
        action, nonce = body.get("action"), body.get("nonce")
        if not isinstance(action, dict) or not isinstance(nonce, int) or isinstance(nonce, bool):
            raise Malformed("no action or nonce")
        route = self.routes.get(str(action.get("type")))
        if route is None:
            raise Malformed("unknown action")
        try:
            account = self._account(body, master=action["type"] in MASTER_ONLY)
            self._check_time(body, account)
            return route(account, action)
        except (Refused, transfers.Insufficient) as refusal:
            return {"status": "err", "response": str(refusal)}
        except (KeyError, TypeError, InvalidOperation, AttributeError) as error:
            raise Malformed(str(error)) from error

    def _account(self, body: Body, *, master: bool) -> Account:
        """Whose action it is: the signer's, or its owner's if the signer is an approved agent."""
        candidates = signers(body)
        for signer in candidates:
            owner = self.exchange.agents.get(signer)
            if owner is not None and not master:
                account = self.exchange.account(owner)
                until = account.agents.get(signer)
                if until is None or until > self.exchange.now:
                    return account
            known = self.exchange.known(signer)
            if known is not None:
                return known
        raise Refused(f"User or API Wallet {candidates[0]} does not exist.")

    def _check_time(self, body: Body, account: Account) -> None:
        expires, nonce = body.get("expiresAfter"), body["nonce"]
        if isinstance(expires, int) and expires < self.exchange.now:
            raise Refused(f"Request expired: expiresAfter={expires}")
        used = self.nonces.setdefault(account.address, [])
        if nonce in used or (len(used) == 100 and nonce < min(used)):
            raise Refused(f"Invalid nonce: duplicate nonce {nonce}")
        used.append(nonce)
        del used[:-100]

    # -- orders --------------------------------------------------------------------------------------

    def order(self, account: Account, action: Body) -> Body:
        """Place orders; each has its own status."""
        builder = self._builder(account, action.get("builder"))
        whole = action.get("grouping") == "positionTpsl"
        statuses = [self._place(account, row, builder, whole) for row in action["orders"]]
        return {"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}}

    def _builder(self, account: Account, builder: Body | None) -> Builder | None:
        if builder is None:
            return None
        rate = TENTH_OF_A_BASIS_POINT * int(builder["f"])
        address = str(builder["b"]).lower()
        if address not in account.builders or rate > account.builders[address]:
            raise Refused("Builder fee has not been approved.")
        return Builder(address, rate) if rate else None

    def _place(self, account: Account, row: Body, builder: Builder | None, whole: bool) -> Any:
        market = self._market(row["a"])
        try:
            if market.listing.coin in self.exchange.delisted:
                raise Rejected("Trading is halted.")
            return place(self.exchange, account, self._request(market, row, builder, whole))
        except Rejected as refusal:
            return {"error": f"{refusal} asset={row['a']}"}

    def _request(self, market: Market, row: Body, builder: Builder | None, whole: bool) -> Request:
        trigger, tif = None, "Gtc"
        if "trigger" in row["t"]:
            asked = row["t"]["trigger"]
            take_profit = asked["tpsl"] == "tp"
            trigger = Trigger(Decimal(asked["triggerPx"]), bool(asked["isMarket"]), take_profit, whole)
        else:
            tif = row["t"]["limit"]["tif"]
            if tif not in ("Gtc", "Ioc", "Alo", "FrontendMarket"):
                raise Malformed("tif")
        return Request(
            market,
            bool(row["b"]),
            Decimal(row["p"]),
            Decimal(row["s"]),
            tif=tif,
            reduce_only=bool(row["r"]),
            cloid=row.get("c"),
            trigger=trigger,
            builder=builder,
        )

    def _market(self, asset: int) -> Market:
        market = self.exchange.by_asset.get(asset)
        if market is None:
            raise Refused(f"Invalid asset {asset}")
        return market

    def cancel(self, account: Account, action: Body) -> Body:
        """Cancel by order id."""
        statuses = [self._cancel(account, account.orders.get(row["o"])) for row in action["cancels"]]
        return {"status": "ok", "response": {"type": "cancel", "data": {"statuses": statuses}}}

    def cancel_by_cloid(self, account: Account, action: Body) -> Body:
        """Cancel by client order id."""
        oids = [account.by_cloid.get(row["cloid"], 0) for row in action["cancels"]]
        statuses = [self._cancel(account, account.orders.get(oid)) for oid in oids]
        return {"status": "ok", "response": {"type": "cancel", "data": {"statuses": statuses}}}

    def _cancel(self, account: Account, order: Order | None) -> Any:
        if order is None:
            return {"error": GONE}
        cancel(self.exchange, order)
        return "success"

    def modify(self, account: Account, action: Body) -> Body:
        """Replace one order."""
        status = self._modify(account, action)
        if isinstance(status, dict) and "error" in status:
            raise Refused(status["error"])
        return DONE

    def batch_modify(self, account: Account, action: Body) -> Body:
        """Replace several orders."""
        statuses = [self._modify(account, row) for row in action["modifies"]]
        return {"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}}

    def _modify(self, account: Account, row: Body) -> Any:
        oid = row["oid"] if isinstance(row["oid"], int) else account.by_cloid.get(row["oid"], 0)
        order = account.orders.get(oid)
        if order is None:
            return {"error": "Cannot modify canceled or filled order"}
        cancel(self.exchange, order)
        return self._place(account, row["order"], None, whole=False)

    # -- leverage and margin -------------------------------------------------------------------------

    def update_leverage(self, account: Account, action: Body) -> Body:
        """Leverage and margin mode of a coin; the mode of an open position stays."""
        market, leverage, cross = (
            self._market(action["asset"]),
            int(action["leverage"]),
            bool(action["isCross"]),
        )
        listing = market.listing
        if not 1 <= leverage <= listing.max_leverage:
            raise Refused("Invalid leverage value")
        position = account.positions.get(listing.coin)
        if cross and listing.only_isolated:
            raise Refused("Cross margin is not allowed for this asset.")
        if position is not None:
            if (position.cash is None) != cross:
                raise Refused("Cannot switch leverage type with open position.")
            before, position.leverage = position.leverage, leverage
            if cross and account.margin(listing.dex).withdrawable <= 0 and leverage < before:
                position.leverage = before
                raise Refused("Insufficient margin to update leverage.")
        account.settings[listing.coin] = (cross, leverage)
        return DONE

    def update_isolated_margin(self, account: Account, action: Body) -> Body:
        """Move USD (in millionths) into or out of an isolated position."""
        market, amount = self._market(action["asset"]), Decimal(int(action["ntli"])).scaleb(-6)
        position = account.positions.get(market.listing.coin)
        if position is None or position.cash is None:
            raise Refused("No isolated position to adjust margin for.")
        free = account.margin(market.listing.dex).withdrawable
        equity = position.cash + position.holding().value
        initial = position.holding().notional / position.leverage
        if amount > free or (amount < 0 and equity + amount < initial):
            raise Refused("Insufficient margin to update isolated margin.")
        position.cash += amount
        add_to(account.cash, market.listing.dex, -amount)
        return DONE

    # -- permissions ---------------------------------------------------------------------------------

    def approve_agent(self, account: Account, action: Body) -> Body:
        """Let another key trade for the account; "name valid_until MS" in the name makes it expire."""
        agent = _address(action["agentAddress"])
        if self.exchange.known(agent) is not None or agent in self.exchange.agents:
            raise Refused("Extra agent already used.")
        _, _, until = str(action.get("agentName") or "").partition(" valid_until ")
        account.agents[agent] = int(until) if until else None
        self.exchange.agents[agent] = account.address
        return DONE

    def approve_builder_fee(self, account: Account, action: Body) -> Body:
        """Allow a builder a fee up to a percentage."""
        rate = Decimal(str(action["maxFeeRate"]).removesuffix("%")) / 100
        account.builders[_address(action["builder"])] = rate
        return DONE

    # -- money ---------------------------------------------------------------------------------------

    def usd_send(self, account: Account, action: Body) -> Body:
        """USD to another user."""
        other = self.exchange.account(_address(action["destination"]))
        transfers.send_usd(self.exchange, account, other, Decimal(action["amount"]))
        return DONE

    def spot_send(self, account: Account, action: Body) -> Body:
        """Tokens to another user; the token is "NAME:0xid"."""
        other = self.exchange.account(_address(action["destination"]))
        token = str(action["token"]).split(":")[0]
        transfers.send_token(self.exchange, account, other, token, Decimal(action["amount"]))
        return DONE

    def withdraw(self, account: Account, action: Body) -> Body:
        """USD out of the venue."""
        transfers.withdraw(self.exchange, account, Decimal(action["amount"]))
        return DONE

    def class_transfer(self, account: Account, action: Body) -> Body:
        """USDC between spot and perp wallet."""
        amount = Decimal(str(action["amount"]).split(" ")[0])
        transfers.to_class(self.exchange, account, amount, to_perp=bool(action["toPerp"]))
        return DONE

    def send_asset(self, account: Account, action: Body) -> Body:
        """Between an account's own dexs and spot: "" is the first dex, "spot" the spot wallet."""
        source, destination = action["sourceDex"], action["destinationDex"]
        amount, token = Decimal(action["amount"]), str(action["token"]).split(":")[0]
        known = ("", BUILDER_DEX, "spot")
        if (
            source not in known
            or destination not in known
            or _address(action["destination"]) != account.address
        ):
            raise Refused("Invalid dex or destination.")
        transfers.between_wallets(
            self.exchange, account, token, amount, source=source, destination=destination
        )
        return DONE


def _address(value: Any) -> str:
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise Malformed("invalid address")
    return value.lower()
