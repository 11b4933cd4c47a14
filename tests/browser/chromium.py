"""Where Chromium is, and how it is started: without a sandbox (root may run tests), not calling home."""

import os
import shutil

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str | None:
    """The system's Chromium, or None: then Playwright looks for its own download."""
    return shutil.which(os.environ.get("CHROMIUM") or "chromium") or shutil.which("chromium-browser")
