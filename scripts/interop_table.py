"""Tables of what other people's tools made of a running archive, and what their checks share."""

import contextlib
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def print_table(columns, rows):
    """Prints a Markdown table, a row when its check is done; whether all were right."""
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    return print_rows(rows)


def print_rows(rows):
    """The same without a header: names of the row, and what checks it and says what it saw."""
    right = True
    for *names, check in rows:
        try:
            result = f"ok: {check()}"
        except Exception as error:  # every row is to be seen
            right, result = False, f"FAILED: {type(error).__name__}: {error}"
        print("| " + " | ".join([*names, result.replace("\n", " ").replace("|", "/")]) + " |", flush=True)
    return right


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, limit=60):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.01)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(*command, codes=(0,), limit=300):
    """Runs a program to its end; what it said on both ways, and its exit code must be one of these."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=limit)
    said = done.stdout + done.stderr
    assert done.returncode in codes, f"{command[0]}: {done.returncode} {said[-400:]}"
    return said


class Archive:
    """The program, to register destinations and to run its clients."""

    def __init__(self, program, data):
        self.program, self.data = program, data

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def destination(self, title, port, *options):
        self.run("destinations", "add", title, f"127.0.0.1:{port}", "--any", "--data", self.data, *options)


class Running(Archive):
    """A running archive in a folder of its own."""

    def __init__(self, program, config="", certificates=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="khoanh-interop-"))
        super().__init__(program, str(self.folder / "data"))
        self.certificates = certificates
        (self.folder / "khoanh.toml").write_text(config)
        self.start()

    def start(self):
        command = [self.program, "serve", "--config", self.folder / "khoanh.toml", "--data", self.data]
        command += ["--dicom", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()[-1_000:]
        ready = json.loads(line)
        self.dicom, self.http = ready["dicom"], ready["http"]
        self.tls = ready.get("dicom_tls", "").rpartition(":")[2]

    @property
    def address(self):
        host, port = self.dicom.rsplit(":", 1)
        return host, int(port)

    def command(self, *arguments):
        return self.run(*arguments, "--data", self.data)

    def killed(self):
        """`kill -9`, and started again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Storescp:
    """DCMTK's storescp, bit preserving, that can be killed and started again on its port and folder."""

    def __init__(self, title, *options):
        self.title, self.options, self.port, self.folder = title, options, free_port(), tempfile.mkdtemp()
        self.start()

    def start(self):
        arguments = ["storescp", "-aet", self.title, "+B", "-od", self.folder, *self.options, str(self.port)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("storescp listens", lambda: listens(self.port))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def count(self):
        return sum(1 for _ in pathlib.Path(self.folder).iterdir())


@contextlib.contextmanager
def storescp(title, *options):
    """DCMTK's storescp, bit preserving; gives its port and folder."""
    running = Storescp(title, *options)
    try:
        yield running.port, running.folder
    finally:
        running.end()
