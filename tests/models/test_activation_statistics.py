"""What the training images give to each prototype, against a loop over images."""

import torch

from protoexplain.models.activation_statistics import RunningStatistics


def maps(images=7):
    """Two branches whose maps differ in their cells."""
    torch.manual_seed(0)
    return [torch.randn(images, 3, 4, 4), torch.randn(images, 2, 2, 3)]


def gathered(parts, batch):
    running = RunningStatistics(len(parts[0]))
    for some in zip(*(part.split(batch) for part in parts), strict=True):
        running.update(some)
    return running.statistics()


def test_statistics_are_those_of_a_loop_whatever_the_batch():
    parts = maps()
    for batch in (1, 3, 7):
        found = gathered(parts, batch)
        of_each = [part[:, p] for part in parts for p in range(part.shape[1])]
        for p, images in enumerate(of_each):
            activations = [float(image.max()) for image in images]
            torch.testing.assert_close(float(found.usual[p]), sum(activations) / 7)
            torch.testing.assert_close(float(found.low[p]), float(images.mean()), atol=1e-6, rtol=1e-5)
            fifth, sixth = sorted(activations)[4:6]
            torch.testing.assert_close(float(found.high[p]), fifth + 0.95 * (sixth - fifth), atol=1e-6, rtol=1e-5)


def test_the_image_that_a_prototype_was_written_from_does_not_set_the_range():
    images = torch.rand(5, 1, 2, 2)
    images[3, 0, 1, 1] = 9.2
    assert gathered([images], 2).high[0] < 1


def test_one_image_is_enough():
    (first, _), found = maps(1), gathered(maps(1), 1)
    assert torch.equal(found.high[:3], first[0].flatten(1).amax(1))


def test_chosen_prototypes_keep_theirs():
    found = gathered(maps(), 7)
    kept = found.select(torch.tensor([1, 4]))
    assert kept.span(1) == found.span(4) == (float(found.low[4]), float(found.high[4]))
    assert torch.equal(kept.usual, found.usual[[1, 4]])


def test_keeps_few_numbers_and_loses_none_that_count():
    torch.manual_seed(1)
    images = torch.randn(1000, 2, 1, 1).sort(0, descending=True).values
    running = RunningStatistics(1000)
    for batch in images.split(8):
        running.update([batch])
        assert sum(map(len, running._highest)) <= 24 + 8
    expected = images[1:].flatten(1).quantile(0.99, dim=0)
    torch.testing.assert_close(running.statistics().high, expected)
