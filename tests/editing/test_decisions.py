"""What a person decides: steps back and forth, and the file of decisions."""

import json

import pytest
from decided import moved, removed

from protoexplain.config import MAX_YAML_BYTES
from protoexplain.editing.decisions import Decision, Decisions, History, parse_decisions, read_decisions
from protoexplain.errors import UserError


def test_steps_go_back_and_forth():
    first, second = removed(1, 2)
    history = History().decide(first).decide(second)
    assert history.now == (first, second)
    assert history.undo().now == (first,)
    assert history.undo().undo().now == ()
    assert history.undo().redo() == history
    assert History().undo() == History()
    assert history.redo() == history
    assert history.undo().decide(moved(3)).future == ()


def test_any_step_can_be_taken_back():
    history = History().decide(removed(1)[0]).decide(removed(2)[0])
    without = history.withdraw(1)
    assert without.now == removed(2)
    assert without.undo().now == history.now
    assert history.withdraw(9) == history


def test_a_new_decision_replaces_the_old_one():
    history = History().decide(removed(1)[0]).decide(moved(1))
    assert history.now == (moved(1),)
    assert history.about(1) == moved(1)
    assert history.about(2) is None


def test_round_trip(tmp_path):
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
def test_mistakes_are_told(text, words):
    with pytest.raises(UserError, match=words):
        parse_decisions(text, "file")


def test_dates_need_no_quotes():
    text = "decisions: [{prototype: 1, do: remove, reason: other, date: 2030-01-31}]"
    assert parse_decisions(text, "file").decisions[0].date == "2030-01-31"


def test_no_file_and_a_huge_one(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_decisions(tmp_path / "none.yaml")
    (tmp_path / "huge").write_text("#" * (MAX_YAML_BYTES + 1))
    with pytest.raises(UserError, match="too large"):
        read_decisions(tmp_path / "huge")
