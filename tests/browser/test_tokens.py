"""The colours keep their promise of contrast, measured from the style sheet itself (WCAG 2 ratios)."""

import re
from pathlib import Path

import pytest

TOKENS = (Path(__file__).resolve().parents[2] / "static/css/tokens.css").read_text()
COLOURS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", TOKENS)
}
GROUNDS = ("bg", "surface", "raised")
# What is written on what. Chips and notices have their own soft ground.
PAIRS = [(ink, ground) for ink in ("ink", "ink-2", "ink-3", "accent") for ground in GROUNDS]
PAIRS += [(hue, ground) for hue in ("gain", "loss", "watch", "act") for ground in GROUNDS]
PAIRS += [(hue, f"{hue}-soft") for hue in ("gain", "loss", "watch", "act", "accent")]
PAIRS += [("on-accent", "accent"), ("ink", "accent-soft"), ("ink-2", "line"), ("ink-3", "line")]


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_black_on_white_measures_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_stands_out_from_its_ground(text, ground, theme):
    assert contrast(COLOURS[text][theme], COLOURS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_edge_of_a_field_can_be_seen(theme):
    assert contrast(COLOURS["field-line"][theme], COLOURS["surface"][theme]) >= 3
