"""What a check judges: which output, as what, and when that says anything."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.arithmetic.fp16 import engine
from pipeline.check import answered
from pipeline.check.chance import no_better, says_little
from pipeline.check.check import _scores, check
from pipeline.check.difference import NO_NUMBERS, percent
from pipeline.check.first_samples import try_out
from pipeline.check.outputs import choose, classes_of, matching
from pipeline.check.task import Task, find
from pipeline.check.verdict import accuracy_drop, changed_answers, difference_percent
from pipeline.data.own import open_samples, random_samples
from pipeline.formats.contents import Tensor
from pipeline.formats.model_file import open_model
from pipeline.processes import activity
from pipeline.processes.answers import answer
from pipeline.processes.backends import onnxruntime_cpu, openvino_cpu
from pipeline.processes.child import Place
from pipeline.processes.failures import Hung
from pipeline.records.paired import Paired
from pipeline.records.results import Accuracies, Accuracy
from pipeline.records.targets import load_target
from pipeline.retest.emulate import Emulation
from pipeline.retest.score import classes
from pipeline.system.errors import InputError
from tests.graphs import random
from tests.heads import answers, network, pictures

Array = NDArray[Any]


def names(outputs: tuple[Tensor, ...]) -> list[str]:
    return [output.name for output in outputs]


class TestWhichOutput:
    FACE = (("boxes", 4, ""), ("points", 10, ""))

    @pytest.mark.parametrize("declared", [True, False])
    def test_the_one_whose_width_is_the_number_of_classes(self, tmp_path: Path, declared: bool) -> None:
        model = network(tmp_path / "m.onnx", *self.FACE, ("face", 2, ""), declared=declared)
        assert names(choose(model, np.array([0, 1, 1]))) == ["face"]

    def test_the_one_that_ends_as_classes_do(self, tmp_path: Path) -> None:
        model = network(tmp_path / "m.onnx", *self.FACE, ("face", 20, "Softmax"))
        assert names(choose(model, np.array([0, 2, 1]))) == ["face"]
        assert names(choose(model, None)) == ["face"]

    def test_graph_and_labels_that_contradict_each_other_are_a_question(self, tmp_path: Path) -> None:
        model = network(tmp_path / "m.onnx", *self.FACE, ("face", 20, "Softmax"))
        with pytest.raises(InputError, match=r"3 outputs, 'boxes' \(N, 4\), .* 'face' \(N, 20\) from Softmax; say whi"):
            choose(model, np.array([0, 3, 1]))

    def test_heads_of_the_same_width_are_a_question(self, tmp_path: Path) -> None:
        model = network(tmp_path / "m.onnx", ("main", 5, ""), ("auxiliary", 5, ""))
        for labels in (np.arange(5), np.array([0, 2, 1]), None):
            with pytest.raises(InputError, match="--output NAME"):
                choose(model, labels)
        assert names(choose(model, None, ["auxiliary"])) == ["auxiliary"]

    def test_as_many_heads_as_labels_have_columns(self, tmp_path: Path) -> None:
        model = network(tmp_path / "m.onnx", *((f"digit{place}", 10, "") for place in range(3)))
        assert names(choose(model, np.zeros((4, 3), np.int64))) == ["digit0", "digit1", "digit2"]
        with pytest.raises(InputError, match="say which"):
            choose(model, np.zeros((4, 2), np.int64))

    def test_a_name_that_there_is_not(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"unknown output 'box': did you mean 'boxes'\? there are boxes, points"):
            choose(network(tmp_path / "m.onnx", *self.FACE), None, ["box"])

    def test_the_reference_answers_the_same_one(self, tmp_path: Path) -> None:
        model = network(tmp_path / "m.onnx", *self.FACE)
        turned = network(tmp_path / "t.onnx", *reversed(self.FACE))
        renamed = network(tmp_path / "r.onnx", ("a", 4, ""), ("b", 10, ""))
        assert matching(model, model.outputs[1:], turned) == ["points"]
        assert matching(model, model.outputs[1:], renamed) == ["b"]
        with pytest.raises(InputError, match="has no output 'points'; it has 'a'"):
            matching(model, model.outputs[1:], network(tmp_path / "one.onnx", ("a", 10, "")))

    def test_an_ir_tells_the_same_of_its_outputs_as_the_onnx_file(self, tmp_path: Path) -> None:
        import openvino

        ends = (("a", 4, ""), ("b", 5, "Softmax"), ("c", 6, "Sigmoid"), ("d", 7, "ArgMax"), ("e", 8, "LogSoftmax"))
        model = network(tmp_path / "m.onnx", *ends)
        openvino.save_model(openvino.convert_model(tmp_path / "m.onnx"), tmp_path / "m.xml")
        ir = open_model(tmp_path / "m.xml")
        found = [(output.name, output.ending, output.shape) for output in model.outputs]
        assert [ending for _, ending, _ in found] == ["", "Softmax", "Sigmoid", "ArgMax", "LogSoftmax"]
        assert sorted((output.name, output.ending, output.shape) for output in ir.outputs) == found


def output(ending: str = "", shape: tuple[int | None, ...] | None = None) -> Tensor:
    return Tensor("y", "float32", shape, ending)


def found(
    ending: str, shape: tuple[int, ...], labels: Array | None = None, wanted: Any = None, *, classifier: bool = False
) -> Task:
    return find([output(ending)], shape, labels, wanted, classifier=classifier)


class TestPlaces:
    """Every place answers what it is asked for, in the order asked."""

    @pytest.mark.parametrize("backend", [openvino_cpu, onnxruntime_cpu, engine])
    @pytest.mark.parametrize("sums", ["fp32", "fp16"])
    def test_one_output_or_several_side_by_side(self, tmp_path: Path, backend: Any, sums: str) -> None:
        model, inputs = network(tmp_path / "m.onnx", ("a", 4, ""), ("b", 2, "Softmax"), ("c", 3, "")), pictures(2)
        job = {"model": str(model.path), "shape": [2, 3, 8, 8], "batch": 2, "threads": 1, "accumulate": sums}
        expected = {name: answers(model, inputs, name) for name in "abc"}
        for asked in (["b"], ["c", "a"], ["a", "b", "c"]):
            found = backend.open_backend({**job, "output": asked}).infer(inputs)
            np.testing.assert_allclose(found, np.concatenate([expected[name] for name in asked], 1), atol=2e-2)
        np.testing.assert_allclose(backend.open_backend(job).infer(inputs), expected["a"], atol=2e-2)

    def test_a_single_sample_needs_no_dimension_of_its_own(self) -> None:
        row = np.arange(3)
        assert answer([row], 1, 1).tolist() == [[0, 1, 2]]
        assert answer([row, row[np.newaxis]], 1, 1).tolist() == [[0, 1, 2, 0, 1, 2]]
        assert answer([row], 2, 2).shape == (3,)  # which is refused

    def test_the_places_of_the_best_are_classes(self, tmp_path: Path) -> None:
        network(tmp_path / "m.onnx", ("a", 4, ""))
        model = onnx.load(tmp_path / "m.onnx")
        model.graph.initializer.append(numpy_helper.from_array(np.array([3]), "k"))
        model.graph.node.append(helper.make_node("TopK", ["a", "k"], ["best", "places"]))
        for name, kind in (("best", TensorProto.FLOAT), ("places", TensorProto.INT64)):
            model.graph.output.append(helper.make_tensor_value_info(name, kind, ["N", 3]))
        onnx.save(model, tmp_path / "m.onnx")
        ends = {end.name: end for end in open_model(tmp_path / "m.onnx").outputs}
        assert (ends["best"].ending, ends["places"].ending) == ("", "ArgMax")
        assert (classes_of([ends["best"]], None), classes_of([ends["places"]], None)) == (3, None)
        assert found("ArgMax", (1,), np.arange(4)).indices

    def test_the_emulated_engine_tells_of_the_layers_that_lead_there(self, tmp_path: Path) -> None:
        model = network(tmp_path / "m.onnx", ("a", 4, ""), ("b", 2, ""))
        job = {"model": str(model.path), "batch": 2, "threads": 1, "accumulate": "fp32"}
        one, all_ = (len(engine.open_backend({**job, **asked}).layers) for asked in ({"output": ["b"]}, {}))
        assert one == all_ - 1


class TestAsWhat:
    @pytest.mark.parametrize(
        ("ending", "shape"), [("", (4,)), ("Sigmoid", (4,)), ("", (512,)), ("", (4, 8, 8)), ("Sigmoid", (1, 8, 8))]
    )
    def test_numbers_that_nothing_shows_to_be_classes(self, ending: str, shape: tuple[int, ...]) -> None:
        assert found(ending, shape).name == "values"

    def test_classes_by_the_graph_by_the_labels_or_by_the_user(self) -> None:
        ten = Task("classes", 10)
        assert found("Softmax", (10,)) == found("LogSoftmax", (10, 1, 1)) == ten
        assert found("", (10,), np.arange(10)) == found("Sigmoid", (10,), np.arange(10)) == ten
        assert found("", (10,), wanted="classes") == found("", (10,), classifier=True) == ten

    def test_labels_do_not_make_classes_of_what_the_user_calls_values(self) -> None:
        assert found("Softmax", (10,), np.arange(10), "values").name == "values"

    def test_an_index_is_the_class_itself(self) -> None:
        task = found("ArgMax", (), np.arange(4))
        assert task.decide(np.array([3, np.nan, 0], np.float32)).tolist() == [3, -1, 0]

    def test_heads_in_one_output_or_side_by_side(self) -> None:
        scores = np.eye(4, dtype=np.float32)[[[0, 3], [2, 1]]]
        one = found("", (2, 4), np.zeros((5, 2), np.int64))
        several = find(
            [output(shape=(None, 3)), output(shape=(None, 5))], (8,), np.zeros((5, 2), np.int64), None, classifier=False
        )
        assert one.decide(scores).tolist() == [[0, 3], [2, 1]]
        # The columns are 3 + 5: the classes of the first head end where those of the second begin.
        assert several.decide(scores.reshape(2, 8)).tolist() == [[0, 4], [2, 2]]

    def test_tags_are_judged_one_by_one(self) -> None:
        task = found("Sigmoid", (3,), np.ones((2, 3), np.int64))
        assert (task.name, task.decide(np.array([[0.2, 0.5, np.nan]], np.float32)).tolist()) == ("tags", [[0, 1, -1]])
        assert found("Sigmoid", (1,), np.array([0, 1, 1])).name == "tags"

    @pytest.mark.parametrize("axis", [1, 3])
    def test_a_map_has_its_classes_before_or_behind_the_pixels(self, axis: int) -> None:
        pixels = np.array([[[0, 2, 1], [1, 1, 0]]])
        scores = np.moveaxis(np.eye(4, dtype=np.float32)[pixels], -1, axis)
        task = found("", scores.shape[1:], pixels)
        assert (task.name, task.count, task.decide(scores).tolist()) == ("map", 4, pixels.tolist())

    @pytest.mark.parametrize(
        ("ending", "shape", "labels", "wanted", "words"),
        [
            ("", (1,), np.zeros(3, np.int64), None, "one value a class"),
            ("", (4, 8, 8), np.zeros(3, np.int64), None, "--task values"),
            ("", (3,), np.full((5, 3), 2), None, r"labels of \(3,\) a sample do not fit; give other labels"),
            ("", (3,), np.eye(3, dtype=np.int64), None, r"do not fit; where a 1 marks the class, give its number"),
            ("", (4, 8, 8), np.zeros((5, 7, 8), np.int64), None, r"labels of \(7, 8\) a sample do not fit"),
            ("", (4, 8, 8), np.full((5, 8, 8), 4), None, "a label is 4, but 'y' knows the classes 0 to 3"),
            ("", (4, 8, 8), np.full((5, 8, 8), 255), None, "every pixel is labelled 255"),
            ("", (4, 8, 8), np.full((5, 8, 8), 254), None, "a label is 254"),
            ("", (10,), None, "map", "not judged with --task map"),
            ("", (4, 8, 8), None, "classes", "not judged with --task classes"),
            ("", (2, 4), np.full((5, 2), 4), None, "a label is 4, but 'y' knows the classes 0 to 3"),
            ("Sigmoid", (3,), np.full((5, 3), 2), None, "a label is 2"),
        ],
    )
    def test_what_does_not_fit_is_said(
        self, ending: str, shape: tuple[int, ...], labels: Array | None, wanted: Any, words: str
    ) -> None:
        with pytest.raises(InputError, match=words):
            found(ending, shape, labels, wanted)


class TestTies:
    def test_an_answer_that_three_classes_share_is_none(self) -> None:
        scores = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 2, 1, 1]], np.float32)
        assert classes(scores).tolist() == [-1, -1, 0, 1]
        assert Task("classes", 4).undecided(scores) == 2

    def test_of_two_classes_neither_is_more_than_the_other(self) -> None:
        assert classes(np.array([[0.5, 0.5], [0.4, 0.6]], np.float32)).tolist() == [-1, 1]

    def test_a_class_of_its_own_has_no_rival(self) -> None:
        assert classes(np.zeros((2, 1), np.float32)).tolist() == [0, 0]


def lost(fp32: int, target: int, labels: Array) -> tuple[float | None, str | None]:
    original, there = (Accuracy(correct=correct, n=labels.size) for correct in (fp32, target))
    return accuracy_drop(Accuracies(fp32=original, host=original, target=there), labels, 1.0)


class TestChance:
    THREE = np.arange(60) % 3

    def test_nothing_right_loses_nothing_and_says_nothing(self) -> None:
        value, reason = lost(0, 0, self.THREE)
        assert value is None
        assert "--labels" in str(reason)
        assert "--preset, --mean, --std" in str(reason)

    @pytest.mark.parametrize(("correct", "known"), [(20, False), (24, False), (35, True), (60, True)])
    def test_a_third_of_three_classes_is_luck(self, correct: int, known: bool) -> None:
        assert (lost(correct, correct, self.THREE)[0] is not None) == known

    def test_the_commonest_class_is_the_rival(self) -> None:
        labels = np.array([0] * 54 + [1] * 6)
        assert no_better(Accuracy(correct=54, n=60), labels)
        assert no_better(Accuracy(correct=60, n=60), labels) is None

    def test_a_few_samples_are_not_enough(self) -> None:
        assert "give more samples" in str(lost(2, 2, np.array([0, 1]))[1])
        assert lost(5, 5, np.array([0, 1, 0, 1, 0]))[0] is None
        assert lost(8, 8, np.arange(8) % 2)[0] == 0

    def test_labels_of_one_class_can_show_a_loss_but_no_success(self) -> None:
        labels = np.zeros(20, np.int64)
        assert lost(20, 20, labels) == (None, says_little(labels))
        assert lost(20, 0, labels) == (100, None)

    def test_heads_have_a_commonest_class_each(self) -> None:
        labels = np.stack([np.zeros(20, np.int64), np.arange(20) % 2], axis=1)
        assert no_better(Accuracy(correct=30, n=40), labels)  # what always answering 0 and 0 gets
        assert no_better(Accuracy(correct=40, n=40), labels) is None

    def test_the_same_answer_for_every_sample_is_no_agreement(self) -> None:
        value, reason = changed_answers(Paired(lost=0, won=0, n=9), np.full(9, 2), 1.0)
        assert value is None
        assert "same answer" in str(reason)
        assert changed_answers(Paired(lost=9, won=0, n=9), np.full(9, 2), 1.0)[0] == 100
        assert changed_answers(Paired(lost=0, won=0, n=9), np.arange(9), 1.0)[0] == 0
        assert "as the reference" in str(changed_answers(None, None, 1.0)[1])
        assert changed_answers(None, np.arange(9), 1.0) == (None, None)
        assert changed_answers(Paired(lost=7, won=0, n=1000), np.arange(9), 0.7)[0] == 0.7


class TestDifference:
    def test_per_cent_of_the_root_mean_square(self) -> None:
        assert percent(np.array([[3.03, 4.04]], np.float32), np.array([[3, 4]], np.float32)) == pytest.approx(
            1, rel=1e-4
        )

    def test_outputs_that_are_no_numbers_are_as_far_as_can_be(self) -> None:
        assert percent(np.array([[np.inf]], np.float32), np.ones((1, 1), np.float32)) == NO_NUMBERS

    @pytest.mark.parametrize("others", [None, np.zeros((1, 1), np.float32), np.full((1, 1), np.nan, np.float32)])
    def test_there_is_none_where_the_original_says_nothing(self, others: Any) -> None:
        assert percent(np.ones((1, 1), np.float32), others) is None

    def test_the_same_for_every_sample_says_nothing(self) -> None:
        same, other = np.ones((3, 4), np.float32), random(1, 3, 4)
        assert difference_percent(same, same)[0] is None
        assert "same for every sample" in str(difference_percent(same, same)[1])
        assert difference_percent(other, other) == (0, None)
        assert "as the reference" in str(difference_percent(same, None)[1])
        assert difference_percent(None, other) == (None, None)


def test_without_labels_the_worse_bound_is_that_against_what_it_is_held_against() -> None:
    original = np.eye(4, dtype=np.float32)
    cloud = original[[1, 0, 2, 3]]  # the file itself changes two answers
    emulation = Emulation(None, cloud, cloud, "measured", "bounded", bounds={"one": original, "other": cloud})
    task = Task("classes", 4)
    found = [_scores(task, task.decide, emulation, None, original, held).target_outputs for held in (original, cloud)]
    assert found[0] is cloud, "which changes half of the original's answers"
    assert found[1] is original


@pytest.mark.usefixtures("unruly")
def test_a_runtime_that_calculates_for_ever_is_no_longer_waited_for_at_the_first_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(tmp_path / "m.onnx", ("scores", 3, "Softmax"))
    settings = {"at": "batch", "what": "spins", "mark": str(tmp_path / "mark")}
    spinning = Place("spinning", "tests.unruly", 1, settings=settings)
    monkeypatch.setattr(activity, "SAMPLE_S", 0.3)
    monkeypatch.setattr(answered, "START_S", 1.0)
    monkeypatch.setattr(answered, "Place", lambda *about, **others: spinning)
    with pytest.raises(Hung, match="many times what it should take"):
        try_out(model, random_samples(model.sample_shape, 2), choose(model, None), None)


def test_labels_that_do_not_fit_an_output_of_open_size_are_told_before_anything_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(tmp_path / "m.onnx", ("scores", 3, "Softmax"), declared=False)
    np.savez(tmp_path / "data.npz", inputs=random(0, 6, *model.sample_shape), labels=np.arange(6))
    samples = open_samples(tmp_path / "data.npz", shape=model.sample_shape)
    monkeypatch.setattr("pipeline.check.check.emulate", lambda *_, **__: pytest.fail("it is emulated"))
    with pytest.raises(InputError, match="a label is 3, but 'scores' knows the classes 0 to 2"):
        check(model, load_target("atom-x5-e3940"), samples)
