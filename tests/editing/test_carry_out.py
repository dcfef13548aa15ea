"""What removing, moving and refitting do to a model."""

import pytest
import torch
from decided import FAMILIES, WRITING, moved, removed
from tiny_runs import same_tensors

from protoexplain.editing.candidates import candidates
from protoexplain.editing.carry_out import carry_out, refit
from protoexplain.editing.decisions import History
from protoexplain.editing.preview import TEST, TRAIN, VALIDATION, without_backbone
from protoexplain.editing.report import report
from protoexplain.editing.save import whole_model
from protoexplain.fabric import make_fabric
from protoexplain.models.similarity import gather_patches
from protoexplain.training import engine
from protoexplain.training.checkpoint_ops import head_stage
from protoexplain.training.epochs import train_epochs
from protoexplain.training.evaluate import evaluate
from protoexplain.training.inputs import CachedInputs
from protoexplain.training.trainer import Trainer


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_decided_is_the_parent(family, preview_of, planted):
    made = preview_of(family)
    same = carry_out(made, ())
    assert same_tensors(whole_model(made, same).state_dict(), made.checkpoint.model().state_dict())
    found = report(made, same, same, 0)
    assert found.before == found.after
    assert found.changed == ()
    assert found.after.test.value == pytest.approx(evaluate(made.checkpoint, planted).accuracy)


@pytest.mark.parametrize("family", FAMILIES)
def test_refit_equals_training_the_head_of_a_pruned_model(family, preview_of):
    """The same epochs on a model that never had the removed prototypes, with activations of its own."""
    made = preview_of(family)
    gone = (0, 2, 5, 7)
    edited = carry_out(made, removed(*gone))
    if head_stage(made.checkpoint.config) is None:
        assert refit(made, edited, 3) == 0
        return
    assert refit(made, edited, 3) == 3
    whole = made.checkpoint.model()
    whole.select(torch.tensor([i for i in range(whole.num_prototypes) if i not in gone]))
    inputs = {}
    for split in (TRAIN, VALIDATION):
        dataset = made.data.dataset(made.features[split].images, made.checkpoint.config.data)
        pictures = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
        with torch.no_grad():
            inputs[split] = CachedInputs(
                "activations", (whole.activations(whole.backbone(pictures))[None],), made.features[split].labels
            )
    config = made.checkpoint.config
    plain = without_backbone(whole)
    run = Trainer(config, plain, made.data, make_fabric("cpu"))
    stage = head_stage(config).model_copy(update={"epochs": 3})
    train_epochs(run, stage, engine.freeze(plain, stage.lr), inputs[TRAIN], inputs[VALIDATION])
    for name, tensor in plain.state_dict().items():  # the first steps of Adam magnify what activations are rounded by
        torch.testing.assert_close(edited.model.state_dict()[name], tensor, rtol=5e-3, atol=1e-5)
    before = carry_out(made, removed(*gone)).model.class_weights()
    assert not torch.equal(before, edited.model.class_weights()), "the head was trained"


@pytest.mark.parametrize("family", ["protopnet", "cbc"])
def test_removing_a_prototype_without_weight_changes_no_score(family, preview_of):
    made = preview_of(family)
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
def test_moved_prototype_equals_its_patch(family, preview_of):
    made = preview_of(family)
    number = made.model.num_prototypes - 1  # of the last branch
    chosen = candidates(made, number)[1]
    edited = carry_out(made, (moved(number, chosen),))
    name, branch, own = made.place(number)
    z = made.features[TRAIN].latents[name][chosen.place][None]
    width = made.map_of(number)[1]
    prototype = dict(edited.model.named_branches())[name].prototypes[own : own + 1].detach()
    patch = gather_patches(z, prototype, torch.tensor([[chosen.row * width + chosen.column]]))[0]
    assert torch.equal(prototype.flatten(1), branch.similarity.prototypes_from(patch))
    assert not torch.equal(prototype[0], branch.prototypes[own])
    whole, dataset = whole_model(made, edited), made.pictures()
    pictures = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
    with torch.no_grad():
        expected = whole.activations(whole.backbone(pictures))
    torch.testing.assert_close(edited.activations(TRAIN), expected, rtol=1e-3, atol=1e-3)


def test_undone_edit_is_the_parent_bit_for_bit(preview_of):
    made = preview_of("st_protopnet")
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
