"""``baseline``: repeats the tutorial's configuration under the tutorial's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import READ_OPTIONS, merge_options, setting_options

if TYPE_CHECKING:
    from search.records.record import StudyHeader
    from search.session.study import Study

TUTORIAL_EPOCHS = 10
OPTIONS = (
    "space", "dataset", *READ_OPTIONS, "study",
    "epochs", "fix", "seed", "workers", "threads", "executor", "backend", "devices",
    "deterministic", "precision", "kernels", "storage", "studies_dir", "reports_dir", "cache_dir",
)  # fmt: skip


@click.command("baseline")
@setting_options(*OPTIONS)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Number of repeats, a seed each.",
)
@click.option("--quiet", is_flag=True, help="Print only the result.")
@click.option("--json", "as_json", is_flag=True, help="Print events and the leaderboard as JSON lines.")
def command(repeats: int, quiet: bool, as_json: bool, **options: Any) -> None:
    """Repeat a space's baseline and compare it with the tutorial.

    Trains on all training images and scores the test images each epoch, as the tutorial does. Prints each repeat, the
    mean, and whether the tutorial's figure is consistent with them. Nothing is searched.
    """
    from search.cli.display import leaderboard_event, make_display
    from search.cli.run import INTERRUPTED_EXIT_CODE
    from search.session.run import run_baseline
    from search.session.settings import from_mapping

    display = make_display(quiet=quiet, as_json=as_json)
    study = run_baseline(from_mapping(merge_options(options)), display, repeats=repeats)
    click.echo(leaderboard_event(study.board) if as_json else describe_baseline(study))
    if study.interrupted:
        raise SystemExit(INTERRUPTED_EXIT_CODE)
    if not study.board.sections or not study.board.sections[0].ranked:
        raise SystemExit(1)


def describe_baseline(study: Study) -> str:
    """Returns the repeats, their mean and standard deviation, and the comparison with the tutorial."""
    from statistics import fmean, stdev

    from search.leaderboard.reference import consistency_sentence
    from search.trial import Phase, State

    record = study.record
    header = record.header
    lines = [f"{header.space.name} baseline on {header.protocol.dataset}, {header.protocol.epochs} epochs:"]
    errors = []
    for trial_record in record.trials_in_phase(Phase.REPRODUCTION):
        trial, outcome = trial_record.trial, trial_record.outcome
        if outcome is None:
            continue
        result = outcome.state.value
        if outcome.state is State.COMPLETE and outcome.error_percent is not None:
            errors.append(outcome.error_percent)
            result = f"{outcome.error_percent:.2f} %"
        lines.append(f"  repeat {trial.replicate}  seed {trial.seed:>10}  test error {result}")
    if not errors:
        return "\n".join([*lines, "  no repeat was completed"])
    spread = f", s.d. {stdev(errors):.2f} points" if len(errors) > 1 else ""
    comparison = consistency_sentence(errors, _reference_error_percent(header))
    return "\n".join([*lines, f"  mean {fmean(errors):.2f} % over {len(errors)} repeats{spread}", comparison])


def _reference_error_percent(header: StudyHeader) -> float | None:
    """Returns the tutorial's figure if the tutorial trained the same, else None."""
    from search.leaderboard.reference import tutorial_error_percent
    from spaces import registry

    is_shipped = header.space_source in registry.SPACES
    if not is_shipped or header.space.baseline != registry.load(header.space_source).baseline:
        return None
    is_as_long = header.protocol.epochs == TUTORIAL_EPOCHS
    return tutorial_error_percent(header.protocol.data_sha256, header.space.name) if is_as_long else None
