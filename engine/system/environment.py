"""The environment variables of a request: which go to the worker, are secret or affect arithmetic.

The engine serves many requests one after the other. Each has its own variables, so that a variable that a
request does not have is absent for it, whatever the engine or the request before was started with.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from engine.errors import InputError

# Where libraries read and keep files, how they reach the network, and which devices they use.
_CARRIED = re.compile(
    r"""
    .*_PROXY | REQUEST_METHOD                                                   # urllib, requests, httpx
    | (HF|HUGGINGFACE|HUGGING_FACE|TRANSFORMERS|TIMM|SAFETENSORS)_.*
    | (DISABLE_TELEMETRY|DO_NOT_TRACK|OIDC_.*|ACTIONS_ID_TOKEN_.*|GITHUB_ACTIONS|SPACE_.*)  # huggingface_hub
    | (PYTORCH|TORCH|C10|CUDA|NVIDIA|HIP|ROCR|HSA|GPU)_.* | (OMP|KMP|GOMP)_.*
    | (NPY|NUMPY|SCIPY|SKLEARN|SCIKIT_LEARN|JOBLIB|LOKY|FSSPEC)_.*
    | XDG_(CACHE|CONFIG|DATA|STATE)_(HOME|DIRS) | HOME | TMPDIR | TEMP | TMP
    | SSL_CERT_.* | SSLKEYLOGFILE | OPENSSL_.* | (REQUESTS|CURL)_CA_.* | AWS_CA_BUNDLE | CA_BUNDLE
    | NETRC | HOSTALIASES | LOCALDOMAIN | RES_OPTIONS                           # the names of machines
    | LD_(LIBRARY_PATH|PRELOAD) | DYLD_.*                                       # which libraries compute
    """,
    re.IGNORECASE | re.VERBOSE,
)
# What may change a number: which kernels and instructions compute, and how they accumulate.
_ARITHMETIC = re.compile(
    r"""
    NVIDIA_TF32_OVERRIDE | (CUBLAS|CUBLASLT|CUDNN|CUTLASS)_.* | DISABLE_ADDMM_CUDA_LT
    | (DNNL|ONEDNN|MKLDNN|MKL|OPENBLAS|GOTO|BLIS|ATEN|FBGEMM|XNNPACK|VECLIB|ACCELERATE|ARMPL)_.*
    | (HIPBLAS|HIPBLASLT|ROCBLAS|MIOPEN)_.* | HSA_OVERRIDE_GFX_VERSION
    | TORCH_(ALLOW_TF32|BLAS|CUBLAS|CUBLASLT|CUDNN|LINALG|LINEAR|MKLDNN|ROCM_FA|DISABLE_NATIVE)_.*
    | PYTORCH_(TUNABLEOP|TENSOREXPR|MIOPEN|JIT|NVFUSER|SUM)(_.*)?
    | TIMM_(FUSED_ATTN|USE_SCIPY_INTERP|USE_NAFLEX.*|FOREACH_CHUNK_SIZE)
    | NPY_(DISABLE|ENABLE)_CPU_FEATURES | GLIBC_TUNABLES | LD_PRELOAD | JSIMD_.*
    """,
    re.VERBOSE,
)
_SAYS_ONLY = re.compile(r"VERBOSE|LOGINFO|LOGDEST|LOGERR|LOGWARN|_LOG(_|$)|_DUMP|_PROFILE|_DEBUG(_CACHE)?$")
_ON = "it makes products of float32 numbers less exact than float32"
# Variables under which FP32 is not FP32 or the same plan not the same bits: harmless values, and why.
_INEXACT: dict[str, tuple[tuple[str, ...], str]] = {
    "ONEDNN_DEFAULT_FPMATH_MODE": (("strict",), _ON),
    "DNNL_DEFAULT_FPMATH_MODE": (("strict",), _ON),
    "CUBLAS_EMULATE_SINGLE_PRECISION": (("0",), "it computes float32 from narrower numbers"),
    "CUBLAS_EMULATE_DOUBLE_PRECISION": (("0",), "it computes float64 from narrower numbers"),
    "MKL_BLAS_COMPUTE_MODE": (("standard",), _ON),
    "PYTORCH_TUNABLEOP_ENABLED": (("0",), "it chooses how to compute by timing, differently every time"),
}
_TF32 = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "HIPBLASLT_ALLOW_TF32")

_SECRET = re.compile(r"TOKEN(?!_PATH)|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE_KEY", re.IGNORECASE)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_LOGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/@\s'\"]+@")  # of an address: user and password
_FOLDERS = re.compile(r"(?<![^\s:;,=])~?/(?:[^\s:;,]*/)?")  # what precedes the last part of a path
LEAST_SECRET = 4  # characters: a shorter value looks like an ordinary word
GONE = "(secret)"


def is_carried(name: str) -> bool:
    """Return whether a variable goes with a request and leaves with it."""
    return bool(_CARRIED.fullmatch(name) or _ARITHMETIC.fullmatch(name))


def is_arithmetic(name: str) -> bool:
    """Return whether a variable may change a number."""
    return bool(_ARITHMETIC.fullmatch(name)) and not _SAYS_ONLY.search(name)


def carried(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment goes with a request; raise InputError for what is not text."""
    chosen = {name: value for name, value in variables.items() if is_carried(name)}
    for name, value in chosen.items():
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError:
            raise InputError(name, value, "this environment variable must be UTF-8") from None
    return chosen


def for_worker(requested: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a worker: this process's, with only the variables of one request."""
    rest = {name: value for name, value in os.environ.items() if not is_carried(name)}
    return {**rest, **requested}


def without_secret_variables() -> dict[str, str]:
    """Return this process's environment for an engine, which outlives the request that starts it."""
    return {name: value for name, value in os.environ.items() if not any(_secrets_of(name, value))}


def arithmetic(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that may change a number, by name; paths are cut to their last part."""
    variables = os.environ if variables is None else variables
    names = [name for name in sorted(variables) if is_arithmetic(name) and variables[name]]
    return {name: _FOLDERS.sub("", variables[name]) for name in names}


def check_exact(variables: Mapping[str, str] | None = None, *, tf32: bool = False) -> None:
    """Raise InputError for a variable under which numbers would not be what the plan says.

    `tf32` says that the plan lets GPUs round the inputs of products to TF32.
    """
    for name, value in arithmetic(variables).items():
        if name in _TF32 and value != "0" and not tf32:
            right = "float32 would be TF32; unset it, or set tf32 = true in the plan"
            raise InputError(name, value, right)
        if name == "NVIDIA_TF32_OVERRIDE" and value == "0" and tf32:
            raise InputError(
                name, value, "the plan says tf32 = true; unset it, or set tf32 = false in the plan"
            )
        if name in _INEXACT and value.lower() not in _INEXACT[name][0]:
            raise InputError(name, value, f"{_INEXACT[name][1]}; unset it")


def check_same(before: Mapping[str, str] | None, variables: Mapping[str, str] | None = None) -> None:
    """Raise InputError if variables that may change a number are not what they were; None means unknown."""
    if before is None:
        return
    now = arithmetic(variables)
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old != new:
            right = f"unset {name}" if old is None else f"set {name}={old}"
            how = "without it" if old is None else f"under {old!r}"
            raise InputError(
                name, new or "not set", f"the session was computed {how}; {right} to resume to the same bits"
            )


def secrets(variables: Mapping[str, str] | None = None) -> list[str]:
    """List what no message, log or journal may contain, the longest first."""
    variables = os.environ if variables is None else variables
    hidden = {one for name, value in variables.items() for one in _secrets_of(name, value)}
    return sorted(hidden, key=len, reverse=True)


def without_secrets(text: str, variables: Mapping[str, str] | None = None) -> str:
    """Return a text without the secrets of an environment, tokens of the hub and logins in addresses."""
    for secret in secrets(variables):
        text = text.replace(secret, GONE)
    return _LOGIN.sub(r"\1", _HUB_TOKEN.sub(GONE, text))


def without_places(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with only the last part of every folder and file that variables name."""
    home = variables.get("HOME", "")
    paths = {
        path
        for name, value in variables.items()
        if name != "HOME"
        for path in value.split(os.pathsep)
        if path.startswith("/") and path.rstrip("/") not in ("", home.rstrip("/"))
    }
    for path in sorted(paths, key=len, reverse=True):
        text = text.replace(path, Path(path).name)
    return text


def _secrets_of(name: str, value: str) -> Iterator[str]:
    """Yield what is secret in a variable, in the forms in which libraries write it."""
    if _SECRET.search(name) and len(value) >= LEAST_SECRET:
        yield value
    is_proxy = name.lower().endswith("_proxy")  # these come without a scheme too, and with odd passwords
    for login in re.findall(r"^(?:.*?://)?(\S+)@" if is_proxy else r"://([^/@\s]+)@", value):
        user, _, password = login.partition(":")
        plain = f"{unquote(user)}:{unquote(password)}"
        yield from (login, plain, base64.b64encode(plain.encode()).decode())
        yield from (one for one in {password, unquote(password)} if len(one) >= LEAST_SECRET)
        if not password and len(user) >= LEAST_SECRET:
            yield user
