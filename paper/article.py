"""The article for ReScience C: ``python paper/article.py`` writes it.

``article.md`` and ``metadata.yaml`` are made of their templates, the ledger of claims
and the stored results; nothing that was measured is typed. Sentences that say more than
a number stand behind a check. With ``pdf``, Chromium prints it to ``_build``.
"""

import re
import subprocess
import sys
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book"))

from press import repository  # noqa: E402
from press.plain import address_of, citation  # noqa: E402
from press.site import QUIET_BROWSER, chromium  # noqa: E402

from isometry.adamo import relaxation_steps  # noqa: E402
from isometry.core.statistics import spelled_interval  # noqa: E402
from isometry.lab.comparison import METRIC  # noqa: E402
from isometry.lab.report import seed_scores  # noqa: E402
from isometry.lab.store import load_records, load_results  # noqa: E402
from isometry.methods import METHODS  # noqa: E402
from isometry_book.c6_benchmark.streams_tables import (  # noqa: E402
    beside_level,
    loaded_streams,
    numbers,
)
from isometry_book.claims.claim import OUTCOMES, Verdict, get  # noqa: E402
from isometry_book.claims.verdicts import judge_all  # noqa: E402
from isometry_book.evidence.streams import gate_of  # noqa: E402
from isometry_book.interventions.layers import answers  # noqa: E402
from isometry_book.interventions.report import share_returned  # noqa: E402
from isometry_book.style import method_label, worded  # noqa: E402

HERE = Path(__file__).parent
RESULTS = ROOT / "results"
FIFTH = "permuted_cifar10 cnn"
STREAM, SECOND = "permuted_mnist", "permuted_cifar10"
THIRD, FOURTH = "label_shuffled_cifar100", "random_label_cifar10"
SHOWN = (
    *("adamo", "newton_schulz", "spectral", "l2_init", "redo", "nap", "fresh", "adam"),
    *("adamo_maxmin", "maxmin"),
)
SIGNS = {"reproduced": "✓", "partly": "◐", "not reproduced": "✗", "undecided": "?"}
CITED = (
    *("rosseau2026preserving", "kumar2023maintaining", "lyle2024normalization"),
    *("sokar2023dormant", "dohare2024loss", "anil2019sorting", "saxe2014exact"),
    *("jacot2018neural", "kingma2015adam", "agarwal2021deep", "han2026fire"),
    *("young2019minatar", "radji2025octax"),
)
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>{look}</style>{body}</html>"""


class Facts:
    """What the results say, each number computed once."""

    def __init__(self, results: Path = RESULTS) -> None:
        """Judge all claims.

        Args:
            results: The store.
        """
        self.results = results
        self.verdicts: dict[str, Verdict] = judge_all(results)
        self.count = Counter(one.verdict for one in self.verdicts.values())
        streams = loaded_streams(results)
        self.stream = streams[STREAM]
        self.level = numbers(self.stream, "level")
        self.slope = numbers(self.stream, "slope")
        self.second_level = numbers(streams[SECOND], "level")
        self.second_slope = numbers(streams[SECOND], "slope")
        self.third_level = numbers(streams[THIRD], "level")
        self.fourth_level = numbers(streams[FOURTH], "level")
        self.fourth_slope = numbers(streams[FOURTH], "slope")
        self.fifth_level = numbers(streams[FIFTH], "level")
        self.fifth_early = gate_of(streams[FIFTH])
        self.streams = len(streams)
        self.widest = max(
            run["settings"]["width"]
            for one in streams.values()
            for run in one.runs.values()
        )
        self.third = beside_level(streams[THIRD], streams[THIRD].runs)
        adam = streams[THIRD].numbers(streams[THIRD].runs["adam"])
        first, last = (seed_scores(adam, METRIC, part) for part in ("first", "last"))
        self.third_share = 1 - last.mean() / first.mean()
        forks = load_results(results / "interventions_permuted_cifar10")
        age = int(forks["task"].max())
        self.back = share_returned(forks, "spectrum_optimizer", age)
        parts = {
            name: load_results(results / f"layers_{name}")
            for name in (STREAM, SECOND, THIRD)
        }
        self.layers = {name: answers(frame) for name, frame in parts.items()}
        age = int(parts[THIRD]["task"].max())
        self.third_back = share_returned(parts[THIRD], "spectrum_optimizer", age)

    def check(self) -> None:
        """Hold the sentences of the article that say more than a number.

        Raises:
            ValueError: For one that is not so; then the template must change.
        """
        level, slope = self.level, self.slope
        ours = level.loc["adamo"]
        rivals = level.drop(["adamo", "adamo_maxmin", "maxmin"], errors="ignore")
        kernel = self.verdicts["anisotropy"].reason
        loss = self.second_slope.loc["adam"]
        said = {
            "Adam loses": slope.loc["adam", "high"] < 0,
            "AdamO loses nothing": slope.loc["adamo", "low"] > -0.005,
            "AdamO stands above every rival": ours["low"] > rivals["high"].max(),
            "AdamO has the highest level": ours["mean"] == level["mean"].max(),
            "Adam loses little on Permuted CIFAR-10": loss["high"] < 0
            and loss["low"] > slope.loc["adam", "mean"] / 2,
            "AdamO is first there": self.second_level.index[0] == "adamo",
            "MaxMin is far above AdamO with shuffled labels": self.third_level.loc[
                "maxmin", "low"
            ]
            > 2 * self.third_level.loc["adamo", "high"],
            "Adam loses two thirds there": 0.62 < self.third_share < 0.72,
            "decay of the head is far above MaxMin": self.third_level.loc[
                "head_decay", "low"
            ]
            > 1.5 * self.third_level.loc["maxmin", "high"],
            "the best are far from isometry and awake": self.third["Gram deviation"][
                :4
            ].min()
            > 30
            and self.third["dormant"][:4].max() < 0.05,
            "so it does with shuffled labels": self.third_back is not None
            and self.third_back.low > 0.5,
            "it is the hidden layers, and not the head": all(
                one["hidden_optimizer"][0] == "yes" and one["head_optimizer"][0] == "no"
                for one in self.layers.values()
            ),
            "it falls far among convolutions": self.fifth_early.early.high < -0.3,
            "MaxMin stands far above all there": self.fifth_level.loc[
                ["maxmin", "adamo_maxmin"], "low"
            ].min()
            > self.fifth_level.drop(["maxmin", "adamo_maxmin"])["high"].max() + 0.05,
            "five streams, at most 128 wide": (self.streams, self.widest) == (5, 128),
            "Adam loses on random labels": self.fourth_slope.loc["adam", "high"] < 0,
            "AdamO is above its rivals there by a little": 0
            < self.fourth_level.loc["adamo", "low"]
            - self.fourth_level.drop(["adamo", "adamo_maxmin"], errors="ignore")[
                "high"
            ].max()
            < 0.01,
            "the penalty in the loss stands below it, twice, by little": all(
                0 < one.loc["adamo", "low"] - one.loc["adam_isometry", "high"] < 0.01
                for one in (level, self.fourth_level)
            ),
            "more than half comes back": self.back is not None
            and self.back.estimate > 0.5,
            "over methods the kernel goes with plasticity": "methods -0.9" in kernel,
        }
        assumed = {
            "anisotropy": "not reproduced",
            "mechanism": "partly",
            "literal-box": "reproduced",
            "bench-permuted-mnist": "reproduced",
            "bench-permuted-cifar10": "reproduced",
            "bench-label-shuffled": "partly",
            "bench-random-label": "reproduced",
            "decoupling": "reproduced",
            "plasticity-kept": "reproduced",
            "cause": "not reproduced",
            "cost-time": "reproduced",
            "rl-minatar": "not tested",
        }
        for key, outcome in assumed.items():
            said[f"{key} is {outcome}"] = self.verdicts[key].verdict == outcome
        wrong = [sentence for sentence, holds in said.items() if not holds]
        if wrong:
            raise ValueError(f"the article says what is not so: {'; '.join(wrong)}")


def interval(row: object) -> str:
    """Return a mean with its interval."""
    return "{mean:+z.3f} [{low:+z.3f}, {high:+z.3f}]".format(**dict(row))  # type: ignore


def tables(facts: Facts) -> dict[str, str]:
    """Return the table of claims and that of levels, as Markdown."""
    lines = ["| claim | where in the paper | verdict |", "|---|---|---|"]
    for key, found in facts.verdicts.items():
        one = get(key)
        where = one.source.replace("arXiv 2606.09762, ", "")
        where = where.replace("as a reader of the full text reports it", "reported")
        sign = SIGNS.get(found.verdict, "○")
        lines.append(f"| {one.title} | {where} | {sign} {found.verdict} |")
    levels = ["| method | online accuracy | change |", "|---|---|---|"]
    for method in SHOWN:
        if method in facts.level.index:
            row = facts.level.loc[method]
            level = spelled_interval(row["mean"], row["low"], row["high"])
            change = interval(facts.slope.loc[method])
            levels.append(f"| {method_label(method)} | {level} | {change} |")
    return {"table": "\n".join(lines), "levels": "\n".join(levels)}


def references() -> str:
    """Return the list of works, with links."""
    entries = parse_file(ROOT / "book" / "references.bib").entries
    lines = []
    for key in CITED:
        entry, plain = entries[key], re.compile(r"[{}]")
        title = plain.sub("", entry.fields["title"])
        who = re.sub(r"\]\(.*\)$", "", citation(entry)).lstrip("[")
        lines.append(f"* {who}. *{title}.* <{address_of(entry)}>")
    return "\n".join(lines)


@cache
def values() -> dict[str, str]:
    """Return what the templates name, from the results."""
    facts = Facts()
    facts.check()
    count = {outcome: str(facts.count[outcome]) for outcome in OUTCOMES}
    total = str(len(facts.verdicts))
    cff = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = date.fromisoformat(re.search(r"date-released: (\S+)", cff)[1])  # type: ignore
    cheap = re.search(
        r"takes ([\d.]+ to [\d.]+) times", facts.verdicts["cost-time"].reason
    )
    return {
        "authors": re.search(r"- name: (.+)", cff)[1],  # type: ignore
        "date": f"{released:%-d %B %Y}",
        "total": total,
        "ours": str(sum(get(key).source.startswith("ours") for key in facts.verdicts)),
        "methods": str(len(METHODS.names())),
        "loss": "{:.3f} of its online accuracy".format(
            -facts.slope.loc["adam", "mean"]
        ),
        "relaxation": f"{relaxation_steps(1e-3, 1e-4):,.0f}",
        "cheap": f"{cheap[1]} times" if cheap else "little more",
        "runs": f"{len(load_records(RESULTS)):,}",
        "references": references(),
        "repository": repository(),
        **tables(facts),
        **{f"count:{name}": number for name, number in count.items()},
        **{
            f"{part}:{key}": worded(getattr(found, part))
            for key, found in facts.verdicts.items()
            for part in ("verdict", "reason", "gap")
        },
    }


def filled(template: str) -> str:
    """Return a template with its values; KeyError for a name that is none."""
    abstract = (HERE / "abstract.template.txt").read_text(encoding="utf-8").strip()
    text = template.replace("{{abstract}}", abstract)
    text = re.sub(r"\{\{(.+?)\}\}", lambda found: values()[found[1]], text)
    return re.sub(r" +$", "", text, flags=re.M)


def made() -> dict[Path, str]:
    """Return what is written, by file."""
    files = ("article.md", "metadata.yaml")
    templates = [HERE / name.replace(".", ".template.") for name in files]
    return {
        HERE / name: filled(template.read_text(encoding="utf-8"))
        for name, template in zip(files, templates, strict=True)
    }


def pdf(output: Path) -> None:
    """Print the article.

    Raises:
        FileNotFoundError: If there is no Chromium.
    """
    browser = chromium()
    if browser is None:
        raise FileNotFoundError("needed Chromium; install it, or name it in $CHROMIUM")
    text = (HERE / "article.md").read_text(encoding="utf-8")
    title = text.splitlines()[0].removeprefix("# ")
    look = (HERE / "article.css").read_text(encoding="utf-8")
    body = MarkdownIt().enable("table").render(text)
    page = output.with_suffix(".html")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(PAGE.format(title=title, look=look, body=body), encoding="utf-8")
    printed = ["--no-pdf-header-footer", f"--print-to-pdf={output}", page.as_uri()]
    subprocess.run(
        [browser, *QUIET_BROWSER, *printed],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=300,
    )
    print(output)


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")
    if "pdf" in sys.argv[1:]:
        pdf(ROOT / "_build" / "article.pdf")
