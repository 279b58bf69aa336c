"""Every request has its own environment: what goes with it, what is secret and what moves arithmetic."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine import report
from engine.errors import EngineError, InputError
from engine.plan.resources import Resources, own_environment
from engine.protocol.events import SessionClosed, WorkerStarted
from engine.service import client, request
from engine.session import store
from engine.session.layout import JOURNAL
from engine.session.session import Session
from engine.system import environment, paths
from tests.running import CPU, follow, small_plan, sweep

READ = re.compile(r"(?:environ(?:\.get)?[\[(]|getenv\()\s*[\"']([A-Za-z_0-9]+)[\"']")
TOKEN, PASSWORD = "hf_topSecretTokenOfSomebody", "pr0xy-p4ss/w0rd"
# Variables that these packages read of other things: where they run, how they talk, what serves pages.
OF_ELSEWHERE = {
    "CLAUDE_CONFIG_DIR",
    "EAGER_IMPORT",
    "NO_COLOR",
    "OAUTH_CLIENT_ID",
    "OAUTH_CLIENT_SECRET",
    "OAUTH_SCOPES",
    "OPENID_PROVIDER_URL",
    "SHELL",
    "TQDM_POSITION",
    "VERTEX_PRODUCT",
    "WEBHOOK_SECRET",
    "FORK_LAST3",
    "LOCAL_RANK",
    "RANK",
    "WORLD_SIZE",
    "SLURM_NTASKS",
}


@pytest.mark.parametrize("package", ["huggingface_hub", "timm"])
def test_every_variable_that_a_library_reads_goes_with_the_request(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    source = "\n".join(path.read_text() for path in Path(spec.origin).parent.rglob("*.py"))
    read = {name for name in READ.findall(source) if not name.endswith("_SIZE")}
    assert len(read) > 10
    assert not {name for name in read - OF_ELSEWHERE if not environment.is_carried(name)}


@pytest.mark.parametrize(
    "name",
    [
        *("HTTP_PROXY", "https_proxy", "ALL_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "HOME", "XDG_CACHE_HOME", "TORCH_HOME"),
        *(
            "HF_TOKEN",
            "HUGGING_FACE_HUB_TOKEN",
            "HF_XET_CACHE",
            "HF_HUB_DOWNLOAD_TIMEOUT",
            "CUDA_VISIBLE_DEVICES",
        ),
    ],
)
def test_where_and_through_what_is_fetched_goes_with_the_request(name: str) -> None:
    assert environment.is_carried(name) and not environment.is_arithmetic(name)


@pytest.mark.parametrize(
    "name", ["PATH", "TERM", "PWD", "LANG", "SSH_CONNECTION", "QOOD_RUNTIME", "XDG_SESSION_ID"]
)
def test_what_differs_between_terminals_alone_leaves_the_worker_warm(name: str) -> None:
    assert not environment.is_carried(name)


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        *((name, True) for name in ("NVIDIA_TF32_OVERRIDE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")),
        *((name, True) for name in ("CUBLAS_WORKSPACE_CONFIG", "MKL_CBWR", "OPENBLAS_CORETYPE")),
        *((name, True) for name in ("ATEN_CPU_CAPABILITY", "TORCH_CUDNN_V8_API_DISABLED", "TIMM_FUSED_ATTN")),
        *((name, False) for name in ("PYTORCH_CUDA_ALLOC_CONF", "ONEDNN_VERBOSE", "CUBLAS_LOGINFO_DBG")),
        *((name, False) for name in ("MKL_VERBOSE", "TORCH_HOME", "OMP_NUM_THREADS", "TORCH_LOGS")),
    ],
)
def test_variables_that_move_arithmetic_are_told_from_others(name: str, moves: bool) -> None:
    assert environment.is_arithmetic(name) == moves and environment.is_carried(name)


@pytest.mark.parametrize(
    ("given", "tf32", "refused"),
    [
        ({"NVIDIA_TF32_OVERRIDE": "1"}, False, True),
        ({"NVIDIA_TF32_OVERRIDE": "1"}, True, False),
        ({"NVIDIA_TF32_OVERRIDE": "0"}, False, False),
        ({"NVIDIA_TF32_OVERRIDE": "0"}, True, True),
        ({"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}, False, True),
        ({"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, False, True),
        ({"ONEDNN_DEFAULT_FPMATH_MODE": "any"}, True, True),
        ({"DNNL_DEFAULT_FPMATH_MODE": "STRICT"}, False, False),
        ({"CUBLAS_EMULATE_SINGLE_PRECISION": "1"}, False, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}, False, False),
        ({"NVIDIA_TF32_OVERRIDE": ""}, False, False),
    ],
)
def test_what_breaks_exactness_is_refused_by_name(given: dict[str, str], tf32: bool, refused: bool) -> None:
    if not refused:
        environment.check_exact(given, tf32=tf32)
        return
    with pytest.raises(InputError) as error:
        environment.check_exact(given, tf32=tf32)
    assert next(iter(given)) in str(error.value) and "unset it" in str(error.value)


def test_what_is_journaled_of_arithmetic_has_no_path() -> None:
    given = {
        "LD_PRELOAD": "/home/somebody/lib/libmkl.so:/opt/x.so /one.so",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "MKL_CBWR": "",
    }
    assert environment.arithmetic(given) == {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "LD_PRELOAD": "libmkl.so:x.so one.so",
    }


def test_secrets_are_taken_out_in_every_form_in_which_they_are_written() -> None:
    variables = {
        "HF_TOKEN": TOKEN,
        "https_proxy": "http://user:p%40ss%2Fword@proxy.example:3128",
        "ALL_PROXY": "other:hidden-word@proxy.example:1080",
        "HF_ENDPOINT": "https://mirror.example",
        "HF_TOKEN_PATH": "/where/token",
    }
    said = (
        f"{TOKEN} p%40ss%2Fword p@ss/word dXNlcjpwQHNzL3dvcmQ= hidden-word hf_{'a' * 30} "
        "http://x:y@h/ https://mirror.example /where/token"
    )
    told = environment.without_secrets(said, variables)
    gone = environment.GONE
    assert told == f"{gone} {gone} {gone} {gone} {gone} {gone} http://h/ https://mirror.example /where/token"
    assert environment.without_secrets("an info of 1 word", {"HF_TOKEN": "1"}) == "an info of 1 word"


def test_a_variable_that_is_no_text_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="HF_HOME"):
        environment.carried({"HF_HOME": os.fsdecode(b"/x\xff")})


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of an engine of its own, started with variables that no request of it has."""
    for name in own_environment():
        if name.startswith("HF_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QOOD_RUNTIME", str(tmp_path / "run"))
    monkeypatch.setenv("QOOD_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with monkeypatch.context() as first:
        first.setenv("HF_ENDPOINT", "http://of.the.engine")
        first.setenv("HF_TOKEN", TOKEN)
        first.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:9")
        client.ensure()
    yield tmp_path
    client.stop()


def variables_of(process: int) -> dict[str, str]:
    return psutil.Process(process).environ()


def worker_of(engine: int) -> int:
    (worker,) = (
        child.pid for child in psutil.Process(engine).children() if "engine.sweep.worker" in child.cmdline()
    )
    return worker


def test_variables_come_with_a_request_and_leave_with_it(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = client.ensure().process
    client.warm()
    there = variables_of(worker_of(process))
    assert "HF_ENDPOINT" not in there and "HF_TOKEN" not in there and "HTTPS_PROXY" not in there
    assert TOKEN not in str(variables_of(process)) and PASSWORD not in str(variables_of(process))
    with monkeypatch.context() as asks:
        asks.setenv("HF_ENDPOINT", "http://of.the.request")
        asks.setenv("HF_TOKEN", TOKEN)
        client.warm()
        there = variables_of(worker_of(process))
        assert there["HF_ENDPOINT"] == "http://of.the.request" and there["HF_TOKEN"] == TOKEN
    client.warm()
    there = variables_of(worker_of(process))
    assert "HF_ENDPOINT" not in there and "HF_TOKEN" not in there


def test_no_secret_of_a_request_is_kept_anywhere_and_the_cache_is_the_requests(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_DEBUG", "1")  # the hub's library then logs what it sends
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD.replace('/', '%2F')}@127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_CACHE", str(engine / "hub-of-mine"))
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    plan = small_plan(models=("vit_tiny_patch16_224.augreg_in21k_ft_in1k",), bits=("FP32",))
    session = store.create(plan, ())
    client.start(session, CPU)
    closed = follow(session)[-1].event
    assert isinstance(closed, SessionClosed) and closed.outcome == "refused"
    assert "hub-of-mine" in closed.reason
    client.stop()
    kept = [path for path in (*engine.rglob("*"), *session.rglob("*")) if path.is_file()]
    assert any(path.name == "worker.log" for path in kept)
    assert any(path.parent.name == "resources" for path in kept)
    for path in kept:
        content = path.read_bytes()
        assert TOKEN.encode() not in content and b"p4ss" not in content, path


def test_arithmetic_is_in_the_journal_and_another_one_does_not_resume(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    plan = small_plan(models=("vit-narrow",), bits=("FP32",))
    session = sweep(plan)
    (started,) = (e.event for e in Session.at(session).entries if isinstance(e.event, WorkerStarted))
    assert started.arithmetic is not None and started.arithmetic["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in report.render(report.document(Session.at(session), quick=True), "md")
    path = session / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if b"chunk.finished" in line)
    path.write_bytes(b"".join(lines[: first + 1]))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    with pytest.raises(InputError, match="set ONEDNN_MAX_CPU_ISA=AVX2"):
        request.prepare(resume=str(session), resources=Resources())
    with pytest.raises(EngineError, match="ONEDNN_MAX_CPU_ISA"):
        client.start(session, CPU)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    request.prepare(resume=str(session), resources=Resources())
    client.start(session, CPU)
    last = follow(session)[-1].event
    assert isinstance(last, SessionClosed) and last.outcome == "finished"


def test_an_inexact_environment_is_refused_before_a_session_exists(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    there = store.folders()
    with pytest.raises(InputError, match="NVIDIA_TF32_OVERRIDE"):
        request.prepare(preset_name="demo", resources=CPU)
    assert store.folders() == there
    session = store.create(small_plan(), ())
    with pytest.raises(EngineError, match="NVIDIA_TF32_OVERRIDE"):
        client.start(session, CPU)
    assert not paths.resources_file(Session.at(session).header.id).exists()
