"""Runs a function's `bootstrap` as a process of this machine, and serves it the Lambda Runtime API.

LocalStack asks its executors for an environment by function version; each holds one process, which
takes one invocation at a time, as in Lambda. A process that runs into the function's timeout is
killed, and the environment begins anew with the next invocation.

Runtime API: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import logging
import os
import queue
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import (
    LambdaRuntimeException,
    RuntimeExecutor,
)

LOG = logging.getLogger(__name__)
HOST = "127.0.0.1"
# Lambda's own limit for the init phase.
INIT_SECONDS = 10
# After an answer, for the lines that the function has written before it.
LOG_SECONDS = 0.5


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        return ProcessExecutor


@dataclass
class Invocation:
    """One event on its way through the function."""

    id: str
    headers: dict[str, str]
    payload: bytes
    answer: queue.Queue = field(default_factory=queue.Queue)


class Bootstrap:
    """A running `bootstrap` and the Runtime API it talks to."""

    def __init__(self, code: Path, env: dict[str, str]):
        self.waiting: queue.Queue[Invocation | None] = queue.Queue()
        self.current: Invocation | None = None
        self.idle = threading.Event()
        self.log = bytearray()
        self.server = ThreadingHTTPServer((HOST, 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        program = code / "bootstrap"
        program.chmod(0o755)
        own = {
            "AWS_LAMBDA_RUNTIME_API": f"{HOST}:{self.server.server_port}",
            "LAMBDA_TASK_ROOT": str(code),
            "PATH": os.environ["PATH"],
        }
        self.process = subprocess.Popen(
            [program],
            cwd=code,
            env=env | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._read_log, daemon=True).start()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether it asks for its next event; false when it ends instead, or takes longer."""
        end = time.monotonic() + seconds
        while not self.idle.wait(0.02):
            if self.has_ended or time.monotonic() > end:
                return False
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.waiting.put(None)
        self.server.shutdown()
        self.server.server_close()

    def text_since(self, start: int) -> str:
        return self.log[start:].decode(errors="replace")

    def _read_log(self) -> None:
        for line in self.process.stdout:
            self.log += line

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bootstrap = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if not self.path.endswith("/runtime/invocation/next"):
                    return self._answer(404)
                bootstrap.current = None
                bootstrap.idle.set()
                invocation = bootstrap.waiting.get()
                if invocation is None:
                    return self._answer(500)
                bootstrap.idle.clear()
                bootstrap.current = invocation
                self._answer(200, invocation.payload, invocation.headers)

            def do_POST(self):
                body = self._body()
                *_, id, what = self.path.split("/")
                current = bootstrap.current
                if current is not None and current.id == id:
                    current.answer.put((what == "error", body))
                elif what == "error":
                    LOG.error("init error: %s", body.decode(errors="replace"))
                # Last, because once it is answered the function asks for its next event.
                self._answer(202, b"{}")

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, status, body=b"", headers=None):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        return Handler


class ProcessExecutor(RuntimeExecutor):
    """An execution environment."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.env: dict[str, str] = {}
        self.bootstrap: Bootstrap | None = None

    def start(self, env_vars):
        self.env = {name: str(value) for name, value in env_vars.items()}
        self._begin()

    def _begin(self) -> Bootstrap:
        code = self.function_version.config.code.get_unzipped_code_location()
        bootstrap = self.bootstrap = Bootstrap(Path(code), self.env)
        if not bootstrap.wait_until_idle(INIT_SECONDS):
            bootstrap.stop()
            raise LambdaRuntimeException(f"bootstrap did not start: {bootstrap.text_since(-2000)}")
        return bootstrap

    def stop(self):
        if self.bootstrap:
            self.bootstrap.stop()

    def invoke(self, payload):
        bootstrap = self.bootstrap
        if bootstrap is None or bootstrap.has_ended:
            if bootstrap is not None:
                bootstrap.stop()
            bootstrap = self._begin()
        seconds = self.function_version.config.timeout
        id, body = payload["invoke-id"], payload["payload"]
        headers = {
            "Lambda-Runtime-Aws-Request-Id": id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": payload.get("invoked-function-arn", ""),
            "Lambda-Runtime-Trace-Id": payload.get("trace-id") or "Root=1-0-0;Sampled=0",
            "Content-Type": "application/json",
        }
        invocation = Invocation(id, headers, body.encode() if isinstance(body, str) else body)
        start = len(bootstrap.log)
        is_error, answer = self._run(bootstrap, invocation, seconds)
        if bootstrap.wait_until_idle(LOG_SECONDS):
            time.sleep(0.01)
        return InvocationResult(id, answer, is_error=is_error, logs=bootstrap.text_since(start))

    def _run(self, bootstrap: Bootstrap, invocation: Invocation, seconds: int):
        def failed(kind: str, message: str):
            return True, json.dumps({"errorType": kind, "errorMessage": message}).encode()

        bootstrap.waiting.put(invocation)
        end = time.monotonic() + seconds
        while True:
            try:
                return invocation.answer.get(timeout=0.05)
            except queue.Empty:
                what = f"RequestId: {invocation.id} Error:"
                if bootstrap.has_ended:
                    code = bootstrap.process.returncode
                    return failed("Runtime.ExitError", f"{what} Runtime exited with {code}")
                if time.monotonic() > end:
                    bootstrap.process.kill()
                    message = f"{what} Task timed out after {seconds}.00 seconds"
                    return failed("Sandbox.Timedout", message)

    def get_logs(self):
        return self.bootstrap.text_since(0) if self.bootstrap else ""

    def get_address(self):
        return HOST

    def get_endpoint_from_executor(self):
        return HOST

    def get_runtime_endpoint(self):
        return f"http://{HOST}:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    @classmethod
    def prepare_version(cls, function_version):
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        """Versions share their code on disk; `down` removes it."""
