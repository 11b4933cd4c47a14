"""What is made is for its owner only, and what running as root changes is said."""

import subprocess
import sys

import pytest

from config import servers
from config.embedded import Services
from config.servers import ServiceFailed


class TestTheDataDirectory:
    def test_is_for_its_owner_only(self, tmp_path):
        Services(tmp_path / "data")
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700

    def test_of_logs_is_too(self, tmp_path):
        subprocess.run(
            [sys.executable, "-c", "from config import env; from pathlib import Path; "
             f"env.writable_folder('LOG_DIR', Path({str(tmp_path / 'logs')!r}))"],
            check=True,
        )  # fmt: skip
        assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700


class TestPostgresAsRoot:
    @pytest.fixture
    def postgres(self, tmp_path):
        made = servers.Postgres(tmp_path / "deep" / "data", password="x", durable=False)
        made.user = "nobody-of-this-name"
        made.package = tmp_path / "package"
        (tmp_path / "package" / "pginstall" / "bin").mkdir(parents=True)
        (tmp_path / "deep" / "data").mkdir(parents=True)
        return made

    def test_says_that_useradd_is_missing(self, postgres, monkeypatch):
        monkeypatch.setattr(servers.shutil, "which", lambda name: None)
        with pytest.raises(ServiceFailed, match="useradd"):
            postgres._prepare_root()

    def test_opens_folders_to_pass_through_only_and_names_them(self, postgres, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(postgres, "_make_user", lambda: None)
        (tmp_path / "deep").chmod(0o700)
        postgres._prepare_root()
        assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o701
        assert f"chmod o-x {tmp_path / 'deep'}" in capsys.readouterr().err
        postgres._prepare_root()
        assert str(tmp_path / "deep") not in capsys.readouterr().err
