"""Start the web app on this computer."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.examples import Examples
from app.state import ModelStore
from protoexplain.errors import UserError

if TYPE_CHECKING:
    import gradio as gr

FIRST_PORT, LAST_PORT = 7860, 7959
ASSETS = Path(__file__).parent / "assets"


def serve(checkpoints: Path, data: Path | None, host: str, port: int | None) -> None:
    """Run the app until it is stopped.

    Args:
        checkpoints: Folder whose checkpoints can be chosen.
        data: Data set to take examples from; None takes the training pictures inside the checkpoints.
        host: Address to listen on, of this computer only.
        port: None takes the first free one from 7860 on.

    Raises:
        UserError: No such folder, data that cannot be read, an address that others can reach, or a taken port.
    """
    _check_host(host)
    if not checkpoints.is_dir():
        raise UserError("there is no such folder of checkpoints", str(checkpoints), "check --checkpoints")
    store, data = ModelStore(checkpoints), data.resolve() if data else None
    chosen = _free_port(host, port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="protoexplain-app-") as folder:
        _isolate(Path(folder))
        examples = Examples(data, Path(folder) / "examples")
        threading.Thread(target=_warm_up, args=(store, examples), daemon=True).start()
        demo = build(store, examples)
        demo.launch(
            server_name=host, server_port=chosen, blocked_paths=[str(p) for p in (store.root, data) if p], **_settings()
        )
        print(f"Running on http://{host}:{chosen}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")
        finally:
            demo.close(verbose=False)


def build(store: ModelStore, examples: Examples) -> gr.Blocks:
    """The page: inputs on the left, what is done with them on the right."""
    import gradio as gr

    from app import inputs, views
    from app.tabs import explain

    library = inputs.Library(store, examples)
    with gr.Blocks(title="protoexplain", fill_width=True, delete_cache=(3600, 7200), analytics_enabled=False) as demo:
        gr.HTML(views.intro(), elem_id="intro", apply_default_css=False, js_on_load=None)
        with gr.Row(elem_id="page"):
            with gr.Column(scale=1, min_width=300, elem_id="inputs"):
                chosen = inputs.build(library, demo)
            with gr.Column(scale=3, min_width=320, elem_id="result"):
                explain.build(library, chosen)
    return demo.queue(max_size=32, default_concurrency_limit=1)


def _settings() -> dict[str, Any]:
    """What keeps the app on this computer and its files to itself."""
    import gradio as gr

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"])
    theme.set(body_background_fill="#f6f5f2", body_background_fill_dark="#14181d")
    return {
        "prevent_thread_lock": True,
        "quiet": True,
        "share": False,
        "inbrowser": False,
        "max_file_size": "8mb",
        "allowed_paths": [],
        "show_error": False,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["settings"],
        "strict_cors": True,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "state_session_capacity": 200,
        "theme": theme,
        "css_paths": ASSETS / "theme.css",
        "favicon_path": str(ASSETS / "icon.svg"),
    }


def _isolate(folder: Path) -> None:
    """Work in an empty folder: Gradio may hand out files below the working directory."""
    for name in ("empty", "examples", "uploads"):
        (folder / name).mkdir()
    os.chdir(folder / "empty")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")


def _warm_up(store: ModelStore, examples: Examples) -> None:
    """Load the first model and run it once, while the page is being built."""
    import torch

    from app import actions

    # Half of the cores: threads that wait for a busy core slow one small picture down tenfold.
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))

    listed, _ = store.scan()
    for entry in listed[:1]:
        try:
            explainer = store.explainer(entry.name)
            for subject in examples.of(entry.checkpoint)[:1]:
                actions.explain_case(explainer, subject)
        except UserError as error:
            print(f"{entry.name}: {error}", file=sys.stderr)


def _check_host(host: str) -> None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise UserError(
            f"'{host}' can be reached by other computers, and the app has no login",
            "--host",
            "listen on 127.0.0.1, and put a web server with a login in front of it",
        )


def _free_port(host: str, port: int | None) -> int:
    for candidate in [port] if port else range(FIRST_PORT, LAST_PORT + 1):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    taken = f"port {port} is taken" if port else f"all ports from {FIRST_PORT} to {LAST_PORT} are taken"
    raise UserError(taken, "--port", "choose another one" + (", or leave it out" if port else ""))
