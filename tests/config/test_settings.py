"""The settings as another process sees them: they are read once, at import."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, data_dir, **variables):
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir)} | variables
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def check(data_dir, **variables):
    return run("manage.py", "check", data_dir=data_dir, **variables)


PRODUCTION = {
    "SECRET_KEY": "p" * 25 + "0123456789abcdefghijklmnopqrst",
    "CREDENTIALS_KEYS": "kVuMiPy1oPKhnUPEnHRJ7cVZ8Jg1Xn_3YgqE3nNFbCk=",
    "DATABASE_URL": "postgres://plumbline:pw@db.example:5432/plumbline?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
    "REDIS_URL": "rediss://:pw@redis.example:6379/0",
    "ALLOWED_HOSTS": "plumbline.example",
    "CSRF_TRUSTED_ORIGINS": "https://plumbline.example",
    "HTTPS": "on",
    "TRUSTED_PROXIES": "1",
    "STATIC_MANIFEST": "on",
    "EMAIL_URL": "smtp://user:password@mail.example:587",
    "EMAIL_FROM": "Plumbline <plumbline@plumbline.example>",
    "PUBLIC_URL": "https://plumbline.example",
}


class TestSettings:
    def test_need_no_environment(self, tmp_path):
        assert check(tmp_path).returncode == 0

    def test_generate_secrets_once_for_the_owner_only(self, tmp_path):
        show = "from config import settings as s; print(s.SECRET_KEY, s.CREDENTIALS_KEYS)"
        first = run("-c", show, data_dir=tmp_path).stdout
        assert first == run("-c", show, data_dir=tmp_path).stdout
        assert len(first) > 100
        assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("damaged", ["", "{", "{}", "[]", '{"secret_key": "x"}'])
    def test_refuse_damaged_secrets(self, tmp_path, damaged):
        (tmp_path / "secrets.json").write_text(damaged)
        answer = check(tmp_path)
        assert answer.returncode != 0
        assert "restore it from a backup" in answer.stderr
        assert "Traceback" not in answer.stderr

    def test_find_the_services_that_run_under_the_data_directory(self, tmp_path):
        urls = {"database_url": "postgres://u:p@127.0.0.1:7777/x", "redis_url": "redis://127.0.0.1:7778/0"}
        (tmp_path / "services.json").write_text(json.dumps(urls))
        show = "from config import settings as s; print(s.DATABASES['default']['PORT'], s.REDIS_URL)"
        assert run("-c", show, data_dir=tmp_path).stdout == "7777 redis://127.0.0.1:7778/0\n"

    def test_survive_a_half_written_services_file(self, tmp_path):
        (tmp_path / "services.json").write_text('{"database_url": "postg')
        assert check(tmp_path).returncode == 0

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("DEBUG", "maybe", "DEBUG='maybe': set it to one of on, off"),
            ("DATABASE_URL", "mysql://x:topsecret@y/z", "postgres://user:password@host:5432/name"),
            ("DATABASE_URL", "postgres://u:topsecret@h:port/z", "the port is no number"),
            ("DATABASE_URL", "postgres://u:topsecret@h", "postgres://user:password@host:5432/name"),
            ("REDIS_URL", "http://:topsecret@x", "redis://:password@host:6379/0"),
            ("DATABASE_URL", "postgres://u:topsecret@[::1/x", "postgres://user:password@host:5432/name"),
            ("REDIS_URL", "redis://:topsecret@127.0.0.1:abc/0", "redis://:password@host:6379/0"),
            (
                "REDIS_URL",
                "rediss://:topsecret@h:1/0?ssl_cert_req=none",
                "rediss:// has no option ssl_cert_req",
            ),
            ("REDIS_URL", "redis://:topsecret@h:1/0?ssl_ca_certs=/ca", "redis:// has no option ssl_ca_certs"),
            ("REDIS_URL", "rediss://:topsecret@h:1/0?ssl_cert_reqs=0", "one of required, optional, none"),
            ("CREDENTIALS_KEYS_FILE", "/nowhere/keys", "cannot be read: FileNotFoundError"),
            ("LOG_DIR", "/proc/nope", "LOG_DIR='/proc/nope' cannot be used"),
            ("RECONCILIATION_INTERVAL", "soon", "a whole number of at least 1"),
            ("RECONCILIATION_INTERVAL", "0", "a whole number of at least 1"),
            ("DESK_ZONE", "Mars/Olympus", "no time zone is called so"),
            ("DESK_DAY_START", "7 o'clock", "write a time of day as 07:30"),
            ("LOG_FORMAT", "xml", "one of json, console"),
            ("CREDENTIALS_KEYS", "short", "plumbline.E001"),
            ("EMAIL_URL", "smtp://u:topsecret@mail.example:x", "EMAIL_URL: the port is no number"),
            ("EMAIL_URL", "http://u:topsecret@mail.example", "set it like smtp://user:password"),
            ("EMAIL_USE_TLS", "yes", "one of on, off"),
            ("DEADMAN_URL", "ftp://u:topsecret@x", "DEADMAN_URL"),
            ("PUBLIC_URL", "plumbline.example", "set it like https://plumbline.example"),
        ],
    )
    def test_say_what_is_wrong_and_never_a_password(self, tmp_path, name, value, says):
        answer = check(tmp_path, **{name: value})
        assert answer.returncode != 0
        assert says in answer.stderr
        assert "topsecret" not in answer.stderr
        assert "Traceback" not in answer.stderr

    def test_are_clean_for_production(self, tmp_path):
        answer = run(
            "manage.py", "check", "--deploy", "--fail-level", "WARNING", data_dir=tmp_path, **PRODUCTION
        )
        assert answer.returncode == 0, answer.stderr

    def test_warn_where_production_forgets_its_secrets(self, tmp_path):
        variables = {name: value for name, value in PRODUCTION.items() if name != "CREDENTIALS_KEYS"}
        answer = run("manage.py", "check", "--deploy", data_dir=tmp_path, **variables)
        assert "plumbline.W001" in answer.stderr
        assert "CREDENTIALS_KEYS" in answer.stderr


class TestTheDocumentation:
    def test_names_every_variable(self):
        read = set(
            re.findall(
                r'env\.(?:text|words(?:_or_lines)?|flag|number|web_address|zone|time_of_day)\(\s*"([A-Z_]+)"',
                (ROOT / "config/settings.py").read_text(),
            )
        )
        documented = set(re.findall(r"`([A-Z][A-Z_]+)`", (ROOT / "docs/configuration.md").read_text()))
        assert read
        assert read <= documented

    def test_names_nothing_that_is_gone(self):
        text = (ROOT / "docs/configuration.md").read_text()
        documented = set(re.findall(r"^\| `([A-Z][A-Z_]+)`", text, re.M))
        sources = "".join(
            path.read_text()
            for folder in ("config", "bin", "tests", "positions")
            for path in (ROOT / folder).rglob("*")
            if path.suffix in ("", ".py") and "node_modules" not in path.parts and path.is_file()
        )
        assert [name for name in documented if name not in sources] == []

    def test_has_an_example_of_known_variables(self):
        known = (ROOT / "docs/configuration.md").read_text()
        for line in (ROOT / "env.example").read_text().splitlines():
            name = line.partition("=")[0]
            assert line.startswith("#") or f"`{name}`" in known
