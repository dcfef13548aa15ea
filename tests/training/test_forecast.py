"""How many epochs fit into a time, how long a run still takes, and how a schedule gets shorter or longer."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import open_run, run_log, same_tensors, tiny_config, tiny_train

from protoexplain.config import preset_names, read_yaml, resolve, with_training
from protoexplain.errors import UserError
from protoexplain.models import processes
from protoexplain.models.stage import Decay
from protoexplain.progress import in_words
from protoexplain.training import pace, timing
from protoexplain.training.callbacks import Interrupted
from protoexplain.training.engine import EpochSums
from protoexplain.training.forecast import Forecast, StageForecast, epochs_within, schedule_in_words
from protoexplain.training.run_folder import CONFIG
from protoexplain.training.schedule import apportioned, network_stages, scheduled, stages_of
from protoexplain.training.stage_models import models_of
from protoexplain.training.state import RunState
from protoexplain.training.timing import RunCosts, StageCost, forecasts, measure_costs


class TestShares:
    @given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(0, 500))
    def test_they_are_whole_positive_and_sum_up(self, shares, more):
        total = len(shares) + more
        found = apportioned(shares, total)
        assert sum(found) == total
        assert min(found) >= 1

    def test_they_are_in_proportion(self):
        assert apportioned([16, 1], 10) == [9, 1]
        assert apportioned([5, 6, 10, 10], 31) == [5, 6, 10, 10]
        assert apportioned([5, 6, 10, 10], 62) == [10, 12, 20, 20]
        assert apportioned([100, 1, 1], 3) == [1, 1, 1]


class TestSchedules:
    @pytest.mark.parametrize("preset", preset_names())
    def test_other_epochs_keep_stages_projections_and_the_last_layer(self, preset):
        config = resolve(preset)
        planned = scheduled(config)
        counted = network_stages(planned, config.training)
        for wanted in (len(counted), 31):
            stages = stages_of(with_training(config, epochs=wanted))
            assert sum(stages[place].epochs for place in counted) == wanted
            for place, (before, after) in enumerate(zip(planned, stages, strict=True)):
                assert (before.name, before.project, before.merge, before.lr) == (
                    after.name,
                    after.project,
                    after.merge,
                    after.lr,
                )
                assert after == before or place in counted
                assert (after.epochs > 0) == (before.epochs > 0)
        same = sum(planned[place].epochs for place in counted)
        assert stages_of(with_training(config, epochs=same)) == planned

    def test_what_is_counted_in_epochs_shrinks_along(self):
        config = tiny_config("protopnet", training={"fine_tuning": {"epochs": 16, "parts": 2, "min_steps": 400}})
        first = stages_of(with_training(config, epochs=5))[0]
        assert (first.epochs, first.min_steps) == (3, 75)
        assert first.decay["backbone"].total == 3
        assert first.decay["backbone"].multiplier(4 - 1e-9) == pytest.approx(0.01)

    def test_decays_of_all_kinds(self):
        half = Decay(kind="at", every=5, epochs=(3, 5, 8), total=10, begun=4).times(0.5)
        assert (half.every, half.epochs, half.total, half.begun) == (2, (2, 2, 4), 5, 2)
        least = Decay(every=1, epochs=(1,), total=1).times(0.01)
        assert (least.every, least.epochs, least.total) == (1, (1,), 1)

    def test_the_last_layer_counts_where_it_is_all_or_is_trained_on_pictures(self):
        config = resolve("quick-cbc", ["training.fine_tuning.epochs=0"])
        assert [stage.epochs for stage in stages_of(with_training(config, epochs=6))] == [0, 6, 0]
        config = resolve("cub-pipnet-convnext")
        assert len(network_stages(scheduled(config), config.training)) == 4

    def test_too_few_are_refused_by_key(self):
        with pytest.raises(UserError, match=r"1 epochs are too few for 2 stages \(warm, joint\)") as refused:
            stages_of(tiny_config("protopnet", training={"epochs": 1}))
        assert (refused.value.where, refused.value.fix) == ("training.epochs", "give at least 2")

    def test_it_is_told_in_a_sentence(self):
        told = schedule_in_words(resolve("quick-protopnet", ["training.epochs=10"]))
        assert told == "10 epochs where the schedule has 15 (backbone 9, warm 1; as before last layer 10)"


class TestEpochsWithin:
    @pytest.mark.parametrize(("seconds", "epochs"), [(1, 2), (39, 2), (40, 3), (49.9, 3), (560, 55), (5605, 559)])
    def test_as_many_as_fit(self, seconds, epochs):
        """Each epoch takes 10 seconds, and all else 10 more; two stages have one epoch at least."""
        found = epochs_within(
            resolve("quick-protopnet"), seconds, lambda stages: 10 + 10 * sum(stage.epochs for stage in stages[:3])
        )
        assert found == epochs


STAGES = [
    StageForecast(4, 10.0, 20.0, 2.0, 5.0),
    StageForecast(0, 0.0, 20.0, 2.0, 7.0),
    StageForecast(2, 1.0, 4.0, 1.0, 0),
]
TOTAL = (10 + 80 + 5) + 7 + (1 + 8) + 6


class TestTimeLeft:
    @pytest.fixture
    def run(self):
        """A forecast of three stages and an end of 6 s, the state of its run, and a clock to set."""
        now, state = [100.0], RunState()
        return Forecast(STAGES, 6.0, state, clock=lambda: now[0]), state, now

    @staticmethod
    def go(state, stage, epoch=0, steps=0):
        state.stage, state.epoch, state.sums = stage, epoch, EpochSums(steps=steps)

    def test_a_run_that_goes_as_forecast(self, run):
        forecast, state, now = run
        assert forecast.left(state) == pytest.approx(TOTAL)
        for seconds, place in (
            (4, (0, 0, 0)),
            (12, (0, 0, 1)),
            (30, (0, 1, 0)),
            (36, (0, 1, 3)),
            (90, (0, 4, 0)),
            (95, (1, 0, 0)),
            (102, (2, 0, 0)),
            (111, (3, 0, 0)),
            (114, (3, 0, 0)),
        ):
            self.go(state, *place)
            now[0] = 100 + seconds
            assert forecast.left(state) == pytest.approx(TOTAL - seconds), place

    def test_a_slower_run_takes_longer_for_the_rest_too(self, run):
        forecast, state, now = run
        self.go(state, 0, 2)
        now[0] = 100 + 2 * 50
        as_forecast = TOTAL - 50
        assert 1.5 * as_forecast < forecast.left(state) < 2 * as_forecast

    def test_a_piece_that_takes_longer_does_not_count_as_more_done(self, run):
        forecast, state, now = run
        now[0] += 1000
        assert forecast.left(state) > TOTAL - 10

    def test_a_run_that_goes_on_later(self):
        state, now = RunState(stage=2, epoch=1), [0.0]
        forecast = Forecast(STAGES, 6.0, state, clock=lambda: now[0])
        assert forecast.left(state) == pytest.approx(4 + 6)
        state.epoch, now[0] = 2, 4.0
        assert forecast.left(state) == pytest.approx(6)


class TestMeasuring:
    @pytest.mark.parametrize("family", ["protopnet", "st_protopnet", "pipnet"])
    def test_each_stage_costs_something_and_the_run_stays_as_it_is(self, family, planted, tmp_path):
        run = open_run(tiny_config(family), planted, tmp_path)
        stages, models = stages_of(run.config), models_of(run.config, run.model)
        before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
        random, flags = torch.get_rng_state(), [p.requires_grad for p in run.model.parameters()]
        costs = measure_costs(run, stages, models)
        assert same_tensors(before, run.model.state_dict())
        assert torch.equal(random, torch.get_rng_state())
        assert flags == [p.requires_grad for p in run.model.parameters()]
        assert run.state == RunState()
        assert costs.picture > 0
        for stage, cost in zip(stages, costs.stages, strict=True):
            assert (cost.step > 0) == (stage.epochs > 0)
        assert any(cost.view > 0 for cost in costs.stages)

    @pytest.mark.parametrize("family", ["nonparametric", "prototree"])
    def test_one_process_measures_and_asks_the_others_for_nothing(self, family, planted, tmp_path, monkeypatch):
        """They are not listening, so that it would wait for ever."""
        run, asked = open_run(tiny_config(family), planted, tmp_path), []
        states = {"is_available": lambda: True, "is_initialized": lambda: True, "all_reduce": asked.append}
        others = SimpleNamespace(distributed=SimpleNamespace(**states), contiguous_format=torch.contiguous_format)
        monkeypatch.setattr(processes, "torch", others)
        measure_costs(run, stages_of(run.config), models_of(run.config, run.model))
        assert asked == []
        processes.over_processes(torch.ones(2))
        assert len(asked) == 1

    def test_a_backbone_that_few_images_leave_as_it_is_is_not_timed(self, planted, tmp_path, monkeypatch):
        timed = []
        kind_of = timing.input_kind
        monkeypatch.setattr(timing, "input_kind", lambda *given: timed.append(given[2]) or kind_of(*given))
        tuning = {"epochs": 1, "parts": 2, "min_images": 10_000}
        run = open_run(tiny_config("protopnet", training={"fine_tuning": tuning}), planted, tmp_path)
        measure_costs(run, stages_of(run.config)[:1], models_of(run.config, run.model))
        assert timed == [{"addon", "prototypes"}]

    def test_what_is_over_costs_nothing(self, planted, tmp_path):
        run = open_run(tiny_config("protopnet"), planted, tmp_path)
        run.state.stage = 2
        costs = measure_costs(run, stages_of(run.config), models_of(run.config, run.model))
        assert [cost.step > 0 for cost in costs.stages] == [False, False, True]

    def test_seconds_of_a_stage(self, planted, tmp_path):
        """19 training and 5 held-out images or so, in batches of 8; the first stage trains on cached features."""
        run = open_run(tiny_config("protopnet", training={"cached_views": 2}), planted, tmp_path)
        train, held_out, test = (len(part) for part in (run.data.train, run.data.validation, run.data.test))
        costs = RunCosts(100.0, (StageCost(3.0, 24.0), StageCost(0.0, 24.0), StageCost(1.0, 0.0)))
        (warm, joint, last), end = forecasts(run, stages_of(run.config), costs)
        steps = math.ceil(train / 8)
        assert (warm.epochs, warm.before, warm.after) == (2, 3 * (2 * train + held_out), 0)
        assert warm.epoch == pytest.approx(24 * steps + held_out)
        assert (joint.before, joint.after) == (0, 100 * (train + 2 * (held_out + test)))
        assert last.before == 2 * train + held_out
        assert end == 200 * (train + held_out + test)


class TestMinutes:
    @pytest.fixture
    def costs(self, monkeypatch):
        """An epoch of the network takes a minute or so, all else nothing; counts how often it was measured."""
        calls = []

        def measured(trainer, stages, models):
            calls.append(len(stages))
            steps = math.ceil(len(trainer.data.train) / 8)
            return RunCosts(0.0, tuple(StageCost(0.0, 59 / steps * (place < 2)) for place in range(len(stages))))

        monkeypatch.setattr(pace, "measure_costs", measured)
        return calls

    def test_a_run_gets_the_epochs_that_fit_and_keeps_them_when_it_goes_on(self, planted, tmp_path, costs):
        told = []

        class Watcher:
            def progress(self, what, done, total):
                pass

            def line(self, text):
                told.append(text)

            def left(self, seconds):
                told.append(seconds)

        asked = iter([False] * 12)
        options = {"minutes": 5.9, "watcher": Watcher(), "interrupted": lambda: next(asked, True)}
        with pytest.raises(Interrupted):
            tiny_train("protopnet", planted, tmp_path, options=options)
        sentence = (
            "5 epochs where the schedule has 4 (warm 3, joint 2; as before last layer 2), which takes about 5 min"
        )
        assert [text for text in told if str(text).startswith("5 epochs")] == [f"{sentence} from now"]
        assert read_yaml((tmp_path / CONFIG).read_text(), "")["training"]["epochs"] == 5
        assert any(isinstance(entry, float) for entry in told)
        result = tiny_train("protopnet", planted, tmp_path, options={"minutes": 50, "resume": True})
        assert result.checkpoint.config == tiny_config("protopnet", training={"epochs": 5})
        assert len(costs) == 1
        lines = [line["stage"] for line in run_log(tmp_path) if line["stage"] != "projection"]
        assert lines == ["warm"] * 3 + ["joint"] * 2 + ["last layer"] * 2
        tiny_train("protopnet", planted, tmp_path / "again", training={"epochs": 5})
        assert run_log(tmp_path / "again") == run_log(tmp_path)

    def test_too_little_time_is_told(self, planted, tmp_path, costs):
        told = []
        watcher = type("Watcher", (), {"progress": lambda *given: None, "line": lambda self, text: told.append(text)})()
        options = {"minutes": 0.5, "watcher": watcher, "interrupted": lambda: len(told) > 3}
        with pytest.raises(Interrupted):
            tiny_train("protopnet", planted, tmp_path, options=options)
        assert any("longer than wanted: fewer are not possible" in text for text in told)

    def test_a_run_that_began_without_a_limit_goes_on_as_scheduled(self, planted, tmp_path, costs):
        told = []
        watcher = type("Watcher", (), {"progress": lambda *given: None, "line": lambda self, text: told.append(text)})()
        for minutes in (None, 5.9):
            interrupted = partial(next, iter([False] * 7), True)
            options = {"minutes": minutes, "watcher": watcher, "resume": True, "interrupted": interrupted}
            with pytest.raises(Interrupted):
                tiny_train("protopnet", planted, tmp_path, options=options)
        assert (costs, "the run has begun before" in " ".join(told)) == ([], True)
        assert read_yaml((tmp_path / CONFIG).read_text(), "")["training"]["epochs"] is None

    def test_both_are_refused(self, planted, tmp_path):
        with pytest.raises(UserError, match="both epochs and minutes"):
            tiny_train("protopnet", planted, tmp_path, options={"minutes": 1}, training={"epochs": 5})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (29, "less than a minute"),
        (31, "about 1 min"),
        (3599, "about 1 h 0 min"),
        (7500, "about 2 h 5 min"),
        (4e5, "about 5 days"),
    ],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
