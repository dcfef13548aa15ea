"""Every public name says what it takes and gives, with an example that works as it is written."""

import doctest
import inspect
import re
import shutil

import pytest

import protoexplain as px
from protoexplain.checkpoint.folders import shipped_checkpoints

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    """What the examples find around them: a checkpoint, a small data set, and images of the first two classes."""
    root = tmp_path_factory.mktemp("examples")
    (root / "checkpoints").symlink_to(shipped_checkpoints().resolve())
    px.draw(root / "birds", classes=2, train_per_class=3, test_per_class=1, size=48)
    first = {record.label: record.source for record in reversed(model.checkpoint.prototypes)}
    for label, name in enumerate(("bird.jpg", "other.jpg")):
        shutil.copy(model.checkpoint.path / "thumbs" / first[label], root / name)
    return root


@pytest.mark.parametrize("name", px.__all__)
def test_the_example_works(name, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    public = getattr(px, name)
    examples = doctest.DocTestParser().get_doctest(inspect.getdoc(public), {}, name, None, None)
    assert examples.examples, f"{name} has no example"
    assert examples.examples[0].source == "import protoexplain as px\n", "an example starts from nothing"
    assert f"px.{name}" in examples.docstring.partition("Example:")[2], f"the example does not use {name}"
    found = []
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(examples, out=found.append)
    assert result.failed == 0, "".join(found)


@pytest.mark.parametrize("name", px.__all__)
def test_all_parameters_and_errors_are_described(name):
    public = getattr(px, name)
    text = inspect.getdoc(public)
    made = public.__init__ if inspect.isclass(public) else public
    described = set(re.findall(r"^    (\w+): ", text.partition("Args:")[2].partition("Example:")[0], re.MULTILINE))
    given = {one for one in inspect.signature(made).parameters if one != "self"}
    if name not in ("RunConfig",):  # its keys are described where they are declared
        assert given <= described, f"{name} does not say what {sorted(given - described)} is"
    source = inspect.getsource(public)
    if "raise UserError" in source:
        assert "Raises:" in source
