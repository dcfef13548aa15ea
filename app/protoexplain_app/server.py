"""Start the web app on this computer, or hand it to a server that runs it."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protoexplain.checkpoint.folders import shipped_checkpoints
from protoexplain.devices import AUTO, resolve_device
from protoexplain.errors import UserError
from protoexplain.garbage import uncollected
from protoexplain_app.auth import Login, ask_user, basic
from protoexplain_app.dataset_jobs import DatasetJobs
from protoexplain_app.examples import Examples
from protoexplain_app.guard import Guard
from protoexplain_app.image_predictions import PredictTestImages
from protoexplain_app.jobs import JobQueue
from protoexplain_app.library import Library
from protoexplain_app.measurements import Measurements
from protoexplain_app.models import ModelStore
from protoexplain_app.network import check_host, listen
from protoexplain_app.panel.actions import default_checkpoint
from protoexplain_app.roles import Access, Role, comes_from_here, role_named
from protoexplain_app.tabs.edit.edits import Edits
from protoexplain_app.tabs.explain.actions import explain_image
from protoexplain_app.tabs.prototypes.nearest import NearestPatchSearch
from protoexplain_app.tabs.report.reports import Reports
from protoexplain_app.telemetry import TimedRequests
from protoexplain_app.uploads import LARGEST, make_folder

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.requests import HTTPConnection

STOPS_WITHIN = 1.0
"""Seconds that open connections get when the app is stopped."""


def serve(
    checkpoints: Path,
    data: Path | None,
    host: str,
    port: int | None,
    auth: Path | None = None,
    add_user: str | None = None,
    mcp: bool = False,
    device: str = AUTO,
    role: str | None = None,
) -> None:
    """Run the app until it is stopped.

    Args:
        checkpoints: Folder whose checkpoints can be chosen.
        data: Data set to take pictures from; None takes the training pictures inside the checkpoints.
        host: Address to listen on; one that others can reach only with `auth`.
        port: None takes the first free one from 7860 on, 0 any free one.
        auth: File of the users who may log in.
        add_user: Ask for the password of this user, write both into the file, and do not run.
        mcp: Whether to offer the explanation of a picture to programs by the Model Context Protocol, too.
        device: Where models run, as `resolve_device`.
        role: As `create_app`; with `add_user`, that of the user.

    Raises:
        UserError: As `create_app`; an address that others can reach without a login, as `listen`, or a server that does
            not start.
    """
    if add_user is not None:
        ask_user(auth, add_user, role_named(role, "--role") if role else None)
        return
    check_host(host, login=auth is not None)
    with listen(host, port) as door:
        with uncollected():
            app = create_app(checkpoints, data, auth, mcp, device, role)
        gc.freeze()  # what is there now stays, so nobody waits for it to be looked through
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        code = 0
        try:
            with _empty_working_folder():
                _answer(app, host, door)
        except SystemExit as stop:
            code = int(stop.code or 0)
    _leave(code)


def _leave(code: int) -> None:
    """End the process at once: a thread in the background may be inside a network, and would abort a slower end."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _empty_working_folder() -> Iterator[None]:
    """Work in an empty folder, for Gradio may hand out files below the working directory.

    It is left before it is removed: Windows does not remove the folder that a process works in.
    """
    with tempfile.TemporaryDirectory(prefix="protoexplain-empty-") as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(Path(empty).parent)


def _answer(app: FastAPI, host: str, door: socket.socket) -> None:
    """Answer until a signal comes; then stop within a moment, whoever is still connected.

    Raises:
        UserError: The server does not start.
    """
    import uvicorn

    port = door.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, **_logging()))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        if not server.started:
            raise UserError(f"the app cannot be started on port {port}", "", "see above, or try --port 0")
        print(f"Running on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        while thread.is_alive():
            thread.join(1)
    except KeyboardInterrupt:
        print("stopped")
    finally:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server.should_exit = server.force_exit = True
        thread.join(STOPS_WITHIN)


def _logging() -> dict[str, Any]:
    """The server's messages go where those of the program go, where that is said."""
    return {"log_config": None} if logging.getLogger().handlers else {}


def create_app(
    checkpoints: Path | None = None,
    data: Path | None = None,
    auth: Path | None = None,
    mcp: bool = False,
    device: str = AUTO,
    role: str | None = None,
) -> FastAPI:
    """The app for an ASGI server, or to be mounted in another one, which then should take over its lifespan.

    It answers `/healthz` (alive) and `/readyz` (a model is loaded) without a login.

    Args:
        checkpoints: Folder whose checkpoints can be chosen; the shipped ones by default.
        data: Data set to take pictures from; None takes the training pictures inside the checkpoints.
        auth: File of the users who may log in; None lets everybody in who can reach the address.
        mcp: As `serve`.
        device: As `serve`.
        role: Of visitors whose account says none: ``look``, ``measure`` or ``edit``.  None lets them look; where nobody
            logs in, whoever works at this computer may do everything.

    Raises:
        UserError: No such folder, device or role, data or users that cannot be read, or a missing package.
    """
    where = resolve_device(device)
    root = (checkpoints or shipped_checkpoints()).resolve()
    if not root.is_dir():
        raise UserError("there is no such folder of checkpoints", str(root), "check --checkpoints")
    if mcp and find_spec("mcp") is None:
        raise UserError("the package for the Model Context Protocol is missing", "--mcp", "pip install 'gradio[mcp]'")
    login = Login(auth) if auth else None
    data = data.resolve() if data else None
    examples = Examples(data)
    access = _access(login, role)
    jobs = JobQueue(access=access)
    library = Library(
        ModelStore(root, device=str(where)),
        examples,
        image_predictions=DatasetJobs(PredictTestImages(), examples, jobs),
        measurements=Measurements(examples, jobs, device=str(where)),
        neighbours=DatasetJobs(NearestPatchSearch(), examples, jobs),
        reports=Reports(jobs),
        edits=Edits(examples, jobs, str(where)),
        access=access,
    )
    threading.Thread(target=_warm_up, args=(library,), daemon=True).start()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    make_folder()
    import gradio as gr
    from fastapi import FastAPI

    from protoexplain_app.page import appearance, build
    from protoexplain_app.routes import add_routes

    @asynccontextmanager
    async def jobs_end_with_the_server(app: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=jobs_end_with_the_server)

    def role_of(request: Request) -> Role | None:
        user = _user(app, request) if login else None
        return access.role_of(request, user) if user or login is None else None

    async def may_count(request: Request) -> bool:
        """Who has an account; without a login, programs on this computer."""
        if login is None:
            return comes_from_here(request)
        user, password = basic(request.headers.get("authorization", ""))
        return _user(app, request) is not None or (bool(user) and await login.check(user, password))

    app.add_middleware(Guard, admits=lambda request: login is None or _user(app, request) is not None)
    app.add_middleware(TimedRequests)
    add_routes(app, library, role_of, may_count)
    page = build(library)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        auth=login.check if login else None,
        auth_message="Please log in. After a wrong password, the next answer takes longer.",
        allowed_paths=[],
        blocked_paths=[str(path) for path in (root, data) if path],
        max_file_size=LARGEST,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=["api", "settings"],
        ssr_mode=False,
        mcp_server=mcp,
        pwa=False,
        **appearance(),
    )
    # Gradio forgets this for mounted pages, and then takes any file of this computer that a request names as uploaded.
    page.has_launched = True
    return app


def _access(login: Login | None, role: str | None) -> Access:
    """Who may do what; without a word about it, only who works at this computer may do more than look."""
    if role is not None:
        return Access(role_named(role, "--role"), accounts=login.roles if login else {})
    return Access(accounts=login.roles) if login else Access(here=Role.EDIT)


def _user(app: FastAPI, request: HTTPConnection) -> str | None:
    """Who has got the cookie that Gradio gave after the login, and that a request bears."""
    from gradio.routes import App

    mounted = next(page for route in app.routes if isinstance(page := getattr(route, "app", None), App))
    names = (f"access-token-{mounted.cookie_id}", f"access-token-unsecure-{mounted.cookie_id}")
    return next((user for name in names if (user := mounted.tokens.get(request.cookies.get(name)))), None)


def _warm_up(library: Library) -> None:
    """Load the first model and explain the first picture, while the page is being built."""
    import torch

    # Half of the cores: threads that wait for a busy core slow one small picture down tenfold.
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))

    listed, _ = library.store.scan()
    if listed:
        entry = default_checkpoint(listed)
        try:
            explainer = library.store.explainer(entry.name)
            key = library.opening_image(entry.name)
            if key:
                explain_image(explainer, library.examples.find(entry.checkpoint, key))
        except UserError as error:
            print(f"{entry.name}: {error}", file=sys.stderr)
