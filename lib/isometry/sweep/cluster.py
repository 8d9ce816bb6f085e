"""A Dask cluster that does the jobs of a sweep."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isometry.core.extras import missing
from isometry.core.messages import refusal
from isometry.sweep.crew import Crew
from isometry.sweep.job import work

GPU = "GPU"  # what workers call their GPUs: dask worker ADDRESS --resources "GPU=1"
CONNECT_SECONDS = 20


@contextmanager
def cluster(address: str, device: str) -> Iterator[Crew]:
    """Yield the workers of a Dask cluster, which must see the store's folder.

    A job for ``cuda`` asks for one :data:`GPU`, so that no GPU has two; start workers
    that have one with ``dask worker ADDRESS --nthreads 1 --resources "GPU=1"``.

    Args:
        address: Of the scheduler, ``tcp://host:8786``.
        device: ``auto`` (a GPU if a worker has one), ``cpu`` or ``cuda``.

    Raises:
        ValueError: If ``distributed`` is missing, no scheduler answers, or no worker
            has the GPU that is asked for.
    """
    with _connected(address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        has_gpu = any(worker["resources"].get(GPU) for worker in workers)
        if device == "auto":
            device = "cuda" if has_gpu else "cpu"
        if device != "cpu" and not has_gpu:
            needed = f"workers with a GPU at {address}"
            do = f'start some with --resources "{GPU}=1", or use --device cpu'
            raise ValueError(refusal(needed, "none", do))
        resources = {GPU: 1} if device != "cpu" else {}
        executor = client.get_executor(pure=False, retries=0, resources=resources)
        places = [
            one["nthreads"] if device == "cpu" else int(one["resources"].get(GPU, 0))
            for one in workers
        ]
        # The scheduler knows best who is free, so it has all jobs at once.
        yield Crew(
            workers=max(1, sum(places)),
            size=sys.maxsize,
            device=device,
            submit=lambda place, job: executor.submit(work, job),
        )


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield a client of a Dask scheduler."""
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ValueError(missing("dask")) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        needed, reason = f"a Dask scheduler at {address}", str(error).splitlines()[0]
        raise ValueError(refusal(needed, reason, "start `dask scheduler`")) from None
    with client:
        yield client
