"""A server on this machine that takes and gives files as the Hugging Face Hub does, as far as uploads in one commit and
downloads need it."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


class LocalHub(ThreadingHTTPServer):
    """Repositories as tables of files, of one commit each; `requests` are methods and paths."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories, self.private, self.requests = {}, {}, []
        self.commit = hashlib.sha256(b"the only commit").hexdigest()[:40]

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *given):
        pass

    def do_POST(self):
        body, path = self.rfile.read(int(self.headers["Content-Length"])), self._path()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and "validate-yaml" not in path:
            self._answer({"error": "Invalid username or password."}, 401)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repositories.setdefault(name, {".gitattributes": b"*.safetensors filter=lfs\n"})
            self.server.private[name] = asked.get("visibility") == "private" or asked.get("private", False)
            self._answer({"url": f"{self.server.address}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = [file["path"] for file in json.loads(body)["files"]]
            plain = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": name, **plain} for name in files]})
        elif "/commit/" in path:
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.repositories[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            commit = self.server.commit
            self._answer({"commitUrl": f"{self.server.address}/{name}/commit/{commit}", "commitOid": commit})
        else:
            self._answer({"error": "Not Found"}, 404)

    def do_GET(self):
        parts = self._path().strip("/").split("/")
        parts = parts[2:] if parts[:2] == ["api", "models"] else parts
        name, what, rest = "/".join(parts[:2]), parts[2] if len(parts) > 2 else "", parts[4:]
        files = self.server.repositories.get(name)
        if files is None:
            self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif what == "resolve":
            content = files["/".join(rest)]
            told = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": self.server.commit}
            self._answer(content, 200, told)
        elif what == "tree":
            found = [{"type": "file", "path": file, "size": len(files[file]), "oid": file} for file in files]
            self._answer(found)
        else:
            siblings = [{"rfilename": file} for file in files]
            self._answer({"_id": name, "id": name, "sha": self.server.commit, "siblings": siblings})

    do_HEAD = do_GET  # noqa: N815 - the name is that of the standard library

    def _path(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path))
        return path

    def _answer(self, content, status=200, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def local_hub():
    hub = LocalHub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
