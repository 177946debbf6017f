"""Which split a sample belongs to: as people name it, or held out at random; and what is in two of them at once."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import SplitName, numbered
from pipeline.system import files
from pipeline.system.errors import BadData, shown, some


def _plain(name: str) -> str:
    """A name without its case, its accents and the blanks around it."""
    parts = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


# In English, German, French, Spanish, Portuguese, Italian, Russian, Chinese, Japanese and Korean.
MEANT: dict[SplitName, str] = {
    "train": (
        "train training trainieren entraînement apprentissage entrenamiento treino treinamento addestramento "
        "обучение 训练 訓練 学習 학습 훈련"
    ),
    "val": "val valid validation dev validierung validación validação validazione валидация 验证 驗證 検証 검증",
    "test": "test testing eval evaluation prueba pruebas teste тест 测试 測試 テスト 테스트",
}
WORDS: dict[str, SplitName] = {_plain(word): split for split, words in MEANT.items() for word in words.split()}
NAME = re.compile(rf"({'|'.join(WORDS)})([ _.-]*(set|data|images|split)|s?(bilder|daten|satz)|集)?")
HELD_OUT: dict[SplitName, float] = {"val": 0.15, "test": 0.25}


def split_of(name: str) -> SplitName | None:
    """The split that a person means by a name (`Training`, `valid`, `test_set`), or None where it is no such name."""
    found = NAME.fullmatch(_plain(name))
    return WORDS[found[1]] if found else None


def are_parts(names: Sequence[str]) -> bool:
    """Whether a person names parts of one set so: each by a split among other words (`seg_train`), or all by one word
    and a number (`fold1`)."""
    words = [re.findall(r"[^\W\d_]+|\d+", _plain(name)) for name in names]
    numbered = all(len(parts) > 1 and parts[-1].isdecimal() for parts in words)
    return all(WORDS.keys() & set(parts) for parts in words) or (
        numbered and len({tuple(parts[:-1]) for parts in words}) == 1
    )


def hold_out(
    labels: Sequence[str], splits: Sequence[SplitName | None], where: Path, groups: Sequence[str] = ()
) -> list[SplitName]:
    """Give every sample a split, by class and at random with a fixed seed; see `import_data` for the rule.

    Of every class of which anything is held out at least one sample goes to each split. What is of one of the `groups`
    ('' is none) goes to one split.

    Raises:
        InputError: a class has too few samples or groups, or none are left to train on.
    """
    given = list(splits)
    if "test" not in given and "val" in given:
        given = ["test" if split == "val" else split for split in given]
    shares = {name: share for name, share in HELD_OUT.items() if name not in given}
    free = [index for index, split in enumerate(given) if split in (None, "train")]
    if not free:
        raise BadData(f"{where}: holds no images to train on; give a train split too")
    counts = Counter(labels[index] for index in free)
    least = min(counts.values())
    if shares and least <= len(shares):
        images = f"{least} image{'s' if least > 1 else ''}"
        few = [name for name, count in counts.items() if count == least]
        of = "a class" if len(few) == len(counts) else f"of the class {shown(min(few))}"
        parts = " and ".join(f"{100 * share:.0f} %" for share in shares.values())
        raise BadData(
            f"{where}: {images} {of} {'are' if least > 1 else 'is'} too few to hold out {parts}; "
            "give splits of your own"
        )
    numbers = numbered(groups)
    held = _by_group(labels, free, shares, numbers, where) if any(groups) else _by_share(labels, free, shares)
    if not all(counts.keys() <= {labels[index] for index in part} for part in held.values()):
        held = _by_class(labels, free, shares)
    for name, part in held.items():
        for index in part:
            given[index] = name
    return [split or "train" for split in given]


def _by_share(labels: Sequence[str], free: list[int], shares: Mapping[SplitName, float]) -> dict[SplitName, list[int]]:
    """What is held out so that all splits have the same shares of the classes; empty where that leaves a class out."""
    from sklearn.model_selection import train_test_split

    held: dict[SplitName, list[int]] = {}
    for name, share in shares.items():
        counts = Counter(labels[index] for index in free)
        count = math.ceil(share * len(free))
        if min(counts.values()) < 2 or min(count, len(free) - count) < len(counts):
            return {each: [] for each in shares}
        stratify = [labels[index] for index in free]
        free, held[name] = train_test_split(free, test_size=share, random_state=0, stratify=stratify)
    return held


def _by_group(
    labels: Sequence[str], free: list[int], shares: Mapping[SplitName, float], groups: NDArray[np.int64], where: Path
) -> dict[SplitName, list[int]]:
    """What is held out in whole groups: the folds that come nearest to the shares of all classes."""
    held: dict[SplitName, list[int]] = {}
    wanted = Counter(labels[index] for index in free)
    for name, share in shares.items():
        counts = Counter(labels[index] for index in free)
        best, least = None, math.inf
        for fold in _folds([labels[index] for index in free], groups[free], math.ceil(1 / share) + 2):
            part = Counter(labels[free[at]] for at in fold)
            if all(0 < part[label] < counts[label] for label in counts):
                off = sum(abs(part[label] - share * wanted[label]) for label in counts)
                best, least = (fold, off) if off < least else (best, least)
        if best is None:
            images, number = f"{len(free):,} images", len(np.unique(groups[free]))
            raise BadData(
                f"{where}: the {number:,} groups of {images} are too few to hold out some of every class "
                f"for the {name} split; give splits of your own"
            )
        held[name] = [free[at] for at in best]
        free = sorted(set(free) - set(held[name]))
    return held


def _folds(labels: list[str], groups: NDArray[np.int64], most: int) -> Iterator[list[int]]:
    """The folds of splitting samples in 2 to `most` parts of about the same classes, no group in two of them."""
    from sklearn.model_selection import StratifiedGroupKFold

    most = min(most, len(np.unique(groups)), *Counter(labels).values())
    for parts in range(2, most + 1):
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=0).split(labels, labels, groups)
        yield from (fold.tolist() for _, fold in folds)


def _by_class(labels: Sequence[str], free: list[int], shares: Mapping[SplitName, float]) -> dict[SplitName, list[int]]:
    """At least one of every class for each split, where the classes are small."""
    rng = np.random.default_rng(0)
    held: dict[SplitName, list[int]] = {name: [] for name in shares}
    for label in sorted({labels[index] for index in free}):
        mixed = rng.permutation([index for index in free if labels[index] == label]).tolist()
        for name, share in shares.items():
            count = max(1, round(share * len(mixed)))
            held[name] += mixed[:count]
            mixed = mixed[count:]
    return held


def differing_classes(labelled: Iterable[tuple[str, str]]) -> list[str]:
    """What to say of (class, split) where a split lacks a class that training has, or has one that it lacks."""
    classes: dict[str, set[str]] = defaultdict(set)
    for label, split in labelled:
        classes[split].add(label)
    if "train" not in classes:
        return []
    return [
        f"classes in {has} and not in {lacks} ({len(apart):,}): {some(sorted(apart))}"
        for split in ("val", "test")
        if split in classes
        for has, lacks in ((split, "train"), ("train", split))
        if (apart := classes[has] - classes[lacks])
    ]


def parted(grouped: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Of (group, split) the groups that are in more than one split, with how many samples each has of them."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for group, split in grouped:
        if group and split:
            counts[group][split] += 1
    return {group: found for group, found in counts.items() if len(found) > 1}


def parted_groups(grouped: Iterable[tuple[str, str]]) -> list[str]:
    """What to say of (group, split) where a group is in more than one split."""
    groups = parted(grouped)
    if not groups:
        return []
    are = "1 group is" if len(groups) == 1 else f"{len(groups):,} groups are"
    images = sum(found.total() for found in groups.values())
    names = some([f"{group} ({', '.join(found)})" for group, found in groups.items()])
    return [f"{are} in more than one split, {images:,} images: {names}: what was learned is tested there"]


def in_two_splits(samples: Iterable[tuple[Path, str]], split: str | None = None) -> list[str]:
    """What to say of (file, split) where the same bytes are in two splits, one of which is `split` if that is given.

    Only files of the same size are read, and what cannot be read is left to those who need it.
    """
    by_size: dict[int, list[tuple[Path, str]]] = defaultdict(list)
    for path, name in samples:
        with suppress(OSError):
            if name and path.is_file():
                by_size[path.stat().st_size].append((path, name))
    twice = []
    for size, same in by_size.items():
        names = {name for _, name in same}
        if size and len(names) > 1 and (split is None or split in names):
            by_content: dict[str, dict[str, Path]] = defaultdict(dict)
            for path, name in same:
                with suppress(OSError):
                    by_content[files.sha256(path)].setdefault(name, path)
            twice += [found for found in by_content.values() if len(found) > 1 and (split is None or split in found)]
    if not twice:
        return []
    first, second = list(twice[0].values())[:2]
    images = "1 image is" if len(twice) == 1 else f"{len(twice):,} images are"
    return [f"{images} in two splits, as {shown(first)} and {shown(second)}: what was learned is tested there"]
