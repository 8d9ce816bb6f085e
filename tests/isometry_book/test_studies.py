import pandas as pd
import pytest

from isometry.core.profile import PROFILES, ByProfile
from isometry.lab.store import TIDY, load_records, load_results
from isometry_book import studies
from isometry_book.study import Study


def _rows(sizes, data):
    rows = [("made_up", data, seed, 0, "double", 2.0 * seed) for seed in range(sizes)]
    return pd.DataFrame(rows, columns=TIDY)


@pytest.fixture
def made_up():
    study = Study(
        name="made_up", sizes=ByProfile(smoke=1, laptop=2, paper=3), run=_rows
    )
    studies.STUDIES.register("made_up", study)
    yield study
    studies.STUDIES.remove("made_up")


def test_a_study_is_run_at_the_sizes_of_its_profile(made_up):
    assert [len(made_up.at(p, "digits")) for p in PROFILES] == [1, 2, 3]
    assert made_up.at("paper", "digits")["value"].tolist() == [0.0, 2.0, 4.0]


def test_the_numbers_of_a_study_are_stored_with_how_they_were_made(made_up, tmp_path):
    [file] = studies.run_study("made_up", "laptop", "digits", tmp_path)
    assert file.parent.name == "made_up"
    assert load_results(tmp_path)["value"].tolist() == [0.0, 2.0]
    [record] = load_records(tmp_path)
    settings = {"study": "made_up", "profile": "laptop", "data": "digits"}
    assert record["settings"] == settings
    assert record["runs"][0]["seeds"] == [0, 1]


@pytest.mark.parametrize("study", list(studies.STUDIES), ids=lambda one: one.name)
def test_every_study_has_its_name_and_a_size_for_every_profile(study):
    assert studies.STUDIES.get(study.name) is study
    with pytest.raises(ValueError, match="needed a profile of smoke, laptop, paper"):
        study.at("huge", "digits")


def test_an_unknown_study_is_refused_with_the_nearest_one():
    with pytest.raises(KeyError, match="did you mean 'kernel'"):
        studies.run_study("kernels")
