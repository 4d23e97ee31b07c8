"""Tests the text exports: the card, the configuration file, and the frame of the script."""

from __future__ import annotations

import ast
import dataclasses
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from search.cli.options import merge_options
from search.data.dataset import prepare
from search.errors import UserError
from search.export.card import TEXT_FORMATS, render_card
from search.export.script import fill_template
from search.export.script_parts import ScriptParts
from search.export.target import make_target
from search.protocol import ClassWeight
from search.records.record import StudyRecord
from search.session.plan import make_plan
from search.session.settings import from_mapping
from search.trial import BASELINE, Outcome, Phase, State
from spaces import registry
from tests.leaderboard import records

TPE = records.tpe()
HOSTILE = 'x"""\nimport os\n<script>|`~~~~\\'


def test_the_first_seed_of_a_row_is_the_default_and_another_can_be_asked_for() -> None:
    order = make_target(TPE, "winner")
    assert order.seed == order.row.completed_replicates[0].seed == order.trial_record.trial.seed
    assert order.test_record is order.trial_record
    other = make_target(TPE, "winner", seed=order.row.completed_replicates[1].seed)
    assert other.test_record.trial.seed == other.seed != order.seed
    fresh = make_target(TPE, "winner", seed=0)
    assert (fresh.seed, fresh.test_record) == (0, None)


def test_a_row_that_was_not_verified_has_its_search_trials_seed_and_no_test_error() -> None:
    study = records.study(records.searched(1, records.outcome(0.7)))
    order = make_target(study, "winner")
    assert (order.seed, order.test_record) == (1001, None)
    assert "by validation error" in order.note
    assert "0.70 %" in render_card(order)
    assert "not verified" in render_card(order)
    assert "--test" not in render_card(order)


def test_the_row_of_a_reproduction_is_exported_with_the_seed_of_its_first_repeat() -> None:
    order = make_target(records.reproduction(), "baseline")
    assert order.trial_record.trial.phase is Phase.REPRODUCTION
    assert order.seed == order.row.completed_replicates[0].seed


def test_the_card_says_how_good_how_sure_against_what_and_how_to_make_it_again() -> None:
    text = render_card(make_target(TPE, "winner"))
    for part in ("0.52", "3 seeds", "95 % interval", "baseline", "tutorial's 0.95 %", "226,110", "reproduce cnn-tpe 6"):
        assert part in text, part
    tokens = MarkdownIt("commonmark").parse(text)
    toml = next(token.content for token in tokens if token.info == "toml")
    assert tomllib.loads(toml)["fix"] == dict(make_target(TPE, "winner").row.config)


def test_the_card_names_no_folder_of_the_machine() -> None:
    of = dataclasses.replace(
        records.header(),
        command="python -m search run --space /home/amelia/mine.py",
        space_source="/home/amelia/mine.py",
    )
    text = render_card(make_target(records.study(records.searched(0, records.outcome(0.5)), of=of), "0"))
    assert "amelia" not in text
    assert "python -m search run --space mine.py" in text


def hostile() -> StudyRecord:
    judged = dataclasses.replace(records.protocol(), dataset=HOSTILE)
    of = dataclasses.replace(records.header(judged=judged), command=f"rm -rf ~ {HOSTILE}", space_source=HOSTILE)
    config = {**records.BETTER, "schedule": HOSTILE}
    return records.study(
        records.searched(0, records.outcome(0.5), origin=f"recipe: {HOSTILE}", config=config),
        records.verified(0, (0.1, 0.2), config=config),
        of=of,
    )


def test_what_a_user_named_stays_text_in_the_card() -> None:
    tokens = MarkdownIt("commonmark").parse(text := render_card(make_target(hostile(), "winner")))
    assert not [token for token in tokens if token.type in ("html_block", "heading_open")]
    assert "rm -rf" not in text
    assert len([token for token in tokens if token.type == "fence"]) == 2


def test_what_a_user_named_stays_text_in_the_configuration_file() -> None:
    document = tomllib.loads(TEXT_FORMATS["config"](make_target(hostile(), "winner"), ""))
    assert (document["space"], document["fix"]["schedule"]) == (HOSTILE, HOSTILE)


def test_run_takes_the_configuration_file_back(tmp_path: Path, cache_dir: Path) -> None:
    space = registry.load("cnn")
    config = space.recipe("two stages + sgd")
    study = records.study(
        records.searched(0, records.outcome(0.5), origin=BASELINE, config=config), of=records.header(space=space)
    )
    file = tmp_path / "winner.toml"
    file.write_text(TEXT_FORMATS["config"](make_target(study, "0"), ""), encoding="utf-8")
    plan = make_plan(from_mapping(merge_options({"cache_dir": str(cache_dir)}, config=file)))
    assert plan.header.space.baseline == config
    assert plan.header.space.size() == 1
    assert (plan.header.protocol.split.value, plan.header.protocol.epochs) == ("block", 10)


def test_a_row_without_any_run_is_refused() -> None:
    with pytest.raises(UserError, match="no finished trial"):
        make_target(records.study(), "winner")
    failed = records.study(records.searched(0, Outcome(state=State.FAILED)))
    with pytest.raises(UserError, match="has a validation error"):
        make_target(failed, "winner")


PARTS = ScriptParts(
    network="model = keras.Sequential([\n    keras.Input((28, 28, 1)),\n])",
    optimizer="keras.optimizers.Adam()",
    loss="keras.losses.CategoricalCrossentropy()",
    parameters=1234,
)


@pytest.mark.parametrize(
    ("shift", "clean", "weight"), [(0, 0, ClassWeight.BALANCED), (2, 0, ClassWeight.NONE), (2, 1, ClassWeight.NONE)]
)
def test_the_script_is_python_that_imports_keras_and_numpy_alone(
    shift: int, clean: int, weight: ClassWeight, cache_dir: Path
) -> None:
    space = registry.load("cnn")
    config = {**space.baseline, "shift": shift, "clean_epochs": clean}
    of = records.header(space=space, judged=dataclasses.replace(records.protocol(), class_weight=weight))
    study = records.study(records.searched(0, records.outcome(0.5), origin=HOSTILE, config=config), of=of)
    text = fill_template(make_target(study, "0"), prepare("mnist", cache_dir), PARTS, HOSTILE)
    tree = ast.parse(text)
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"sys", "keras", "numpy"}
    assert "search" not in text.partition('"""\n\nimport')[2]
    assert "import os" not in text.partition('"""\n\nimport')[2]
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 120
    assert ("class Augment" in text) == (shift > 0)
    assert ("strength" in text) == (clean > 0)
    assert ("class_weight=class_weight" in text) == (weight is ClassWeight.BALANCED)


def test_a_short_training_is_exported_with_its_own_epochs_and_called_short(cache_dir: Path) -> None:
    space = registry.load("cnn")
    config = {**space.baseline, "shift": 2, "clean_epochs": 3}
    of = records.header(space=space)
    run = records.searched(0, records.outcome(0.5, State.SCREENED, epochs=4), config=config, short_epochs=4)
    target = make_target(records.study(run, of=of), "0")
    text = fill_template(target, prepare("mnist", cache_dir), PARTS, "script.py")
    assert "SEED, EPOCHS, BATCH_SIZE = 1000, 4," in text
    assert "CLEAN_EPOCHS = 1" in text  # their share of a full trial's ten epochs
    assert "4 epochs" in render_card(target)
    assert "short" in render_card(target)
