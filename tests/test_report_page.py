"""The page of `corpusmill report` as a browser shows it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import status
from tests.lake import Lake, beir
from tests.tiny_models import build_classifier

pytestmark = pytest.mark.slow
EVIL = "t<img src=x onerror=alert(1)>"
"""The name of a folder, as somebody else may have given it."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Path]:
    """Pages of every kind of table that a pipeline of training data makes."""
    root = tmp_path_factory.mktemp("lake") / EVIL
    beir(root)
    lake = Lake(root, tiny_model, build_classifier(root / "teacher"))
    (root / "config.yaml").write_text(yaml.safe_dump(lake.config(), sort_keys=False))
    assert status(["run", str(root / "config.yaml")]) == 0
    found = {}
    for name in ("documents", "negatives", "scores", "triples"):
        out = tmp_path_factory.mktemp("pages") / f"{name}.html"
        assert status(["report", lake.table(name), "--out", str(out)]) == 0
        found[name] = out
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    place = shutil.which("chromium") or shutil.which("google-chrome")
    if place is None:
        pytest.skip("no browser: Debian's package chromium is not installed")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=place)
        yield running
        running.close()


@pytest.fixture(params=["light", "dark"])
def shown(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """Opens a page, and collects what it asks for and what the browser complains of."""
    page = browser.new_page(color_scheme=request.param)
    page.set_default_timeout(10_000)
    page.asked, page.complaints = [], []
    page.on("request", lambda each: page.asked.append(each.url))
    page.on("console", lambda each: page.complaints.append(each.text))
    page.on("pageerror", lambda each: page.complaints.append(str(each)))
    page.on("dialog", lambda each: page.complaints.append(each.message))
    yield page
    page.close()


HEADINGS = {
    "documents": {"Tokens of a row", "Cosines between texts", "Time by step"},
    "negatives": {"Dropped by rule", "Negatives by rank", "Time by step"},
    "scores": {"Teachers' scores", "Time by step"},
    "triples": {"Time by step"},
}


@pytest.mark.parametrize("kind", HEADINGS)
def test_a_page_stands_alone_and_shows_what_its_table_has(pages, shown, kind):
    address = pages[kind].as_uri()
    shown.goto(address)
    assert shown.asked == [address]
    assert shown.complaints == []
    assert shown.locator("img, script").count() == 0
    assert shown.locator("h1").inner_text().endswith(f"{EVIL}/{kind}")
    assert set(shown.locator("h3").all_inner_texts()) == HEADINGS[kind]


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window_and_every_bar_is_within_its_picture(pages, shown, width):
    shown.set_viewport_size({"width": width, "height": 800})
    for place in pages.values():
        shown.goto(place.as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        for picture in shown.locator("svg").all():
            frame = picture.bounding_box()
            bars = [bar.bounding_box() for bar in picture.locator("rect").all()]
            assert max(bar["height"] for bar in bars) > 0 < max(bar["width"] for bar in bars)
            assert all(_within(bar, frame) for bar in bars)


def test_text_stands_out_from_its_ground(pages, shown):
    """Contrast of 4.5 to 1 at least, as WCAG asks of text."""
    shown.goto(pages["documents"].as_uri())
    for name in ("body", ".faint", ".next", "figcaption", "summary"):
        ink, ground = shown.locator(name).first.evaluate(_COLOURS)
        assert _contrast(_rgb(ink), _rgb(ground)) >= 4.5, name


def test_tables_can_be_reached_and_scrolled_without_a_mouse(pages, shown):
    shown.set_viewport_size({"width": 360, "height": 800})
    shown.goto(pages["negatives"].as_uri())
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.getAttribute('aria-labelledby')") == "figures"


_COLOURS = """element => {
  let ground = element;
  const clear = 'rgba(0, 0, 0, 0)';
  while (ground.parentElement && getComputedStyle(ground).backgroundColor === clear) {
    ground = ground.parentElement;
  }
  return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
}"""


def _within(bar: dict[str, float], frame: dict[str, float]) -> bool:
    return all(
        frame[start] - 0.5 <= bar[start]
        and bar[start] + bar[size] <= frame[start] + frame[size] + 0.5
        for start, size in (("x", "width"), ("y", "height"))
    )


def _rgb(colour: str) -> list[float]:
    return [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]


def _contrast(one: list[float], other: list[float]) -> float:
    lights = sorted(_light(each) for each in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _light(rgb: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
