"""The commands that start a Dask cluster which nobody else can use."""

from ipaddress import ip_address
from pathlib import Path

from isometry.core.messages import refusal

# What scheduler and workers take, and what a client reads from its environment.
OPTIONS = {
    "--tls-ca-file": "cert.pem",
    "--tls-cert": "cert.pem",
    "--tls-key": "key.pem",
}
VARIABLES = {
    "CA_FILE": "cert.pem",
    "CLIENT__CERT": "cert.pem",
    "CLIENT__KEY": "key.pem",
}


def recipe(
    host: str = "127.0.0.1",
    port: int = 8786,
    *,
    tls: Path | None = None,
    workers: int = 1,
    gpu: bool = False,
) -> str:
    """Return the commands that start a scheduler, its workers, and a sweep on them.

    Whoever can talk to a Dask scheduler can run code on it and on its workers. So it
    listens on this machine alone, or it and all who talk to it show a certificate.

    Args:
        host: On which the scheduler listens: an address of one of its networks.
        port: Its port, 1 to 65535.
        tls: Folder of key and certificate, one pair for all; None: no encryption.
        workers: Processes of one thread on each machine that works.
        gpu: Whether each of them has a GPU.

    Raises:
        ValueError: If the scheduler would listen on every network, or to others
            without a certificate; or a number is out of range.
    """
    if not 1 <= port <= 65535:
        raise ValueError(refusal("--port from 1 to 65535", port, "change --port"))
    if workers < 1:
        raise ValueError(refusal("--workers >= 1", workers, "change --workers"))
    if host in ("0.0.0.0", "::", ""):
        needed = "the address of one network for --host"
        raise ValueError(refusal(needed, f"{host or 'none'}, all of them", "name one"))
    if tls is None and not _is_loopback(host):
        needed = f"--tls FOLDER for {host}, which other machines reach"
        do = "add it, or leave --host out and use an SSH tunnel"
        raise ValueError(refusal(needed, "none", do))
    address = f"{'tls' if tls else 'tcp'}://{host}:{port}"
    keys = "".join(f" {key}={tls / file}" for key, file in OPTIONS.items() if tls)
    resources = ' --resources "GPU=1"' if gpu else ""
    lines = []
    if tls:
        lines += [
            "# once: a key and its certificate; who has the key belongs to the cluster",
            f"mkdir -m 700 {tls}",
            "openssl req -x509 -newkey rsa:3072 -nodes -days 90 -subj /CN=isometry "
            f"-keyout {tls / 'key.pem'} -out {tls / 'cert.pem'}",
            "",
        ]
    lines += [
        "# the scheduler",
        f"dask scheduler --host {host} --port {port} --no-dashboard"
        + (" --protocol tls" if tls else "")
        + keys,
        "",
        "# on each machine that works: the same packages, and the folder of the store",
        f"dask worker {address} --nworkers {workers} --nthreads 1 --no-dashboard"
        f"{resources}{keys}",
        "",
        "# the sweep",
    ]
    lines += [
        f"export DASK_DISTRIBUTED__COMM__TLS__{name}={tls / file}"
        for name, file in VARIABLES.items()
        if tls
    ]
    return "\n".join([*lines, f"isometry sweep FILE --dask {address} --out STORE"])


def _is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
