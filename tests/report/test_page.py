"""The page as text: its contents for studies of all kinds; it is well-formed and self-contained."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from search.data.dataset import find_test_images
from search.leaderboard import formatting
from search.leaderboard.board import top_rows
from search.leaderboard.render_markdown import escape, to_markdown
from search.leaderboard.summary import summary_sentences
from search.leaderboard.tables import RANKED_COLUMNS
from search.report import page
from search.trial import COPIED_FROM_KEY, Phase
from tests.leaderboard import records as usual
from tests.leaderboard.records import joined
from tests.report import studies

VOID = {"meta", "link", "img", "br", "input"}
BOARDS = studies.boards()


class Reader(HTMLParser):
    """Reads a page's visible text, tags and attributes; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            name = self.tags[-1][1].get("id") or self.open[-1]
            self.data[name] = self.data.get(name, "") + data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def pages() -> dict[str, Reader]:
    return {name: Reader(page.render(studies.board(known), known)) for name, known in BOARDS.items()}


@pytest.mark.parametrize("name", BOARDS)
def test_a_page_is_well_formed_and_names_each_thing_once(name: str, pages: dict[str, Reader]) -> None:
    ids = [attributes["id"] for _, attributes in pages[name].tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {attributes["href"] for tag, attributes in pages[name].tags if tag == "a"}
    assert {link.removeprefix("#") for link in named} <= set(ids)


@pytest.mark.parametrize("name", BOARDS)
def test_a_page_names_nothing_outside_itself(name: str, pages: dict[str, Reader]) -> None:
    for tag, attributes in pages[name].tags:
        for key in ("src", "href", "action", "srcset", "data", "poster"):
            target = attributes.get(key)
            assert target is None or target.startswith(("#", "data:")), (tag, target)
    assert "@import" not in pages[name].data["style"]
    assert "url(" not in pages[name].data["style"]


@pytest.mark.parametrize("name", BOARDS)
def test_only_the_page_s_own_scripts_may_run(name: str, pages: dict[str, Reader]) -> None:
    reader = pages[name]
    (policy,) = [known["content"] for tag, known in reader.tags if known.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    code = (reader.data["script"], get_plotlyjs())
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in code]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert not [key for _, known in reader.tags for key in known if key.startswith("on")]


def test_the_page_holds_the_plot_library_once(pages: dict[str, Reader]) -> None:
    packed = base64.b64decode(pages["usual"].data["library"])
    assert gzip.decompress(packed).decode() == get_plotlyjs()
    assert "library" not in pages["none finished"].data


def test_a_page_is_the_same_whenever_it_is_made() -> None:
    known = BOARDS["two engines"]
    assert page.render(studies.board(known), known) == page.render(studies.board(known), known)


def test_a_page_is_small() -> None:
    known = [studies.many(200)]
    text = page.render(studies.board(known), known, {studies.MNIST_SHA256: find_test_images(studies.MNIST_SHA256)})
    assert len(text.encode()) < 2_600_000


def test_the_headline_shows_error_interval_and_differences(pages: dict[str, Reader]) -> None:
    text = pages["usual"].text
    chosen = studies.board(BOARDS["usual"]).sections[0].headline
    bounds = formatting.interval_bounds(chosen.test_error.interval)
    assert f"{formatting.percent(chosen.test_error.mean)} % {bounds} test error" in text
    assert f"{chosen.name} of study cnn-tpe" in text
    difference = chosen.baseline_difference
    gap = (
        f"{formatting.percentage_points(difference.mean)} points 95 % {formatting.interval_bounds(difference.interval)}"
    )
    text = text.replace("\N{MINUS SIGN}", "-")
    assert f"To the baseline {gap}" in text
    assert f"To the tutorial's 0.95 % {formatting.percentage_points(chosen.tutorial_difference)} points" in text
    assert f"To the state of the art +{chosen.test_error.mean - 0.2:.2f} points quoted as about 0.20 %" in text
    assert f"Validation error {formatting.percent(chosen.validation_error_percent)} %" in text


def lines(reader: Reader) -> list[dict[str, str | None]]:
    """The filter attributes of the leaderboard's rows."""
    return [known for tag, known in reader.tags if tag == "tbody" and "data-state" in known]


def test_the_leaderboard_holds_rows_ensembles_and_published_figures_by_error(pages: dict[str, Reader]) -> None:
    section = studies.board(BOARDS["usual"]).sections[0]
    kinds = [known["class"].split()[0] for known in lines(pages["usual"])]
    assert kinds.count("row") == len(section.rows)
    assert kinds.count("ensemble") == len(section.ensembles) == 1
    assert kinds.count("published") == len(section.references) == 4
    errors = [
        float(known["data-sort"])
        for tag, known in pages["usual"].tags
        if tag == "td" and "test_error_percent" in known.get("class", "").split() and known["data-sort"]
    ]
    assert len(errors) == len(section.ranked) + 5
    assert errors[:-1] == sorted(errors[:-1])
    assert errors[-1] == section.ensembles[0].error_percent  # below what is ranked


def test_fields_with_several_values_can_be_filtered_by(pages: dict[str, Reader]) -> None:
    def filters(name: str) -> set[str | None]:
        return {known["name"] for tag, known in pages[name].tags if tag == "select"}

    assert filters("two engines") == {"engine", "space", "study", "state"}
    assert filters("usual") == {"state"}


def test_each_row_has_the_command_that_reproduces_it(pages: dict[str, Reader]) -> None:
    for row in studies.board(BOARDS["usual"]).sections[0].rows:
        command = f"python -m search reproduce cnn-tpe {row.trial}{' --test' if row.test_error else ''} "
        assert command in pages["usual"].text
    assert "python -m search reproduce tutorial-cnn baseline " in pages["reproduction"].text


def test_the_page_shows_failures_time_test_scorings_and_machine(pages: dict[str, Reader]) -> None:
    text = pages["usual"].text
    assert "out of memory failed 1 #5" in text
    assert "coordinator died" not in text
    assert "Test images opened 17 times" in text
    assert "tensorflow 2.21.0" in text
    assert "a-private-name" not in text
    for kind in ("complete", "pruned", "failed", "interrupted", "unfinished", "verification"):
        assert re.search(rf"{kind} \d+ \d+ ", text), kind


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("one trial", "1.40 % validation error, not verified baseline #0 of study cnn-tpe"),
        ("no verification", "1.20 % validation error, not verified found #1 of study cnn-tpe"),
        ("no verification", "Nothing here was verified on the test images, so nothing is ranked."),
        ("all failed", "No search trial was trained in full, and none was verified."),
        ("no baseline", "its study has no verified baseline"),
        ("all failed", "No search trial has a validation error."),
        ("none finished", "Study fresh has no finished trial: it has begun 1 and finished none."),
        ("none begun", "Study fresh has no finished trial: it has begun none."),
        ("no study", "There is no study to show."),
        ("no verification", "2 trials were trained in full; an estimate needs 10."),
        ("tutorial protocol", "Caution: the test images steered the search."),
        ("several sections", "mnist, protocol tutorial 1.0"),
    ],
)
def test_the_page_shows_what_is_missing(name: str, told: str, pages: dict[str, Reader]) -> None:
    assert told in pages[name].text


def test_charts_without_a_figure_say_why_and_the_others_have_one(pages: dict[str, Reader]) -> None:
    for reader in pages.values():
        drawn = {known["data-chart"] for tag, known in reader.tags if tag == "figure" and "data-chart" in known}
        assert drawn == set(json.loads(reader.data["drawn"])["figures"])


def test_hostile_names_stand_as_text(pages: dict[str, Reader]) -> None:
    reader = pages["hostile"]
    for name in studies.EVIL:
        assert " ".join(name.split()) in reader.text
    assert [known.get("id") for tag, known in reader.tags if tag == "script"] == [None, "drawn", "library"]
    assert not [tag for tag, _ in reader.tags if tag in ("b", "svg") and tag == "svg"]
    assert "49" not in re.findall(r"study (\S+)", reader.text)


def test_hostile_names_stand_as_text_in_what_plotly_reads_as_markup() -> None:
    known = [studies.hostile()]
    text = page.render(studies.board(known), known)
    drawn = json.loads(Reader(text).data["drawn"])
    shown = "\n".join(drawn["texts"])
    assert "<script" not in shown and "<img" not in shown and "<svg" not in shown
    assert "&lt;script&gt;window.hacked=1&lt;/script&gt;" in shown
    for views in drawn["figures"].values():
        for figure in views.values():
            assert "<script" not in json.dumps(figure)


def test_rows_that_were_left_out_are_counted() -> None:
    known = [usual.tpe()]
    text = Reader(page.render(top_rows(studies.board(known), 3), known)).text
    hidden = len(studies.board(known).sections[0].rows) - 4
    assert f"{hidden} rows are left out here" in text


def test_only_the_first_of_very_many_rows_stand_on_the_page() -> None:
    known = [studies.many(700)]
    board = studies.board(known)
    reader = Reader(page.render(board, known))
    assert len(lines(reader)) == 500
    assert f"{len(board.sections[0].rows) + len(board.sections[0].references) - 500} rows are left out" in reader.text


def test_a_study_that_another_board_left_out_is_not_drawn() -> None:
    first, second = studies.engines()
    reader = Reader(page.render(studies.board([first]), [first, second]))
    assert "narrow-hyperband" not in reader.text


def test_rows_of_two_sections_do_not_share_a_table() -> None:
    first, second = studies.engines()
    other = dataclasses.replace(second.header.protocol, data_sha256="ff" * 32)
    moved = dataclasses.replace(second, header=dataclasses.replace(second.header, protocol=other))
    reader = Reader(page.render(studies.board([first, moved]), [first, moved]))
    assert len([tag for tag, known in reader.tags if tag == "section" and "board" in (known.get("class") or "")]) == 2


def test_of_many_sentences_the_first_stand_above_the_board_and_the_rest_can_be_opened() -> None:
    first = studies.many(4)
    known = [
        dataclasses.replace(
            first,
            header=dataclasses.replace(first.header, name=f"study-{number}"),
            ensembles=joined("mean", wrong=range(40 + number), members=(0, 1)),
        )
        for number in range(12)
    ]
    reader = Reader(page.render(studies.board(known), known))
    (section,) = studies.board(known).sections
    count = len(summary_sentences(section))
    assert f"{count - 8} more sentences" in reader.text
    for sentence in summary_sentences(section):
        assert reader.text.replace("\N{MINUS SIGN}", "-").count(sentence) == 1


def test_the_board_has_the_main_table_and_says_the_rest_below_it(pages: dict[str, Reader]) -> None:
    reader = pages["usual"]
    heads = [known["class"].split()[0] for tag, known in reader.tags if tag == "th" and "aria-sort" in known]
    assert heads == list(RANKED_COLUMNS)
    assert "found #3, pruned" in reader.text
    assert "found #5, failed: out of memory" in reader.text
    table, _, below = reader.text.partition("A rank is a range")
    chosen = studies.board(BOARDS["usual"]).sections[0].headline
    assert f"{chosen.name} {formatting.CHOSEN_MARK}" in table
    assert f"{formatting.CHOSEN_MARK} chosen: of its study's verified rows" in below
    assert "Caution, baseline #0: the test images steered the search." in pages["tutorial protocol"].text


def test_runs_that_were_taken_over_and_openings_are_told_once_on_board_and_page() -> None:
    record = usual.tpe()
    taken = [
        dataclasses.replace(
            run,
            outcome=run.outcome
            and dataclasses.replace(run.outcome, environment={**run.outcome.environment, COPIED_FROM_KEY: "earlier"}),
        )
        if run.trial.phase is Phase.VERIFICATION and run.trial.source_trial == 0
        else run
        for run in record.trials
    ]
    known = [dataclasses.replace(record, trials=tuple(taken), opened_by={"export": 2})]
    board = studies.board(known)
    told = (
        "Test runs taken over from other studies, where they were trained: baseline #0 of cnn-tpe, 3 from earlier.",
        "The test images were opened 16 times in this study (verification 13, ensemble 1, export 2; a run counts from "
        "its start; 2 of these runs without a figure); 14 search trials began after the first time.",
    )
    markdown, shown = to_markdown(board), Reader(page.render(board, known)).text
    for sentence in told:
        assert markdown.count(escape(sentence)) == 1
        assert shown.count(sentence) == 1
