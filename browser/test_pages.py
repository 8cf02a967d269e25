"""What a reader sees on a phone, a tablet and a screen, light and dark, with a keyboard and on paper."""

import pytest
from axe_playwright_python.sync_playwright import Axe

SIZES = {390: 844, 768: 1024, 1440: 900}

OUTSIDE = """() => [...document.querySelectorAll("body *")]
  .filter(e => e.checkVisibility() && !e.closest(".scroll, svg"))
  .filter(e => { const r = e.getBoundingClientRect(); return r.right > innerWidth + 1 || r.left < -1 })
  .map(e => e.outerHTML.slice(0, 120))"""

CUT_TEXTS = """() => [...document.querySelectorAll("svg text")].filter(e => e.checkVisibility())
  .filter(e => { const t = e.getBoundingClientRect(), s = e.closest("svg").getBoundingClientRect();
                 return t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1 })
  .map(e => e.textContent)"""

SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll("svg")].filter(e => e.checkVisibility())
  .flatMap(s => [...s.querySelectorAll("text")].map(e => parseFloat(getComputedStyle(e).fontSize)
                 * s.getBoundingClientRect().width / s.viewBox.baseVal.width)))"""

PLOT_SHARES = """() => [...document.querySelectorAll("svg")].filter(e => e.checkVisibility())
  .map(e => e.getBoundingClientRect().width / document.querySelector("main").clientWidth)"""

TABLES = """async () => {
  const found = [], frames = () => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))
  for (const box of document.querySelectorAll(".scroll")) {
    if (!box.checkVisibility()) continue
    const first = box.querySelector("tbody :is(th, td)"), more = box.querySelector(".more")
    const before = more.checkVisibility(), over = box.scrollWidth > box.clientWidth + 1
    box.scrollLeft = 1e6
    await frames()
    found.push({ name: box.getAttribute("aria-label"), over, before, after: more.checkVisibility(),
      cards: getComputedStyle(first).display == "block",
      shift: first.getBoundingClientRect().left - box.getBoundingClientRect().left })
    box.scrollLeft = 0
  }
  return found
}"""


@pytest.fixture(params=SIZES)
def page(request, browser, page_file):
    """A page in a window of one size."""
    width = request.param
    window = browser.new_context(viewport={"width": width, "height": SIZES[width]})
    opened = window.new_page()
    opened.goto(page_file.as_uri())
    yield opened
    window.close()


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")


def test_nothing_overflows(page):
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(OUTSIDE) == []


def test_plots_fill_the_page_and_can_be_read(page):
    assert page.evaluate(CUT_TEXTS) == []
    assert page.evaluate(SMALLEST_TEXT) >= 9
    assert min(page.evaluate(PLOT_SHARES)) >= 0.94


def test_wide_tables_scroll_inside_themselves_say_so_and_keep_their_first_column(page):
    unfold(page)
    found = page.evaluate(TABLES)
    assert found
    for table in found:
        assert table["before"] == table["over"], table
        assert not table["after"], table
        assert abs(table["shift"]) <= 1 or table["cards"], table
    if page.viewport_size["width"] == 390:
        assert any(table["over"] for table in found)


def test_the_answer_is_on_the_first_screen(page):
    height = page.viewport_size["height"]
    tiles = page.locator(".tiles").bounding_box()
    assert tiles["y"] + tiles["height"] <= height
    sizes = page.locator(".tiles .value").evaluate_all(
        "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert len(sizes) >= 3
    assert min(sizes) >= 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, scheme):
    page.emulate_media(color_scheme=scheme)
    unfold(page)
    found = Axe().run(page).response["violations"]
    assert [
        (v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")
    ] == []


def test_on_paper_all_is_there(browser, page_file):
    """On A4 with its margins, some of it sideways; what is folded is open, the last column on the sheet."""
    page = browser.new_page(viewport={"width": 688, "height": 1000}, color_scheme="dark")
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    hidden = """() => [...document.querySelectorAll("details table")].filter(e => e.getBoundingClientRect().height == 0).length"""
    assert page.evaluate(hidden) == 0
    cut = """() => [...document.querySelectorAll("table")].filter(e => e.getBoundingClientRect().right > (e.closest(".dense") ? SIDEWAYS : innerWidth) + 1)
      .map(e => [e.closest(".scroll").getAttribute("aria-label"), e.getBoundingClientRect().right])"""
    assert page.evaluate(cut.replace("SIDEWAYS", "1016")) == []
    page.close()
