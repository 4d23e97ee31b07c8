"""``baseline``: the tutorial's own configuration, repeated under the tutorial's own protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.cli.options import gather, setting_options

if TYPE_CHECKING:
    from search.records.record import StudyHeader

TUTORIAL_EPOCHS = 10
OPTIONS = (
    "space", "dataset", "study", "epochs", "fix", "seed", "workers", "threads", "executor", "backend", "devices",
    "deterministic", "precision", "storage", "studies_dir", "reports_dir", "cache_dir",
)  # fmt: skip


@click.command("baseline")
@setting_options(*OPTIONS)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Repeats, a seed each.")
@click.option("--quiet", is_flag=True, help="No progress; only the result.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: what happens, then the leaderboard.")
def command(repeats: int, quiet: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Reproduce a space's baseline: each repeat, the mean, and whether the tutorial's figure is consistent.

    Trains on all training images and watches the test images each epoch, as the tutorial does. Nothing is searched.
    """
    from search import api
    from search.cli.display import board_line, choose
    from search.cli.run import INTERRUPTED

    study = api.baseline(repeats=repeats, progress=choose(quiet=quiet, as_json=as_json), **gather(given))
    click.echo(board_line(study.board) if as_json else describe(study))
    if study.interrupted:
        raise SystemExit(INTERRUPTED)
    if not study.board.sections or not study.board.sections[0].ranked:
        raise SystemExit(1)


def describe(study: Any) -> str:  # noqa: ANN401 - search.api.Study, which this module must not import at once
    """Returns the repeats, their mean and deviation, and the verdict."""
    from search.leaderboard.reproduction import Reproduction
    from search.trial import Phase, State

    record = study.record
    header = record.header
    ended = [known for known in record.phase(Phase.REPRODUCTION) if known.outcome is not None]
    lines = [f"{header.space.name} baseline on {header.protocol.dataset}, {header.protocol.epochs} epochs:"]
    for known in ended:
        error = known.outcome.error_percent
        shown = f"{error:.2f} %" if known.outcome.state is State.COMPLETE else known.outcome.state.value
        lines.append(f"  repeat {known.trial.replicate}  seed {known.trial.seed:>10}  test error {shown}")
    errors = [known.outcome.error_percent for known in ended if known.outcome.state is State.COMPLETE]
    if not errors:
        return "\n".join([*lines, "  no repeat was completed"])
    result = Reproduction(errors_percent=tuple(errors), figure_percent=_figure(header))
    spread = f", s.d. {result.deviation:.2f} points" if result.deviation is not None else ""
    return "\n".join([*lines, f"  mean {result.mean:.2f} % over {len(errors)} repeats{spread}", result.verdict()])


def _figure(header: StudyHeader) -> float | None:
    """Returns the tutorial's figure where what was repeated is what the tutorial trained, and None elsewhere."""
    from search.leaderboard.reference import tutorial_error_percent
    from spaces import registry

    is_shipped = header.space_source in registry.SPACES
    if not is_shipped or header.space.baseline != registry.load(header.space_source).baseline:
        return None
    is_as_long = header.protocol.epochs == TUTORIAL_EPOCHS
    return tutorial_error_percent(header.protocol.dataset, header.space.name) if is_as_long else None
