"""add_account, check_venue and rotate_credentials, as an operator types them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from positions.models import Account
from positions.sync import connections
from positions.venues.base import Credentials, Permissions, Transient
from positions.venues.keys.permissions import ANYWHERE
from positions.venues.keys.vetting import ACCEPTANCES
from positions.venues.quirks.coinbase import Coinbase
from positions.venues.transport.client import Retries

from .servers import USER, hyperliquid

pytestmark = pytest.mark.django_db
ACCEPT_ALL = dict.fromkeys(ACCEPTANCES, True)
SECRET = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtYmUtc2Vlbg"


@pytest.fixture
def base_url() -> Iterator[str]:
    with hyperliquid() as url:
        yield url
    for pk in list(Account.objects.values_list("pk", flat=True)):
        connections.forget(pk)


def say(*words: Any, **options: Any) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=out, **options)
    return out.getvalue()


class TestAddAccount:
    def test_makes_a_simulated_account_of_a_wallet_without_a_key(self, base_url: str) -> None:
        said = say("add_account", venue="hyperliquid", label="Main", address=USER, base_url=base_url)

        account = Account.objects.get(label="Main")
        assert account.environment == "simulated"
        assert account.base_url == base_url
        assert account.credentials == ""
        assert account.options == {"trading": "off"}
        assert f"check_venue {account.pk}" in said

    def test_keeps_keys_as_ciphertext_only(self, tmp_path: Any) -> None:
        file = tmp_path / "keys.json"
        file.write_text(json.dumps({"api_key": "key-of-mine", "secret": SECRET}))
        said = say(
            "add_account",
            venue="binanceusdm",
            label="Futures",
            credentials=str(file),
            testnet=True,
            **ACCEPT_ALL,
        )

        stored = Account.objects.get(label="Futures").credentials
        assert SECRET not in stored + said
        assert connections.decrypt(stored, account="Futures").secret == SECRET

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"venue": "hyperliquid", "address": "0x12"}, "40 hexadecimal digits"),
            ({"venue": "hyperliquid"}, "needs its wallet address"),
            ({"venue": "nosuchexchange"}, "no venue is called"),
            ({"venue": "hyperliquid", "address": USER, "base_url": "localhost:80"}, "must start with http"),
            (
                {"venue": "hyperliquid", "address": USER, "base_url": "http://x", "testnet": True},
                "choose one",
            ),
            (
                {"venue": "hyperliquid", "address": USER, "credentials": "/nowhere"},
                "cannot read the credentials",
            ),
        ],
    )
    def test_says_what_to_change(self, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(CommandError, match=reason):
            say("add_account", label="X", **options)
        assert not Account.objects.exists()

    def test_refuses_a_label_twice(self) -> None:
        say("add_account", venue="hyperliquid", label="Main", address=USER)
        with pytest.raises(CommandError, match="already"):
            say("add_account", venue="hyperliquid", label="Main", address=USER)


@pytest.fixture
def withdrawing(monkeypatch: Any, tmp_path: Any) -> str:
    """The file of a Coinbase key that can withdraw."""

    async def granted(_: Coinbase) -> Permissions:
        return Permissions(read=True, trade=False, withdraw=True)

    monkeypatch.setattr(Coinbase, "permissions", granted)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"api_key": "a-key", "secret": SECRET}))
    return str(file)


class TestAKeyThatCanWithdraw:
    def add(self, keys: str, **more: Any) -> str:
        there = {"venue": "coinbase", "label": "Spot", "base_url": "http://127.0.0.1:1"}
        return say("add_account", credentials=keys, **there, **more)

    def test_is_not_added(self, withdrawing: str) -> None:
        with pytest.raises(CommandError, match="can withdraw"):
            self.add(withdrawing)
        assert not Account.objects.exists()

    def test_is_added_when_told_to_and_stays_allowed(self, withdrawing: str) -> None:
        self.add(withdrawing, allow_withdraw=True)
        assert Account.objects.get().options == {"trading": "off", "allow_withdraw": True}

    def test_is_red_in_check_venue_until_it_is_allowed(self, withdrawing: str, monkeypatch: Any) -> None:
        monkeypatch.setattr("positions.venues.transport.client.Retries", partial(Retries, attempts=1))
        self.add(withdrawing, allow_withdraw=True)
        Account.objects.update(options={})
        with pytest.raises(CommandError, match="not working: permissions, "):
            say("check_venue", "Spot")
        with pytest.raises(CommandError, match=r"not working: (?!permissions)"):
            say("check_venue", "Spot", allow_withdraw=True)
        assert Account.objects.get().options == {"allow_withdraw": True}

    def test_is_warned_about_where_any_address_may_use_it(self, withdrawing: str, monkeypatch: Any) -> None:
        async def anywhere(_: Coinbase) -> Permissions:
            return Permissions(read=True, trade=False, withdraw=False, notes=(ANYWHERE,))

        monkeypatch.setattr(Coinbase, "permissions", anywhere)
        assert f"Warning: {ANYWHERE}" in self.add(withdrawing)

    def test_is_not_added_where_the_venue_does_not_say(self, withdrawing: str, monkeypatch: Any) -> None:
        async def silent(_: Coinbase) -> Permissions:
            return Permissions()

        monkeypatch.setattr(Coinbase, "permissions", silent)
        with pytest.raises(CommandError, match="does not say"):
            self.add(withdrawing)
        assert not Account.objects.exists()
        self.add(withdrawing, allow_unknown=True)

    def test_is_not_added_while_the_venue_cannot_be_asked(self, withdrawing: str, monkeypatch: Any) -> None:
        async def away(_: Coinbase) -> Permissions:
            raise Transient("time-out")

        monkeypatch.setattr(Coinbase, "permissions", away)
        with pytest.raises(CommandError, match=r"does not say.*time-out"):
            self.add(withdrawing)
        assert not Account.objects.exists()


class TestCheckVenue:
    def test_shows_what_works_and_on_what_it_rests(self, base_url: str, monkeypatch: Any) -> None:
        monkeypatch.setattr("positions.venues.checkup.STREAM_WITHIN", 60)
        say("add_account", venue="hyperliquid", label="Main", address=USER, base_url=base_url)
        said = say("check_venue", "Main")

        for words in (
            "positions",
            "1 open legs",
            "one-way mode",
            "recorded",
            "withdraw no",
            "connected and subscribed",
        ):
            assert words in said
        assert "bad" not in said

    def test_is_red_for_an_address_without_an_account(self, base_url: str, monkeypatch: Any) -> None:
        monkeypatch.setattr("positions.venues.checkup.STREAM_WITHIN", 0.5)
        say("add_account", venue="hyperliquid", label="Typo", address="0x" + "cd" * 20, base_url=base_url)
        with pytest.raises(CommandError, match="not working: positions"):
            say("check_venue", "Typo")

    def test_knows_no_account_of_that_name(self) -> None:
        with pytest.raises(CommandError, match="no account 'Nobody'"):
            say("check_venue", "Nobody")


class TestRotateCredentials:
    def test_moves_all_to_the_newest_key_so_that_the_old_one_can_go(self, settings: Any, now: Any) -> None:
        old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
        settings.CREDENTIALS_KEYS = [old]
        sealed = connections.encrypt(Credentials(api_key="key-of-mine", secret=SECRET))
        Account.objects.create(label="A", venue="bybit", credentials=sealed, created_at=now)

        settings.CREDENTIALS_KEYS = [new, old]
        assert "1 accounts" in say("rotate_credentials")
        settings.CREDENTIALS_KEYS = [new]
        assert connections.decrypt(Account.objects.get().credentials, account="A").secret == SECRET

    def test_names_the_accounts_that_no_key_can_read(self, settings: Any, now: Any) -> None:
        settings.CREDENTIALS_KEYS = [Fernet.generate_key().decode()]
        sealed = connections.encrypt(Credentials(api_key="key-of-mine"))
        Account.objects.create(label="Lost", venue="bybit", credentials=sealed, created_at=now)
        settings.CREDENTIALS_KEYS = [Fernet.generate_key().decode()]

        with pytest.raises(CommandError, match="Lost"):
            say("rotate_credentials")
        with pytest.raises(connections.CredentialsUnreadable, match="Lost"):
            connections.config_of(account=Account.objects.get())
