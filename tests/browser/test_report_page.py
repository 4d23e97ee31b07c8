"""The report's page in a real browser: charts, interaction, and no network requests."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.browser.conftest import PHONE, Browser
from tests.report import studies

Write = Callable[[str], Path]
NAMES = ".board tbody:not([hidden]) .toggle"
ERRORS = ".board tbody:not([hidden]) td.test_error_percent"
"""Rows of the leaderboard that are shown."""


def click(browser: Browser, selector: str) -> None:
    element = browser.driver.find_element(By.CSS_SELECTOR, selector)
    browser.run("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def column(browser: Browser, name: str) -> int:
    heads = browser.run("return [...document.querySelectorAll('.board thead th')].map((one) => one.textContent)")
    return [" ".join(head.split()) for head in heads].index(name)


def cells(browser: Browser, name: str) -> list[str]:
    script = (
        "return [...document.querySelectorAll('.board tbody:not([hidden])')]"
        ".map((one) => one.rows[0].cells[arguments[0]].textContent.trim())"
    )
    return browser.run(script, column(browser, name))


def press(browser: Browser, name: str, key: str = Keys.ENTER) -> str:
    """Presses a key on a column's button and returns the state of the column."""
    (head,) = [
        one
        for one in browser.driver.find_elements(By.CSS_SELECTOR, ".board thead th[aria-sort]")
        if " ".join(one.text.split()) == name
    ]
    head.find_element(By.TAG_NAME, "button").send_keys(key)
    return head.get_attribute("aria-sort")


@pytest.mark.parametrize("name", studies.boards())
def test_every_page_draws_all_its_charts_without_errors_or_requests(name: str, browser: Browser, report: Write) -> None:
    page = report(name)
    browser.show(page)
    drawn = (
        "return [...document.querySelectorAll('.chart[data-chart]')]"
        ".filter((one) => !one.closest('details:not([open])'))"
        ".every((one) => one.querySelector('.main-svg .plot, .main-svg .cartesianlayer'))"
    )
    assert browser.run(drawn)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("return window.hacked") is None


def test_text_and_tables_stand_before_the_charts(browser: Browser, report: Write) -> None:
    browser.show(report("two engines"))
    painted, library = browser.run(
        "const paint = performance.getEntriesByName('first-contentful-paint')[0];"
        "return [paint.startTime, performance.getEntriesByName('library')[0].startTime]"
    )
    assert painted < library


def test_columns_sort_by_click_and_by_key(browser: Browser, report: Write) -> None:
    browser.show(report("usual"))
    before = browser.texts(NAMES)
    assert press(browser, "Params") == "ascending"
    assert press(browser, "Val. %", Keys.SPACE) == "ascending"
    errors = [float(cell) for cell in cells(browser, "Val. %") if cell]
    assert errors == sorted(errors) and len(set(errors)) > 5
    assert cells(browser, "Val. %")[-1] == ""
    click(browser, "thead th[aria-sort=ascending] button")
    errors = [float(cell) for cell in cells(browser, "Val. %") if cell]
    assert errors == sorted(errors, reverse=True)
    assert cells(browser, "Val. %")[-1] == ""
    sorted_by = browser.driver.find_elements(By.CSS_SELECTOR, "th[aria-sort=ascending], th[aria-sort=descending]")
    assert [one.text.split() for one in sorted_by] == [["Val.", "%"]]
    click(browser, "thead th[aria-sort=descending] button")
    assert browser.texts(NAMES) == before


def test_rows_are_filtered_by_engine_state_and_space(browser: Browser, report: Write) -> None:
    browser.show(report("two engines"))

    def choose(name: str, value: str) -> list[dict[str, str]]:
        Select(browser.driver.find_element(By.NAME, name)).select_by_value(value)
        shown = "return [...document.querySelectorAll('.board tbody:not([hidden])')].map((one) => ({...one.dataset}))"
        return browser.run(shown)

    assert {one["engine"] for one in choose("engine", "")} == {"optuna:tpe", "keras-tuner:hyperband", ""}
    rows = choose("engine", "keras-tuner:hyperband")
    assert {one["engine"] for one in rows} == {"keras-tuner:hyperband", ""}, "published figures are of no engine"
    rows = choose("state", "pruned")
    assert {(one["engine"], one["state"]) for one in rows} == {("keras-tuner:hyperband", "pruned")}
    assert re.fullmatch(rf"{len(rows)} of \d+ rows", browser.texts(".count")[0])
    assert choose("space", "wide") == []
    choose("engine", "")
    rows = choose("space", "wide")
    assert {(one["space"], one["state"]) for one in rows} == {("wide", "pruned")}


def test_many_rows_are_shown_when_asked_for(browser: Browser, report: Write) -> None:
    browser.show(report("two engines"))
    assert len(browser.texts(NAMES)) == 25
    click(browser, ".more")
    count = browser.run("return document.querySelectorAll('.board tbody').length")
    assert len(browser.texts(NAMES)) == count > 80
    assert browser.texts(".more") == []


def test_a_row_opens_to_its_settings_and_the_command_that_makes_it_again(browser: Browser, report: Write) -> None:
    browser.show(report("usual"))
    assert browser.texts(".detail") == []
    before = browser.texts(NAMES)
    row = next(one for one in browser.driver.find_elements(By.CSS_SELECTOR, NAMES) if one.text == "found #6 *")
    row.send_keys(Keys.ENTER)
    assert row.get_attribute("aria-expanded") == "true"
    (detail,) = browser.texts(".detail")
    assert "python -m search reproduce cnn-tpe 6" in detail
    assert "filters_1=48" in detail
    row.send_keys(Keys.ENTER)
    assert browser.texts(".detail") == []
    assert browser.texts(NAMES) == before
    assert browser.driver.find_elements(By.CSS_SELECTOR, "th[aria-sort=ascending]") == []


def test_a_command_is_copied(browser: Browser, report: Write) -> None:
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    browser.show(report("usual"))
    click(browser, "#chosen-1 .copy")
    browser.wait("return document.querySelector('#chosen-1 .copy').textContent !== 'Copy'")
    told = browser.texts("#chosen-1 .copy")[0]
    chosen = browser.run("return getSelection().toString()")
    copied = browser.driver.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, () => done(null))"
    )
    assert (told == "Copied" and copied == "python -m search reproduce cnn-tpe 6 --test") or (
        told == "Selected" and chosen.strip() == "python -m search reproduce cnn-tpe 6 --test"
    )


def colour(browser: Browser, selector: str, name: str) -> tuple[int, ...]:
    found = browser.run("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name)
    return tuple(map(int, re.findall(r"\d+", found)[:3]))


def test_page_and_charts_follow_the_scheme_and_the_button(browser: Browser, report: Write) -> None:
    light, dark = (0, 114, 178), (90, 176, 234)
    line = ".chart[data-chart] .scatterlayer path.js-line"
    browser.show(report("usual"), scheme="dark")
    assert sum(colour(browser, "body", "backgroundColor")) < 120
    assert sum(colour(browser, "body", "color")) > 600
    assert colour(browser, line, "stroke") == dark
    click(browser, ".scheme")
    assert sum(colour(browser, "body", "backgroundColor")) > 700
    assert colour(browser, line, "stroke") == light
    browser.run("localStorage.clear()")
    browser.show(report("usual"), scheme="light")
    assert sum(colour(browser, "body", "backgroundColor")) > 700
    assert colour(browser, line, "stroke") == light
    assert browser.complaints() == []


@pytest.mark.parametrize("name", ["usual", "two engines", "several sections", "hostile", "all failed", "no study"])
def test_a_phone_scrolls_down_only(name: str, browser: Browser, report: Write) -> None:
    browser.show(report(name), size=PHONE)
    assert browser.run("return document.documentElement.scrollWidth") == PHONE[0]
    wide = browser.run(
        "return [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 391"
        " && !one.closest('.scroll, .frame')).map((one) => one.outerHTML.slice(0, 120))"
    )
    assert wide == []


def test_hostile_names_stay_text(browser: Browser, report: Write) -> None:
    browser.show(report("hostile"))
    assert browser.run("return window.hacked") is None
    text = browser.run("return document.body.innerText")
    for name in studies.EVIL:
        assert " ".join(name.split()) in " ".join(text.split())
    assert browser.run("return document.querySelectorAll('main script, main img, main svg[onload]').length") == 0
    assert "bold" not in browser.run("return [...document.querySelectorAll('main b')].map((one) => one.textContent)")
    drawn = browser.run("return [...document.querySelectorAll('.plot text')].map((one) => one.textContent).join(' ')")
    assert "<img src=x" in drawn
    hover = "Plotly.Fx.hover(document.querySelector('.plot'), [{curveNumber: 0, pointNumber: 0}])"
    browser.run(hover)
    browser.wait("return document.querySelector('.hoverlayer text') !== null")
    assert browser.run("return document.querySelector('.hoverlayer').textContent").count("<script>") >= 1
    assert browser.run("return window.hacked") is None
    assert browser.complaints() == []


def test_missed_digits_are_pictures_with_true_and_predicted_class(browser: Browser, report: Write) -> None:
    browser.show(report("two engines"))
    (shown,) = browser.run(
        "const one = document.querySelector('.mistakes li'); const image = one.querySelector('img');"
        "return [[image.naturalWidth, image.naturalHeight, getComputedStyle(image).imageRendering, one.innerText]]"
    )
    assert shown[:3] == [28, 28, "pixelated"]
    assert shown[3].split() == ["2→5", "3", "of", "3"]


def test_another_view_of_a_chart_is_drawn(browser: Browser, report: Write) -> None:
    browser.show(report("two engines"))
    title = "return document.querySelector('.plot .xtitle').textContent"
    assert browser.run(title) == "Minutes of search"
    click(browser, ".views button[value=epochs]")
    assert browser.run(title) == "Epochs trained"
    assert browser.texts(".views button[aria-pressed=true]")[0] == "epochs"


def test_charts_of_a_study_are_drawn_when_it_is_opened(browser: Browser, report: Write) -> None:
    browser.show(report("two engines"))
    assert browser.run("return document.querySelectorAll('details:not([open]) .main-svg').length") == 0
    click(browser, "details:not([open]) summary")
    browser.wait(
        "return [...document.querySelectorAll('.chart[data-chart]')].every((one) => one.querySelector('.main-svg'))"
    )


def test_no_button_sends_a_chart_anywhere(browser: Browser, report: Write) -> None:
    script = (
        "const asked = window.matchMedia;"
        "window.matchMedia = (query) => query === '(hover: hover)' ? {matches: true} : asked(query)"
    )  # a screen with a pointer, which has the buttons
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        browser.show(report("usual"))
        titles = browser.run("return [...document.querySelectorAll('.modebar-btn')].map((one) => one.dataset.title)")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    assert set(titles) == {"Download plot", "Zoom", "Reset axes"}


def test_a_page_without_its_plot_library_shows_the_reason_and_its_tables(
    browser: Browser, report: Write, tmp_path: Path
) -> None:
    whole = report("usual").read_text(encoding="utf-8")
    for content in ("", "H4sIAAAAAAAA", "not base64!"):
        broken = tmp_path / "broken.html"
        broken.write_text(re.sub(r'(id="library">)[^<]*', rf"\g<1>{content}", whole), encoding="utf-8")
        browser.show(broken)
        notes = browser.texts(".chart .pending")
        assert len(notes) > 5
        assert all(note.startswith("This chart cannot be drawn: ") for note in notes)
        assert "found #6 *" in browser.texts(NAMES)
        assert press(browser, "Params") == "ascending"


def test_without_scripts_text_and_tables_are_whole(browser: Browser, report: Write) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.show(report("usual"), until_drawn=False)
        browser.wait("return document.readyState === 'complete'")  # the driver returns earlier without scripts
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "python -m search reproduce cnn-tpe 6" in " ".join(browser.texts(".detail"))
    assert browser.texts(".tools, .views, .copy, .scheme") == []
    assert browser.texts(".chart .pending")[0] == "This chart appears once the page's script has run."


def test_print_is_light_has_no_buttons_and_every_chart(browser: Browser, report: Write) -> None:
    browser.show(report("usual"), scheme="dark")
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    document = base64.b64decode(printed["data"])
    assert document.startswith(b"%PDF")
    strings = b"".join(_streams(document))
    assert b"0 .447059 .698039 RG" in strings or b".447" in strings, "lines in the light scheme's blue"
    line = ".chart[data-chart] .scatterlayer path.js-line"
    assert colour(browser, line, "stroke") == (90, 176, 234), "the screen is dark again"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.texts(".copy, .views, .tools, .scheme, .bar, .more") == []
    assert sum(colour(browser, "body", "backgroundColor")) > 700


def _streams(document: bytes) -> list[bytes]:
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", document, re.DOTALL):
        try:
            found.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return found
