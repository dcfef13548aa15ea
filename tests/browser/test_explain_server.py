"""What the server of the page takes and gives, whoever asks: uploads, the public endpoint, files."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

pytestmark = pytest.mark.browser


def some_bird(birds):
    return sorted(birds.glob("images/*/*.jpg"))[0]


def test_a_file_above_the_limit_is_refused_by_the_server(address):
    head = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="large.png"\r\n\r\n'
    body = head + bytes((8 << 20) + 1) + b"\r\n--edge--\r\n"
    request = urllib.request.Request(  # noqa: S310
        f"{address}/gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=edge"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)  # noqa: S310
    assert refused.value.code == 413


def test_only_one_endpoint_is_public(address):
    with urllib.request.urlopen(f"{address}/gradio_api/info") as answer:  # noqa: S310
        assert list(json.load(answer)["named_endpoints"]) == ["/explain"]


def test_programs_can_ask_for_an_explanation(address, birds):
    client = Client(address, verbose=False)
    told = client.predict("b-cbc", handle_file(some_bird(birds)), 3, api_name="/explain")
    assert told["image"] == some_bird(birds).name
    assert told["additive_error"] < 1e-4
    assert len(told["classes"][0]["found"]) == 3


@pytest.mark.parametrize(
    ("checkpoint", "rows", "reason"),
    [("../checkpoints/b-cbc", 3, "There is no checkpoint"), ("b-cbc", 400, "400 rows cannot be shown")],
)
def test_programs_are_told_what_is_wrong(address, birds, checkpoint, rows, reason):
    with pytest.raises(AppError, match=reason):
        Client(address, verbose=False).predict(checkpoint, handle_file(some_bird(birds)), rows, api_name="/explain")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{checkpoints}/b-cbc/thumbs/image-00000.jpg", "{birds}/images.txt", "{address}/healthz"]
)
def test_a_forged_upload_cannot_name_a_file_of_this_computer(address, checkpoints, birds, path):
    image = {
        "path": path.format(checkpoints=checkpoints, birds=birds, address=address),
        "meta": {"_type": "gradio.FileData"},
    }
    body = json.dumps({"data": ["b-cbc", image, 3]}).encode()
    call = f"{address}/gradio_api/call/explain"
    request = urllib.request.Request(call, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}") as answer:  # noqa: S310
        told = answer.read().decode()
    assert "event: error" in told
    assert "predictions" not in told


@pytest.mark.parametrize("path", ["/gradio_api/file=/etc/passwd", "/monitoring", "/gradio_api/file=../checkpoints"])
def test_other_files_stay_on_this_computer(address, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address + path)  # noqa: S310
    assert refused.value.code in (403, 404)
