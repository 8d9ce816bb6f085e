"""What the library runs on may be used by everybody: each licence is on this list.

A package says its licence in one of three places, tried in this order: an SPDX
expression, a classifier, a free field. Not looked at are the parts of torch's CUDA
build, which torch picks and pins for the machines that have such a card, under NVIDIA's
terms; and the extras `peers`, `octax` and `integrations`, which only tests and examples
import, in environments of their own.
"""

import re
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause"),
    *("BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-CMU", "PSF-2.0", "Zlib"),
}
# Its terms hold for changes to its own files and no others: certifi and tqdm.
WEAK = {"MPL-2.0"}
ALLOWED = PERMISSIVE | WEAK
# What older metadata calls these, in a classifier or in the free field.
ALSO = {
    *("Apache 2.0", "Apache Software License", "BSD", "BSD License", "MIT License"),
    *("Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License"),
}
EXTRAS = ("bench", "dask", "plot", "rl")
CUDA = re.compile(r"(nvidia|cuda|triton)(-|$)")


def unlisted(metadata):
    """Return those licences that a package stands under and that are not allowed."""
    expression = metadata.get("License-Expression")
    if expression:
        terms = re.sub(r"[()]", " ", expression).split(" AND ")
        choices = [[one.strip() for one in term.split(" OR ")] for term in terms]
        return [" OR ".join(c) for c in choices if not ALLOWED & set(c)]
    classifiers = metadata.get_all("Classifier") or []
    named = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    named = named or re.split(" AND ", metadata.get("License") or "none named")
    return [name for name in named if name not in ALLOWED | ALSO]


def runtime():
    """Return the metadata of all that the library's extras bring, by name."""
    found, waiting = {}, [("plasticity-by-isometry", EXTRAS)]
    while waiting:
        name, extras = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, extras) in found or CUDA.match(name):
            continue
        try:
            found[name, extras] = distribution(name).metadata
        except PackageNotFoundError:  # an extra that is not installed here
            continue
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                waiting.append((needed.name, tuple(sorted(needed.extras))))
    return {name: metadata for (name, _), metadata in found.items()}


def test_all_that_the_library_runs_on_has_a_licence_of_the_list():
    packages = runtime()
    assert {"torch", "sympy", "plasticity-by-isometry"} <= set(packages)
    wrong = {name: unlisted(metadata) for name, metadata in packages.items()}
    assert {name: licences for name, licences in wrong.items() if licences} == {}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("License-Expression", "Apache-2.0 OR GPL-3.0-only", []),
        ("License-Expression", "MIT AND GPL-3.0-only", ["GPL-3.0-only"]),
        ("License-Expression", "(MIT OR ISC) AND 0BSD", []),
        ("License-Expression", "AGPL-3.0-or-later", ["AGPL-3.0-or-later"]),
        ("Classifier", "License :: OSI Approved :: BSD License", []),
        (
            "Classifier",
            "License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            ["GNU General Public License v3 (GPLv3)"],
        ),
        ("License", "MPL-2.0 AND MIT", []),
        ("License", "GPL", ["GPL"]),
        ("Name", "silent", ["none named"]),
    ],
)
def test_a_licence_is_read_wherever_it_stands(field, value, expected):
    metadata = Message()
    metadata[field] = value
    assert unlisted(metadata) == expected


def test_a_classifier_goes_before_the_free_field_and_an_expression_before_both():
    metadata = Message()
    metadata["License"] = "GPL"
    metadata["Classifier"] = "License :: OSI Approved :: MIT License"
    assert unlisted(metadata) == []
    metadata["License-Expression"] = "AGPL-3.0-only"
    assert unlisted(metadata) == ["AGPL-3.0-only"]
