"""A Dask cluster that does the jobs of a sweep.

Nothing is believed of it: each worker says with which code and packages it works, and
one that works with others is refused by its name; who is waited for is said, and no
wait is without end. A store is whole at any moment, so that after a refusal the same
command goes on.
"""

import socket
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from isometry.core.extras import missing
from isometry.core.machine import code_digest, versions
from isometry.core.messages import Notice, refusal
from isometry.sweep.crew import Crew, LostCrewError
from isometry.sweep.job import Job, work

GPU = "GPU"  # what workers call their GPUs: dask worker ADDRESS --resources "GPU=1"
CONNECT_SECONDS = 20.0  # until a scheduler has answered
WORKER_SECONDS = 120.0  # until it has its first worker
WORKERLESS_SECONDS = 900.0  # that a sweep waits for a new worker when none is left
LOOK_SECONDS = 5.0  # between looks at the workers
ANSWER_SECONDS = 30.0  # until a worker has said what it works with
# Jobs that the scheduler has at a time: enough for its workers, and its time a job does
# not grow with the sweep (0.3 ms with 500 jobs, 1.8 ms with 8,000).
WINDOW = 1000
GO_ON = "then the same command goes on"
START = "start some with `dask worker {} --nthreads 1`, " + GO_ON
HOW = "see `isometry cluster`"


@contextmanager
def cluster(address: str, device: str) -> Iterator[Crew]:
    """Yield the workers of a Dask cluster, which must see the store's folder.

    A job for ``cuda`` asks for one :data:`GPU`, so that no GPU has two; start workers
    that have one with ``dask worker ADDRESS --nthreads 1 --resources "GPU=1"``.

    Args:
        address: Of the scheduler, ``tcp://host:8786`` or ``tls://host:8786``.
        device: ``auto`` (a GPU if a worker has one), ``cpu`` or ``cuda``.

    Raises:
        ValueError: If ``distributed`` is missing, no scheduler or no worker answers, a
            worker has other code or packages, or none has the GPU that is asked for.
        LostCrewError: From the crew, if scheduler or workers go away.
    """
    with _connected(address) as client:
        workers = _workers(client, address)
        has_gpu = any(worker["resources"].get(GPU) for worker in workers.values())
        if device == "auto":
            device = "cuda" if has_gpu else "cpu"
        if device != "cpu" and not has_gpu:
            needed = f"workers with a GPU at {address}"
            do = f'start some with --resources "{GPU}=1", or use --device cpu'
            raise ValueError(refusal(needed, "none", do))
        _check_workers(client, list(workers))
        resources = {GPU: 1} if device != "cpu" else {}
        executor = client.get_executor(pure=False, retries=0, resources=resources)
        look, wanted = _watch(client, address), signature()

        def submit(place: int, job: Job) -> Future[float]:
            try:
                return executor.submit(_checked, job, wanted)
            except Exception:
                look(True)  # says what the client's own error does not
                raise

        places = [
            one["nthreads"] if device == "cpu" else int(one["resources"].get(GPU, 0))
            for one in workers.values()
        ]
        yield Crew(
            workers=max(1, sum(places)),
            size=WINDOW,
            device=device,
            submit=submit,
            look=look,
        )


def signature() -> dict[str, str]:
    """Return what numbers depend on: this package's code, and the packages."""
    return {"code": code_digest(), **versions()}


def _differing(found: dict[str, str], wanted: dict[str, str], worker: str) -> str:
    """Return the refusal of a worker, or nothing if it works with the same."""
    keys = [key for key in wanted if found.get(key) != wanted[key]]
    words = ", ".join(
        f"{key} {found.get(key)} instead of {wanted[key]}" for key in keys
    )
    needed = f"the same code and packages on worker {worker} as here"
    return refusal(needed, words, f"install the same there, {GO_ON}") if keys else ""


def _checked(job: Job, wanted: dict[str, str]) -> float:
    """Do a job on a worker, if it works with what the client works with."""
    from distributed import get_worker

    differing = _differing(signature(), wanted, get_worker().address)
    if differing:
        raise LostCrewError(differing)
    return work(job)


def _check_workers(client: Any, addresses: list[str]) -> None:
    """Refuse workers of other code; who is busy is asked with its first job."""
    from distributed import wait

    asked = {
        address: client.submit(signature, pure=False, workers=[address])
        for address in addresses
    }
    with client.as_current(), suppress(TimeoutError):
        wait(list(asked.values()), timeout=ANSWER_SECONDS)
    wanted = signature()
    for address, future in asked.items():
        if future.status == "error":  # its code is so old that it cannot say
            found = {"code": f"without a name ({future.exception()})"}
        elif future.status == "finished":
            found = future.result()
        else:
            continue
        differing = _differing(found, wanted, address)
        if differing:
            raise ValueError(differing)


def _workers(client: Any, address: str) -> dict[str, Any]:
    """Return the workers of a scheduler, by address, once it has one."""
    began, said = time.monotonic(), False
    while not (found := client.scheduler_info(n_workers=-1)["workers"]):
        if time.monotonic() - began > WORKER_SECONDS:
            needed = f"a worker at {address} within {WORKER_SECONDS:g} s"
            raise ValueError(refusal(needed, "none", START.format(address)))
        if not said:
            line = f"waiting up to {WORKER_SECONDS:g} s for a worker at {address}"
            warnings.warn(line, Notice, stacklevel=2)
        said = True
        time.sleep(0.2)
    return found


def _watch(client: Any, address: str) -> Callable[[bool], None]:
    """Return a function that raises when scheduler or workers are gone for good."""
    began = time.monotonic()
    seen = {"scheduler": began, "worker": began, "asked": began}

    def look(broken: bool) -> None:
        now = time.monotonic()
        running = client.status == "running" and not broken
        if running:
            seen["scheduler"] = now
        if now - seen["scheduler"] > (0 if broken else CONNECT_SECONDS):
            needed = f"the Dask scheduler at {address} as long as the sweep lasts"
            raise LostCrewError(refusal(needed, "it gone", f"start it again, {GO_ON}"))
        if not running or now - seen["asked"] < LOOK_SECONDS:
            return
        seen["asked"] = now
        if client.scheduler_info(n_workers=-1)["workers"]:
            seen["worker"] = now
        elif now - seen["worker"] > WORKERLESS_SECONDS:
            needed = f"a worker at {address} at least every {WORKERLESS_SECONDS:g} s"
            raise LostCrewError(refusal(needed, "none", START.format(address)))
        else:
            line = f"no worker is left at {address}; waiting up to "
            warnings.warn(f"{line}{WORKERLESS_SECONDS:g} s for one", Notice, 2)

    return look


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield a client of a Dask scheduler."""
    try:
        from distributed import Client
        from distributed.security import Security
    except ModuleNotFoundError:
        raise ValueError(missing("dask")) from None
    security = Security() if address.startswith("tls://") else None
    if security and security.get_connection_args("client")["ssl_context"] is None:
        needed = f"a certificate for {address}"
        do = "set DASK_DISTRIBUTED__COMM__TLS__CA_FILE and those beside it; " + HOW
        raise ValueError(refusal(needed, "none in Dask's settings", do))
    try:
        if address.startswith("tcp://"):
            _answering(address)
        client = Client(
            address, timeout=CONNECT_SECONDS, set_as_default=False, security=security
        )
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        needed = f"a Dask scheduler at {address}"
        raise ValueError(refusal(needed, reason, f"start one; {HOW}")) from None
    with client:
        yield client


def _answering(address: str) -> None:
    """Refuse a port that says nothing: a scheduler speaks first."""
    from distributed.comm import get_address_host_port

    host, port = get_address_host_port(address)
    with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as opened:
        try:
            said = opened.recv(1)
        except TimeoutError:
            said = b""
    if not said:
        raise ValueError(f"a port that says nothing in {CONNECT_SECONDS:g} s")
