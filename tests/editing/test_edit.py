"""Checkpoints that edits write: they prove themselves, and nothing stale is in them."""

import pytest
from decided import WRITING, content, moved, removed, verified

from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.data.dataset_view import view_of_run
from protoexplain.editing.carry_out import carry_out
from protoexplain.editing.decisions import Decision, Decisions
from protoexplain.editing.edit import edit
from protoexplain.editing.report import report
from protoexplain.editing.save import save
from protoexplain.errors import UserError
from protoexplain.planted import draw
from protoexplain.training.evaluate import evaluate
from protoexplain.training.verify import verify


@pytest.mark.parametrize("family", WRITING)
def test_checkpoint_proves_itself(family, preview_of, planted, tmp_path):
    made = preview_of(family)
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
def test_components_are_removed_and_reasoning_is_refitted(family, preview_of, planted, tmp_path):
    made = preview_of(family)
    new = edit(made.checkpoint.path, Decisions(decisions=removed(3), epochs=2), planted, tmp_path / "new")
    verified(new.checkpoint, planted)
    assert len(new.checkpoint.prototypes) == made.model.num_prototypes - 1
    assert new.checkpoint.metrics["test_accuracy"] == pytest.approx(evaluate(new.checkpoint, planted).accuracy)
    with pytest.raises(UserError, match="remove it instead"):
        edit(made.checkpoint.path, Decisions(decisions=(moved(3),)), planted, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_nothing_stale_is_taken_over_and_edits_add_up(preview_of, planted, tmp_path):
    made = preview_of("protopnet")
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


def test_refusals(preview_of, planted, tmp_path):
    path = preview_of("protopnet").checkpoint.path
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
    made = preview_of("protopnet")
    same = carry_out(made, ())
    with pytest.raises(UserError, match="already"):
        save(made, same, report(made, same, same, 0), tmp_path / "there")


def test_forged_similarity_of_a_chosen_patch_is_found(preview_of, planted, tmp_path):
    """What a person chose is not searched for, but its distance is checked."""
    made = preview_of("protopnet")
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
