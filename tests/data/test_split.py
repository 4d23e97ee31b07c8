from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_data import save_npz

from search.data.dataset import LabeledImages, open_training, prepare
from search.data.split import default_split, make_folds, make_split_indices
from search.errors import UserError
from search.protocol import Split

SEEDS = st.integers(0, 2**32 - 1)


def images(labels, groups=None) -> LabeledImages:
    """Images of which only labels and groups matter."""
    labels = np.asarray(labels, dtype=np.int64)
    return LabeledImages(
        np.zeros((len(labels), 1, 1, 1), np.uint8), labels, None if groups is None else np.asarray(groups)
    )


@pytest.fixture(scope="module")
def mnist(cache_dir: Path) -> LabeledImages:
    return open_training(prepare("mnist", cache_dir))


@given(counts=st.lists(st.integers(1, 40), min_size=3, max_size=6), seed=SEEDS)
def test_stratified_takes_a_sixth_of_every_class_and_an_image_of_a_rare_one(counts: list[int], seed: int) -> None:
    assume(sum(counts) >= 6 and max(counts) > 1)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    roles = make_split_indices(images(labels), split=Split.STRATIFIED, seed=seed)
    assert np.array_equal(np.sort(np.concatenate([roles.training, roles.validation])), np.arange(len(labels)))
    validated = np.bincount(labels[roles.validation], minlength=len(counts))
    if min(counts) >= 6:
        assert len(roles.validation) == len(labels) // 6
    assert np.all(np.abs(validated - np.array(counts) / 6) < 1)
    assert np.all((validated > 0) == (np.array(counts) > 1)), "the only image of a class is trained on"


@settings(max_examples=40)
@given(
    groups=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=12, max_size=60),
    seed=SEEDS,
)
def test_a_group_that_holds_all_of_a_class_is_trained_on(groups: list[tuple[int, int]], seed: int) -> None:
    names, labels = np.array(groups).T
    only = [name for name in set(names) if any(set(names[labels == label]) == {name} for label in labels)]
    assume(len(set(names)) > len(only) + len(set(labels)))
    roles = make_split_indices(images(labels, names), split=Split.GROUP, seed=seed)
    assert set(labels[roles.training]) == set(labels)
    assert not set(names[roles.validation]) & {*only, *names[roles.training]}
    assert len(roles.validation)


@given(sizes=st.lists(st.integers(1, 30), min_size=2, max_size=40), seed=SEEDS)
def test_groups_stay_whole_and_come_near_a_sixth(sizes: list[int], seed: int) -> None:
    assume(sum(sizes) >= 6)
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    roles = make_split_indices(images(np.zeros(len(groups)), groups), split=Split.GROUP, seed=seed)
    assert np.array_equal(np.sort(np.concatenate([roles.training, roles.validation])), np.arange(len(groups)))
    assert len(roles.training)
    assert len(roles.validation)
    taken = set(groups[roles.validation])
    assert not taken & set(groups[roles.training])
    missing = len(groups) // 6 - len(roles.validation)
    left = [size for group, size in enumerate(sizes) if group not in taken]
    assert not [size for size in left if abs(missing - size) < abs(missing)], "one more group would have come nearer"


@settings(max_examples=40)
@given(counts=st.lists(st.integers(1, 12), min_size=2, max_size=6), folds=st.integers(2, 6), seed=SEEDS)
def test_folds_validate_each_image_once_but_for_the_only_one_of_a_class(
    counts: list[int], folds: int, seed: int
) -> None:
    spared = sum(count for count in counts if count > 1)
    assume(spared >= folds)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    made = make_folds(images(labels), split=Split.STRATIFIED, seed=seed, folds=folds)
    validated = np.concatenate([fold.validation for fold in made])
    assert sorted(validated) == np.flatnonzero(np.array(counts)[labels] > 1).tolist()
    for fold in made:
        assert set(labels[fold.training]) == set(labels)
        assert not np.intersect1d(fold.training, fold.validation).size
        assert abs(len(fold.validation) - spared / folds) < 1


def test_groups_stay_whole_in_folds_and_one_that_holds_a_class_is_trained_on() -> None:
    groups, labels = np.arange(60) // 5, np.arange(60) % 3
    labels[groups == 7] = 3
    made = make_folds(images(labels, groups), split=Split.GROUP, seed=0, folds=3)
    validated = [set(groups[fold.validation]) for fold in made]
    assert sorted(name for names in validated for name in names) == [name for name in range(12) if name != 7]
    assert {len(names) for names in validated} == {3, 4}


def test_folds_of_blocks_are_the_parts_of_the_file() -> None:
    made = make_folds(images(np.arange(60) % 3), split=Split.BLOCK, seed=0, folds=4)
    assert [fold.validation.tolist() for fold in made] == np.arange(60).reshape(4, 15).tolist()


@pytest.mark.parametrize("split", [Split.GROUP, Split.STRATIFIED])
def test_a_split_depends_on_its_seed_only(split: Split) -> None:
    data = images(np.arange(600) % 3, np.arange(600) // 10)
    draws = [make_split_indices(data, split=split, seed=seed).validation.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_group_may_be_named_by_text() -> None:
    names = np.repeat(["anna", "bert", "carl"], [10, 40, 10])
    roles = make_split_indices(images(np.arange(60) % 3, names), split=Split.GROUP, seed=0)
    assert set(names[roles.validation]) in ({"anna"}, {"carl"})


def test_the_smallest_group_is_taken_where_every_group_is_too_large() -> None:
    groups = np.repeat([0, 1], [31, 29])
    roles = make_split_indices(images(np.arange(60) % 3, groups), split=Split.GROUP, seed=0)
    assert set(groups[roles.validation]) == {1}


def test_mnists_block_is_its_last_sixth(mnist: LabeledImages) -> None:
    roles = make_split_indices(mnist, split=Split.BLOCK, seed=0)
    assert np.array_equal(roles.training, np.arange(50000))
    assert np.array_equal(roles.validation, np.arange(50000, 60000))


@pytest.mark.parametrize("count", [6, 7, 599, 600, 601])
def test_a_block_is_the_last_sixth_of_any_number(count: int) -> None:
    roles = make_split_indices(images(np.zeros(count)), split=Split.BLOCK, seed=0)
    assert np.array_equal(np.concatenate([roles.training, roles.validation]), np.arange(count))
    assert len(roles.validation) == count // 6


@pytest.mark.parametrize(
    ("in_block", "accepted"), [(0, False), (4, False), (5, True), (10, True), (20, True), (21, False)]
)
def test_a_class_may_be_twice_as_rare_or_as_frequent_in_a_block_and_no_more(in_block: int, accepted: bool) -> None:
    """600 images, 60 of them of class 1: ten are expected among the last hundred."""
    labels = np.zeros(600, int)
    labels[: 60 - in_block] = 1
    labels[600 - in_block :] = 1
    if accepted:
        assert len(make_split_indices(images(labels), split=Split.BLOCK, seed=0).validation) == 100
    else:
        with pytest.raises(UserError, match=rf"about 10 of the 60 images of class 1\. Received: {in_block}\."):
            make_split_indices(images(labels), split=Split.BLOCK, seed=0)


REFUSED = {
    "no groups": (images(np.arange(60) % 3), Split.GROUP, "needs groups_train"),
    "one group": (images(np.arange(60) % 3, np.zeros(60, int)), Split.GROUP, "at least two groups. Received: 1"),
    "few images": (images([0, 1, 0, 1, 0]), Split.STRATIFIED, "at least 6 training images. Received: 5"),
    "classes that are groups": (images([0] * 50 + [1] * 10, [0] * 50 + [1] * 10), Split.GROUP, "for validation"),
    "a class in the block alone": (images([0] * 50 + [1] * 10 + [0] * 6), Split.BLOCK, "class 1"),
    "classes of one image": (images(range(7)), Split.STRATIFIED, "Received: 7 images of 7 classes"),
}


REFUSED_FOLDS = {
    "given images": (images(np.arange(60) % 3), Split.GIVEN, 3, "Received: --split given --folds 3"),
    "few groups": (images(np.arange(60) % 3, np.arange(60) // 30), Split.GROUP, 3, "1 of the folds"),
    "few images": (images([0, 0, 1, 1, 2]), Split.STRATIFIED, 5, "4 of which can be spared"),
    "lopsided blocks": (images(np.arange(60) // 20), Split.BLOCK, 3, "lopsided"),
}


@pytest.mark.parametrize("case", REFUSED_FOLDS)
def test_folds_that_the_data_do_not_allow_are_refused(case: str) -> None:
    data, split, folds, message = REFUSED_FOLDS[case]
    with pytest.raises(UserError, match=message):
        make_folds(data, split=split, seed=0, folds=folds)


@pytest.mark.parametrize("case", REFUSED)
def test_a_split_that_the_data_do_not_allow_is_refused(case: str) -> None:
    data, split, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        make_split_indices(data, split=split, seed=0)


def test_whole_writers_of_mnist_are_split(mnist: LabeledImages) -> None:
    roles = make_split_indices(mnist, split=Split.GROUP, seed=0)
    assert mnist.groups is not None
    assert not np.intersect1d(mnist.groups[roles.training], mnist.groups[roles.validation]).size
    assert len(roles.validation) == pytest.approx(10_000, abs=100)


def test_the_default_split_follows_the_data(tmp_path: Path, cache_dir: Path) -> None:
    grouped = save_npz(tmp_path / "grouped.npz", groups_train=np.arange(60) // 5)
    assert default_split(prepare(grouped, cache_dir)) is Split.GROUP
    assert default_split(prepare("mnist", cache_dir)) is Split.GROUP
    assert default_split(prepare(save_npz(tmp_path / "plain.npz"), cache_dir)) is Split.STRATIFIED
