"""What the interface calls the states of a page's own connection. Pure."""

from __future__ import annotations

CONNECTION_STATES = {
    "connecting": "Connecting…",
    "catching": "Catching up…",
    "live": "Live",
    "silent": "No heartbeat for {seconds} s",
    "offline": "Offline for {seconds} s, retrying",
    "ended": "Signed out: reload to sign in",
    "crowded": "Too many windows: close some, then reload",
}
"""By the names of static/js/live.js, which fills in the seconds."""
