"""From data/ to the data set: the labelled regions are cut out and split.

`data/` is either the default clip with its labels (boxes in frames) or a user's own images with a manifest; either may
have captured regions beside it.
"""

from collections import Counter
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, model_validator
from tqdm import tqdm

from pipeline.data import captured
from pipeline.data.clip import CLIP_NAME, read_frames
from pipeline.data.dataset import COLUMNS, SPLITS, Quarantined, Sample, SplitName, check_classes, rows, split_name
from pipeline.data.images import read_image, write_png
from pipeline.data.tables import read_table, write_table
from pipeline.system import files
from pipeline.system.errors import BadData, InputError
from runners.edge.loop import regions


class Split(BaseModel):
    """Frame ranges [first, last] of the default clip; a user's own data states its split per file instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]

    @model_validator(mode="after")
    def _ordered_in_time(self) -> "Split":
        edges = [*self.train, *self.val, *self.test]
        if edges != sorted(set(edges)):
            raise ValueError("train, val and test must be frame ranges that follow each other in time")
        return self


def build(data: Path, out: Path, split: Split) -> tuple[list[Sample], list[Quarantined]]:
    """Build the data set folder `out` from `data`.

    Raises:
        InputError: `data` holds neither the clip with labels nor a manifest, the clip is shorter than its labels,
            a split has no samples, or captured regions have a class that nothing else has.
    """
    with files.replacing_folder(out) as folder:
        (folder / "regions").mkdir()
        if (data / "manifest.csv").exists():
            samples, quarantined = _from_manifest(data, folder)
        elif (data / "labels.csv").exists():
            samples, quarantined = _from_clip(data / CLIP_NAME, data / "labels.csv", folder, split), []
        else:
            raise BadData(f"{data}/ holds no data: run `edgeproof data fetch` or `edgeproof data import DIR`")
        check_classes(samples)
        captures, facts = captured.read(data), {}
        if captures:
            facts["captured"] = captured.statistics(samples, captures)
            more, unusable = _from_captures(data / captured.FOLDER, folder, captures, {one.label for one in samples})
            samples, quarantined = samples + more, quarantined + unusable
        for name in SPLITS:
            if not any(sample.split == name for sample in samples):
                raise BadData(f"{data}/: the {name} split has no usable images")
        write_table(folder / "samples.csv", list(COLUMNS), rows(samples))
        write_table(folder / "quarantine.csv", ["file", "reason"], ((q.file, q.reason) for q in quarantined))
        counts = {name: dict(sorted(Counter(s.label for s in samples if s.split == name).items())) for name in SPLITS}
        groups = {name: len({s.group for s in samples if s.split == name} - {""}) for name in SPLITS}
        files.write_json(
            folder / "summary.json", {**counts, "groups": groups, "quarantined": len(quarantined), **facts}
        )
    return samples, quarantined


def _from_clip(clip: Path, labels: Path, folder: Path, split: Split) -> list[Sample]:
    wanted: dict[int, list[tuple[regions.Box, dict[str, str]]]] = {}
    for line, row in enumerate(read_table(labels, ("frame", "x", "y", "w", "h", "class")), start=2):
        try:
            frame_number, *place = (int(row[key]) for key in ("frame", *"xywh"))
        except ValueError as error:
            raise BadData(f"{labels}: line {line}: frame, x, y, w and h are whole numbers ({error})") from None
        # A region whose class its annotator could not tell teaches and tests nothing.
        if row.get("certain", "1") == "1":
            wanted.setdefault(frame_number, []).append((regions.Box(*place), row))
    samples = []
    number = -1
    for number, frame in enumerate(read_frames(clip)):
        name = _split_of_frame(number, split)
        for box, row in wanted.get(number, []) if name else []:
            file = f"regions/{number:05d}-{box.x}-{box.y}.png"
            write_png(folder / file, regions.cut(frame, box))
            # A track is one walk past the camera. Who walks there, in which others too, nobody has labelled.
            group = f"track {row['track']}" if row.get("track") else ""
            samples.append(Sample(file, row["class"], cast(SplitName, name), group))
    if number < max(wanted, default=0):
        raise BadData(f"{clip} ends at frame {number}, but {labels} goes on to {max(wanted)}: not the labelled clip")
    return samples


def _from_manifest(data: Path, folder: Path) -> tuple[list[Sample], list[Quarantined]]:
    samples, quarantined = [], []
    rows = list(read_table(data / "manifest.csv", ("file", "class", "split")))
    for index, row in enumerate(tqdm(rows, desc="reading images", unit="image", disable=None)):
        try:
            region = regions.squared(read_image(data / row["file"]))
        except InputError as error:
            quarantined.append(Quarantined(row["file"], str(error)))
            continue
        file = f"regions/{index:06d}.png"
        write_png(folder / file, region)
        samples.append(Sample(file, row["class"], split_name(row["split"], data), row.get("group", "")))
    return samples, quarantined


def _from_captures(
    source: Path, folder: Path, captures: list[captured.Captured], classes: set[str]
) -> tuple[list[Sample], list[Quarantined]]:
    samples, quarantined = [], []
    for one in captures:
        if one.label not in classes:
            raise BadData(f"{source}: {one.name} is {one.label!r}, a class that the rest of the data has not")
        try:
            region = regions.squared(read_image(source / one.file))
        except InputError as error:
            quarantined.append(Quarantined(f"{source.name}/{one.file}", str(error)))
            continue
        file = f"{captured.REGIONS}{one.name}.png"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        write_png(folder / file, region)
        samples.append(Sample(file, one.label, one.split, one.group))
    return samples, quarantined


def _split_of_frame(number: int, split: Split) -> SplitName | None:
    ranges = {"train": split.train, "val": split.val, "test": split.test}
    return next((name for name in SPLITS if ranges[name][0] <= number <= ranges[name][1]), None)
