"""Where a schedule of projections cuts its epochs."""

import pytest
from pydantic import ValidationError

from protoexplain.models.stage import ProjectedSchedule


def rows(projections, warm=5, end=None):
    """Name, epochs and whether it projects, of each stage."""
    schedule = ProjectedSchedule(warm_epochs=warm, projections=projections, last_layer_epochs=2)
    return [(stage.name, stage.epochs, stage.project) for stage in schedule.stages({"l1": 1.0}, end=end)]


LAST = ("last layer", 2, False)


def test_without_projections():
    assert rows(()) == [("warm", 5, False)]
    assert rows((), end=8) == [("warm", 5, False), ("joint", 3, False)]
    assert rows((), end=3) == [("warm", 3, False)]
    assert rows((), warm=0, end=3) == [("warm", 0, False), ("joint", 3, False)]


def test_after_the_warm_up():
    assert rows((7, 10)) == [("warm", 5, False), ("joint", 3, True), LAST, ("joint", 3, True), LAST]
    assert rows((7,), end=10) == [("warm", 5, False), ("joint", 3, True), LAST, ("joint", 2, False)]
    assert rows((7,), end=8) == rows((7,), end=6) == rows((7,)) == [("warm", 5, False), ("joint", 3, True), LAST]


def test_during_the_warm_up_which_then_goes_on():
    assert rows((2, 7)) == [("warm", 3, True), LAST, ("warm", 2, False), ("joint", 3, True), LAST]
    assert rows((4, 7)) == [("warm", 5, True), LAST, ("joint", 3, True), LAST]
    assert rows((2,)) == [("warm", 3, True), LAST]


@pytest.mark.parametrize("projections", [(0,), (2, 3), (4,), (4, 5), (1, 5, 9), (6, 20)])
@pytest.mark.parametrize("warm", [0, 1, 5])
def test_every_projection_follows_its_epoch(projections, warm):
    done, found = 0, []
    for name, epochs, project in rows(projections, warm):
        done += epochs if name != "last layer" else 0
        found += [done - 1] if project else []
    assert found == list(projections)
    assert done == projections[-1] + 1


def test_the_order_of_projections_does_not_matter():
    assert rows((10, 2, 7, 7)) == rows((2, 7, 10))


def test_epochs_are_counted_from_zero():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        ProjectedSchedule(projections=(3, -1))
