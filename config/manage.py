"""`bin/manage`: manage.py with the embedded services running for the length of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from config import embedded, servers

ROOT = Path(__file__).resolve().parent.parent


def data_directory() -> Path:
    """Return DATA_DIR, or `.data` beside manage.py."""
    return Path(os.environ.get("DATA_DIR", "").strip() or ROOT / ".data").expanduser().resolve()


def main() -> int:
    """Run manage.py with this process's arguments and return its exit code."""
    os.umask(0o077)  # what is made under DATA_DIR is for the owner only
    try:
        with embedded.running(data_directory()) as urls:
            environment = os.environ | {"DATABASE_URL": urls.database, "REDIS_URL": urls.redis}
            command = [sys.executable, str(ROOT / "manage.py"), *sys.argv[1:]]
            return subprocess.run(command, env=environment, check=False).returncode
    except servers.ServiceFailed as error:
        print(f"bin/manage: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
