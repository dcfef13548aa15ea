"""A person corrects a model: what is removed, moved and refitted, and what the new checkpoint says of it."""

import hashlib
import json

import pytest
import torch
from patch_maps import assert_maps_fit
from statistics_of_images import knows_its_images
from tiny_runs import same_tensors, tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.config import MAX_YAML_BYTES
from protoexplain.data.dataset_view import view_of_run
from protoexplain.editing.candidates import box_of, candidates, spot
from protoexplain.editing.decisions import Decision, Decisions, History, parse_decisions, read_decisions
from protoexplain.editing.edit import carry_out, refit
from protoexplain.editing.preview import TEST, TRAIN, VALIDATION, open_preview, without_backbone
from protoexplain.editing.report import report
from protoexplain.editing.save import edit, save, whole_model
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.models.similarity import gather_patches
from protoexplain.planted import draw
from protoexplain.training import engine
from protoexplain.training.checkpoint_ops import head_stage
from protoexplain.training.epochs import train_epochs
from protoexplain.training.evaluate import evaluate
from protoexplain.training.inputs import CachedInputs
from protoexplain.training.trainer import Trainer
from protoexplain.training.verify import verify

FAMILIES = ["protopnet", "st_protopnet", "evalprotopnet", "cbc", "rbf_net", "pipnet", "prototypedl"]
WRITING = FAMILIES[:3]


@pytest.fixture(scope="module")
def bench(planted, tiny_checkpoint, tmp_path_factory):
    """family -> its checkpoint on its data, made once."""
    folder, kept = tmp_path_factory.mktemp("editing"), {}

    def opened(family):
        if family not in kept:
            if family in WRITING:
                checkpoint = tiny_train(family, planted, folder / family, model={"prototypes_per_class": 3}).checkpoint
            else:
                checkpoint = Checkpoint.load(tiny_checkpoint(family))
            kept[family] = open_preview(checkpoint, planted)
        return kept[family]

    return opened


def removed(*numbers):
    return tuple(Decision(prototype=number, do="remove", reason="background") for number in numbers)


def moved(number, found=None):
    place = {"image": found.image, "row": found.row, "column": found.column} if found else {}
    return Decision(prototype=number, do="reproject", reason="spurious", **place)


def verified(checkpoint, planted):
    found = verify(checkpoint, view_of_run(checkpoint.config.data, planted))
    assert found.passed, found.as_text()
    assert_maps_fit(checkpoint)
    assert checkpoint.split_ids() == view_of_run(checkpoint.config.data, planted).split_ids
    knows_its_images(checkpoint, planted)
    return found


def content(folder):
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_decided_is_the_parent(family, bench, planted):
    made = bench(family)
    same = carry_out(made, ())
    assert same_tensors(whole_model(made, same).state_dict(), made.checkpoint.model().state_dict())
    found = report(made, same, same, 0)
    assert found.before == found.after
    assert found.changed == ()
    assert found.after.test.value == pytest.approx(evaluate(made.checkpoint, planted).accuracy)


@pytest.mark.parametrize("family", FAMILIES)
def test_refit_equals_training_the_head_of_a_pruned_model(family, bench):
    """The same epochs on a model that never had the removed prototypes, with activations of its own."""
    made = bench(family)
    gone = (0, 2, 5, 7)
    edited = carry_out(made, removed(*gone))
    assert refit(made, edited, 3) == 3
    whole = made.checkpoint.model()
    whole.select(torch.tensor([i for i in range(whole.num_prototypes) if i not in gone]))
    inputs = {}
    for split in (TRAIN, VALIDATION):
        dataset = made.data.dataset(made.features[split].images, made.checkpoint.config.data)
        pictures = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
        with torch.no_grad():
            inputs[split] = CachedInputs(
                "activations", whole.activations(whole.backbone(pictures))[None], made.features[split].labels
            )
    config = made.checkpoint.config
    plain = without_backbone(whole)
    run = Trainer(config, plain, made.data, make_fabric("cpu"))
    stage = head_stage(config).model_copy(update={"epochs": 3})
    train_epochs(run, stage, engine.freeze(plain, stage.lr), inputs[TRAIN], inputs[VALIDATION])
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(edited.model.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)
    before = carry_out(made, removed(*gone)).model.class_weights()
    assert not torch.equal(before, edited.model.class_weights()), "the head was trained"


@pytest.mark.parametrize("family", ["protopnet", "cbc"])
def test_removing_a_prototype_without_weight_changes_no_score(family, bench):
    made = bench(family)
    (_, branch), *_ = made.model.named_branches()
    (head,) = branch.head.parameters()
    kept = head.detach().clone()
    try:
        with torch.no_grad():
            if family == "protopnet":
                head[:, 4] = 0
            else:
                head[[4, 4 + made.model.num_prototypes]] = -60.0  # no probability in a softmax
        before, after = (carry_out(made, decisions).scores(TEST) for decisions in ((), removed(4)))
        torch.testing.assert_close(before, after)
        assert not torch.allclose(before, carry_out(made, removed(5)).scores(TEST))
    finally:
        with torch.no_grad():
            head.copy_(kept)


@pytest.mark.parametrize("family", WRITING)
def test_moved_prototype_equals_its_patch(family, bench):
    made = bench(family)
    number = made.model.num_prototypes - 1  # of the last branch
    chosen = candidates(made, number)[1]
    edited = carry_out(made, (moved(number, chosen),))
    name, branch, own = made.place(number)
    z = made.features[TRAIN].latents[name][chosen.place][None]
    width = made.map_of(number)[1]
    prototype = dict(edited.model.named_branches())[name].prototypes[own : own + 1].detach()
    patch = gather_patches(z, prototype, torch.tensor([[chosen.row * width + chosen.column]]))[0]
    assert torch.equal(prototype.flatten(1), branch.similarity.written(patch))
    assert not torch.equal(prototype[0], branch.prototypes[own])
    whole, dataset = whole_model(made, edited), made.pictures()
    pictures = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
    with torch.no_grad():
        expected = whole.activations(whole.backbone(pictures))
    torch.testing.assert_close(edited.activations(TRAIN), expected, rtol=1e-3, atol=1e-3)


class TestCandidates:
    def test_they_are_what_a_plain_search_finds(self, bench):
        made = bench("protopnet")
        record = made.checkpoint.prototypes[0]
        looks, learned = made.features[TRAIN], made.learned(0)
        taken = {
            (r.image_id, r.row, r.column) for r in made.checkpoint.prototypes if r.label == record.label and r.index
        }
        found = []
        for place, image in enumerate(looks.images):
            if image.label != record.label:
                continue
            z = looks.latents["main"][place]
            beside = made.beside(place, *z.shape[1:])
            best = None
            for row in range(z.shape[1]):
                for column in range(z.shape[2]):
                    near = abs(row - record.row) <= 1 and abs(column - record.column) <= 1
                    if (image.id == record.image_id and near) or (image.id, row, column) in taken:
                        continue
                    if beside is not None and beside[row, column]:
                        continue
                    distance = float((z[:, row, column] - learned[0, :, 0, 0]).square().sum())
                    if best is None or distance < best[0]:
                        best = (distance, image.id, row, column)
            if best:
                found.append(best)
        told = [(spot.image, spot.row, spot.column) for spot in candidates(made, 0, k=99)]
        assert told == [tuple(place) for _, *place in sorted(found)]
        assert len(told) > 1

    def test_the_place_of_a_moved_prototype_is_taken_and_that_of_a_removed_one_is_free(self, bench):
        made = bench("protopnet")
        first = candidates(made, 0)[0]
        places = {(s.image, s.row, s.column) for s in candidates(made, 1, (moved(0, first),), k=99)}
        assert (first.image, first.row, first.column) not in places
        both = carry_out(made, (moved(0), moved(1))).decisions
        assert both[0].place is not None
        assert both[0].place != both[1].place

    def test_nothing_beside_the_object_is_offered(self, bench):
        made = bench("protopnet")
        told = [(made.beside(s.place, *s.map.shape), s) for s in candidates(made, 0, k=99)]
        assert all(beside is not None for beside, _ in told), "the planted birds have masks"
        assert not any(bool(beside[s.row, s.column]) for beside, s in told)

    def test_box_lies_in_the_picture(self, bench):
        made = bench("protopnet")
        box = box_of(made, 0, candidates(made, 0)[0])
        assert 0 <= box.x0 < box.x1 <= 64
        assert 0 <= box.y0 < box.y1 <= 64

    def test_refusals(self, bench):
        made = bench("protopnet")
        other = next(i for i, image in enumerate(made.features[TRAIN].images) if image.label == 2)
        for place, row, column, words in ((other, 0, 0, "belongs to"), (999, 0, 0, "number 999"), (0, 99, 0, "cell")):
            with pytest.raises(UserError, match=words):
                spot(made, 0, place, row, column)
        with pytest.raises(UserError, match="no prototype 99"):
            candidates(made, 99)
        with pytest.raises(UserError, match="parts of its network"):
            candidates(bench("cbc"), 0)


class TestHistory:
    def test_steps_go_back_and_forth(self):
        first, second = removed(1, 2)
        history = History().decide(first).decide(second)
        assert history.now == (first, second)
        assert history.undo().now == (first,)
        assert history.undo().undo().now == ()
        assert history.undo().redo() == history
        assert History().undo() == History()
        assert history.redo() == history
        assert history.undo().decide(moved(3)).future == ()

    def test_any_step_can_be_taken_back(self):
        history = History().decide(removed(1)[0]).decide(removed(2)[0])
        without = history.withdraw(1)
        assert without.now == removed(2)
        assert without.undo().now == history.now
        assert history.withdraw(9) == history

    def test_a_new_decision_replaces_the_old_one(self):
        history = History().decide(removed(1)[0]).decide(moved(1))
        assert history.now == (moved(1),)
        assert history.about(1) == moved(1)
        assert history.about(2) is None

    def test_undone_edit_is_the_parent_bit_for_bit(self, bench):
        made = bench("st_protopnet")
        before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
        history = History().decide(removed(0)[0]).decide(moved(5))
        edited = carry_out(made, history.now)
        refit(made, edited, 2)
        again = carry_out(made, history.undo().undo().now)
        assert same_tensors(again.model.state_dict(), before)
        assert torch.equal(again.scores(TEST), carry_out(made, ()).scores(TEST))
        twice = carry_out(made, history.undo().redo().now)
        refit(made, twice, 2)
        assert same_tensors(twice.model.state_dict(), edited.model.state_dict())


class TestSaved:
    @pytest.mark.parametrize("family", WRITING)
    def test_checkpoint_proves_itself(self, family, bench, planted, tmp_path):
        made = bench(family)
        files = content(made.checkpoint.path)
        last = made.model.num_prototypes - 1
        decisions = Decisions(
            weights_sha256=made.checkpoint.weights_sha256, decisions=(*removed(1), moved(4), moved(last)), epochs=2
        )
        result = edit(made.checkpoint.path, decisions, planted, tmp_path / "new", command="again")
        checks = verified(result.checkpoint, planted).checks
        assert "2 of 2" in checks[-1].detail
        assert content(made.checkpoint.path) == files
        new = result.checkpoint
        assert [r.original_index for r in new.prototypes if r.chosen] == [4, last]
        for record in new.prototypes:
            old = made.checkpoint.prototypes[record.original_index]
            assert record.original_index != 1
            if record.chosen:
                assert (record.image_id, record.row, record.column) != (old.image_id, old.row, old.column)
                assert record.patch != old.patch
                assert new.picture(record.index, "patch") != made.checkpoint.picture(old.index, "patch")
            else:
                assert new.picture(record.index, "patch") == made.checkpoint.picture(old.index, "patch")
        accuracy = result.report.after.test.value
        assert new.metrics["test_accuracy"] == accuracy == pytest.approx(evaluate(new, planted).accuracy)

    @pytest.mark.parametrize("family", ["cbc", "rbf_net", "pipnet", "prototypedl"])
    def test_components_are_removed_and_reasoning_is_refitted(self, family, bench, planted, tmp_path):
        made = bench(family)
        new = edit(made.checkpoint.path, Decisions(decisions=removed(3), epochs=2), planted, tmp_path / "new")
        verified(new.checkpoint, planted)
        assert len(new.checkpoint.prototypes) == made.model.num_prototypes - 1
        assert new.checkpoint.metrics["test_accuracy"] == pytest.approx(evaluate(new.checkpoint, planted).accuracy)
        with pytest.raises(UserError, match="remove it instead"):
            edit(made.checkpoint.path, Decisions(decisions=(moved(3),)), planted, tmp_path / "other")
        assert not (tmp_path / "other").exists()

    def test_nothing_stale_is_taken_over_and_edits_add_up(self, bench, planted, tmp_path):
        made = bench("protopnet")
        parent = made.checkpoint
        add_metrics(parent.path, {"interpretability": {"purity": {"value": 0.5}}, "characteristics": {"size": [1]}})
        hostile = Decision(
            prototype=2, do="remove", reason="other", note="<script>|sky", who="Ada | *x*", date="2030-01-31"
        )
        once = edit(parent.path, Decisions(decisions=(hostile,), epochs=1), planted, tmp_path / "once").checkpoint
        twice = edit(once.path, Decisions(decisions=removed(0), epochs=1), planted, tmp_path / "twice").checkpoint
        for checkpoint in (once, twice):
            assert not {"interpretability", "characteristics", "projections", "kept"} & set(checkpoint.metrics)
        rows = twice.metrics["edits"]
        assert [(row["prototype"], row["reason"], row["parent"]) for row in rows] == [
            (2, "other", parent.weights_sha256),
            (0, "background", once.weights_sha256),
        ]
        card = (twice.path / "README.md").read_text()
        assert "## Edits" in card
        assert parent.weights_sha256 in card
        assert "2030-01-31" in card
        assert "<script>" not in card
        verified(twice, planted)

    def test_refusals(self, bench, planted, tmp_path):
        path = bench("protopnet").checkpoint.path
        lost = moved(0).model_copy(update={"image": "x.jpg", "row": 0, "column": 0})
        everything = Decisions(decisions=removed(*range(12)))
        cases = [
            (Decisions(decisions=removed(99)), planted, "no prototype 99"),
            (everything, planted, "every prototype"),
            (Decisions(weights_sha256="0" * 64), planted, "another|about a checkpoint"),
            (Decisions(decisions=(lost,)), planted, "'x.jpg' is no training"),
        ]
        draw(tmp_path / "birds", classes=4, train_per_class=2, test_per_class=1, size=64)
        cases.append((Decisions(), tmp_path / "birds", "not the data set"))
        for decisions, data, words in cases:
            with pytest.raises(UserError, match=words):
                edit(path, decisions, data, tmp_path / "new")
        assert not (tmp_path / "new").exists()
        (tmp_path / "there").mkdir()
        with pytest.raises(UserError, match="already"):
            edit(path, Decisions(), planted, tmp_path / "there")
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="cannot write"):
            edit(tmp_path / "not even a checkpoint", Decisions(), planted, tmp_path / "file" / "new")
        made = bench("protopnet")
        same = carry_out(made, ())
        with pytest.raises(UserError, match="already"):
            save(made, same, report(made, same, same, 0), tmp_path / "there")


class TestFile:
    def test_round_trip(self, tmp_path):
        said = Decisions(
            weights_sha256="ab" * 32,
            epochs=3,
            decisions=(
                Decision(prototype=3, do="remove", reason="other", note="a: b # c\nd ü", who="Ada", date="2030-01-31"),
                moved(4),
                Decision(prototype=5, do="reproject", reason="duplicate", image="a b/1.jpg", row=0, column=2),
            ),
        )
        assert parse_decisions(said.to_yaml(), "x") == said
        file = tmp_path / "decisions.json"
        file.write_text(json.dumps(said.model_dump(mode="json")))
        assert read_decisions(file) == said
        assert parse_decisions(Decisions().to_yaml(), "x") == Decisions()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("decisions: [{prototype: 1, do: remove, raeson: other}]", "did you mean 'reason'"),
            ("decision: []", "did you mean 'decisions'"),
            ("decisions: [{prototype: 1, do: delete, reason: other}]", "'remove' or 'reproject'"),
            ("decisions: [{prototype: -1, do: remove, reason: other}]", "greater than"),
            ("format: 2", "format"),
            ("- 1", "table of keys"),
            ("decisions: 3", "decisions"),
            ("a: [", "not a plain YAML"),
            (
                "decisions: [{prototype: 1, do: remove, reason: other}, {prototype: 1, do: remove, reason: other}]",
                "2 times",
            ),
            ("decisions: [{prototype: 1, do: remove, reason: other, row: 3}]", "yet a patch"),
            ("decisions: [{prototype: 1, do: reproject, reason: other, row: 3}]", "belong together"),
        ],
    )
    def test_mistakes_are_told(self, text, words):
        with pytest.raises(UserError, match=words):
            parse_decisions(text, "file")

    def test_dates_need_no_quotes(self):
        text = "decisions: [{prototype: 1, do: remove, reason: other, date: 2030-01-31}]"
        assert parse_decisions(text, "file").decisions[0].date == "2030-01-31"

    def test_no_file_and_a_huge_one(self, tmp_path):
        with pytest.raises(UserError, match="no such file"):
            read_decisions(tmp_path / "none.yaml")
        (tmp_path / "huge").write_text("#" * (MAX_YAML_BYTES + 1))
        with pytest.raises(UserError, match="too large"):
            read_decisions(tmp_path / "huge")


def test_forged_similarity_of_a_chosen_patch_is_found(bench, planted, tmp_path):
    """What a person chose is not searched for, but its distance is checked."""
    made = bench("protopnet")
    new = edit(made.checkpoint.path, Decisions(decisions=(moved(0),), epochs=1), planted, tmp_path / "new").checkpoint
    forged = Checkpoint(
        **{
            **vars(new),
            "prototypes": tuple(
                type(r)(**{**vars(r), "similarity": r.similarity + 1}) if r.chosen else r for r in new.prototypes
            ),
        }
    )
    found = verify(forged, view_of_run(new.config.data, planted))
    assert [check.name for check in found.checks if not check.passed] == ["chosen patches"]
