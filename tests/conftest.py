"""What tests share: one thread, no network, plots without a screen and in the notebooks' style, the embedded model."""

import os

# Before torch is loaded, and for the processes that tests start: several run at once, on models too small for threads.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from valuestab_utils.models.embedded import EMBEDDED_NAME
from valuestab_utils.paths import MODELS, ROOT

matplotlib.use("Agg")


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: no process shall wait for one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """What tests write need not outlive the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def rng():
    """The same random numbers in each test, whichever ran before."""
    return np.random.default_rng(0)


@pytest.fixture
def notebook_style():
    with matplotlib.rc_context(fname=ROOT / "notebooks" / "matplotlibrc"):
        yield
        plt.close("all")


@pytest.fixture(scope="session")
def embedded_folder():
    folder = MODELS / EMBEDDED_NAME
    if not (folder / "model.json").exists():
        pytest.skip("the embedded model is not there: `make model` fetches it")
    return folder


@pytest.fixture(scope="session")
def embedded(embedded_folder):
    """The embedded model, loaded once."""
    from valuestab_utils.models.loading import load_model  # which loads torch

    return load_model(EMBEDDED_NAME)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """What `fakes.write_results` writes, to be read only."""
    from fakes import write_results

    return write_results(tmp_path_factory.mktemp("results"))
