"""The benchmark over datasets: the whole of it on small sequences in two layouts, and what its tables are made of."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import dataset_layouts as layouts
import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.testing import assert_allclose

from pipeline.accuracy.datasets import DatasetSequence, write_dataset_page
from pipeline.accuracy.settings import Run, load_benchmark
from pipeline.runtime.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "config" / "benchmark.yaml"
FRAMES = 10
NOISE = 0.1  # radians that the pose estimate in NeuMan's layout is off
LOST = 2  # frame of 3DPW whose camera was not found
DATASETS = {"neuman_bike": "neuman", "3dpw_downtown_test_00_1": "3dpw"}


@dataclass(frozen=True)
class Made:
    """A folder with two datasets, in which the target benchmark was made."""

    root: Path
    said: str

    @property
    def out(self) -> Path:
        return self.root / "results" / "benchmark" / "datasets"


def snakemake(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the repository's workflow in the folder `root`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    return subprocess.run([*command, *arguments], cwd=root, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, studio_clip) -> Made:
    """NeuMan's layout ships all; 3DPW's ships the camera alone, so that mediapipe finds masks and poses."""
    root = tmp_path_factory.mktemp("datasets")
    world = layouts.make_world(root, studio_clip.video, studio_clip.truth, FRAMES)
    layouts.write_hugs(root / "neuman", world.film, NOISE)
    layouts.write_3dpw(root / "3dpw", world.film, world.film.pose.betas - layouts.SHIFT, LOST)
    benchmark = yaml.safe_load(SHIPPED.read_text())
    benchmark["datasets"] = {"neuman": {"uniform": ["full"]}, "3dpw": {"uniform": ["full"]}}
    benchmark["datasets_page"] = "docs/real.md"
    (root / "benchmark.yaml").write_text(yaml.safe_dump(benchmark, sort_keys=False))
    config = yaml.safe_load((REPOSITORY / "config" / "datasets.yaml").read_text())
    config |= {"body_model": str(world.neutral), "benchmark": str(root / "benchmark.yaml")}
    config["datasets"] |= {"female": str(world.female), "male": str(world.male)}
    folders = dict.fromkeys(config["datasets"]["folders"])
    folders["neuman"] = {"path": "neuman", "sequences": ["bike"]}
    folders["3dpw"] = {"path": "3dpw", "sequences": ["downtown_test_00:1"]}
    config["datasets"]["folders"] = folders
    (root / "datasets.yaml").write_text(yaml.safe_dump(config))
    shutil.copy2(REPOSITORY / "tests" / "tiny.yaml", root / "tiny.yaml")
    done = snakemake(root, "benchmark", "--configfile", "tiny.yaml", "datasets.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return Made(root, done.stdout + done.stderr)


def test_the_target_fills_the_tables_with_a_row_for_each_sequence(made: Made) -> None:
    figures = pd.read_csv(made.out / "figures.csv")
    runs = [("neuman", "bike"), ("3dpw", "downtown_test_00:1")]
    assert list(dict.fromkeys(zip(figures["dataset"], figures["sequence"]))) == runs
    assert set(figures["row"]) == {"initial", "full"}
    values = figures.set_index(["dataset", "row", "metric"])["value"]
    for dataset, _ in runs:
        assert values[dataset, "full", "psnr"] > 15
        assert values[dataset, "full", "seconds"] > 0
    # NeuMan's own estimate was the start: the truth, each joint turned by NOISE about all three axes.
    assert 100 < values["neuman", "initial", "mpjpe"] < 200
    assert values["neuman", "full", "mpjpe"] < 0.8 * values["neuman", "initial", "mpjpe"]
    motion = pd.read_csv(made.out / "motion.csv").set_index(["dataset", "row", "sequence"])
    assert_allclose(motion.loc[("3dpw", "full", "mean"), "v2v_surface"], values["3dpw", "full", "v2v_surface"])
    rendering = pd.read_csv(made.out / "rendering.csv").set_index(["dataset", "row", "sequence"])
    assert_allclose(rendering.loc[("neuman", "full", "bike"), "ssim"], values["neuman", "full", "ssim"])
    assert (made.out / "figure.png").is_file()


def test_each_figure_is_that_of_the_stage_evaluate(made: Made) -> None:
    figures = pd.read_csv(made.out / "figures.csv").set_index(["dataset", "row", "metric"])["value"]
    for video, dataset in DATASETS.items():
        measured = pd.read_csv(Run(dataset, "uniform", "full", video).folder(made.out.parent) / "metrics.csv")
        assert set(measured["footage"]) == {"real video"}
        of_frames = measured[(measured["scope"] == "frame") & (measured["metric"] == "v2v")]
        assert of_frames["when"].value_counts()["refined"] == FRAMES - (dataset == "3dpw")  # LOST has no reference
        means = of_frames.groupby("when")["value"].mean()
        assert_allclose(figures[dataset, "full", "v2v_surface"], means["refined"], rtol=1e-5)
        assert_allclose(figures[dataset, "initial", "v2v_surface"], means["initial"], rtol=1e-5)
        held_out = measured[(measured["scope"] == "all") & (measured["split"] == "held-out")].set_index("metric")
        assert_allclose(figures[dataset, "full", "psnr"], held_out.loc["psnr", "value"], rtol=1e-5)


def test_the_page_says_that_it_is_real_beside_the_papers_numbers(made: Made) -> None:
    text = (made.out / "results.md").read_text()
    assert text.startswith("# Results on real data") and "**real data**" in text
    assert not re.search(r"synthetic|studio|simulated|nan\b|None|Undefined", text)
    figures = pd.read_csv(made.out / "figures.csv").set_index(["dataset", "row", "metric"])["value"]
    full, first = (f"{figures['neuman', row, 'mpjpe']:.1f}" for row in ("full", "initial"))
    table_2 = text.split("(Table 2)")[1].split("###")[1]
    assert f"| {first} |" in table_2 and f"| **{full}** |" in table_2
    assert "| Ours (paper) | 73.6 | 50.5 | 56.8 |" in table_2  # the paper's Bike
    assert re.search(r"\| 3DPW: downtown_test_00:1 \| 10 \| mediapipe .* \| camera \| .*, 9 of 10 frames \|", text)
    assert re.search(r"\| NeuMan: bike \| 10 \| NeuMan: 4D-Humans, by HUGS \| camera, depth, masks, pose \|", text)
    assert "- NeuMan: bike: its depth is relative" in text
    page = made.root / "docs" / "real.md"
    assert "](real.png)" in page.read_text() and page.with_suffix(".png").is_file()


def test_only_what_the_rows_need_was_run(made: Made) -> None:
    """No studio clip was filmed, no report made; the sequences' own folders were the start of each fit."""
    jobs = re.search(r"jobs to run: (.*)", made.said)[1]
    assert set(re.findall(r"\d+ (\w+)", jobs)) == {
        *("dataset_camera", "dataset_camera_depth_masks_pose", "masks", "landmarks", "camera_track", "pose"),
        *("benchmark_dataset_fit", "benchmark_dataset_evaluate", "benchmark_datasets", "benchmark"),
    }
    assert not (made.root / "results" / "benchmark" / "clips").exists()
    run = Run("neuman", "uniform", "full", "neuman_bike").folder(made.root / "results" / "benchmark")
    assert (run / "masks").resolve() == (made.root / "results" / "neuman_bike" / "masks").resolve()


# -- what stops it before any work ------------------------------------------------------------------------------------


def test_a_missing_dataset_says_where_to_get_it(tmp_path: Path) -> None:
    config = REPOSITORY / "config" / "datasets.yaml"
    done = snakemake(tmp_path, "--dry-run", "benchmark", "--configfile", str(config))
    said = done.stdout + done.stderr
    assert done.returncode != 0 and not (tmp_path / "results").exists()
    assert re.search(r"^data/neuman/dataset: not found; it should hold NeuMan: get it from https://", said, re.M)


def test_the_quick_part_has_no_datasets(made: Made) -> None:
    arguments = ("--dry-run", "benchmark_quick", "--configfile", "tiny.yaml", "datasets.yaml")
    done = snakemake(made.root, *arguments)
    assert done.returncode != 0 and "benchmark_quick: is of studio clips alone" in done.stdout + done.stderr


def test_a_dataset_without_rows_is_named(tmp_path: Path) -> None:
    benchmark = load_benchmark(SHIPPED)
    with pytest.raises(UserError, match=r"^mine\.yaml: section datasets: expected 'mine', .* found neuman, 3dpw"):
        benchmark.dataset_runs({"mine_a": "mine"}, Path("mine.yaml"))
    benchmark.datasets["emdb"].clear()
    with pytest.raises(UserError, match=r"^mine\.yaml: section datasets: expected rows to run on emdb, found none"):
        benchmark.dataset_runs({"emdb_a": "emdb"}, Path("mine.yaml"))
    values = yaml.safe_load(SHIPPED.read_text())
    values["datasets"]["neuman"]["uniform"] = ["fulll"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"row 'fulll' is not defined"):
        load_benchmark(tmp_path / "mine.yaml")


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_papers_tables_on_all_sequences() -> None:
    """As many rows as the shipped file names, each with a number of its own."""
    benchmark = load_benchmark(SHIPPED)
    names = {f"neuman_{name}": ("neuman", name) for name in ("bike", "citron", "lab")}
    names |= {"human36m_a": ("human36m", "a"), "zju_mocap_b": ("zju_mocap", "b")}
    runs = benchmark.dataset_runs({video: dataset for video, (dataset, _) in names.items()}, SHIPPED)
    assert len(runs) == 3 * (8 + 2 + 2) + 2 + 3
    rows = []
    for number, run in enumerate(runs):
        keys = (run.estimators, run.split, run.row, names[run.sequence][1])
        rows += [(*keys, metric, number + share) for metric, share in (("mpjpe", 0.2), ("v2v_surface", 0.4))]
        rows.append((*keys, "psnr", number + 0.55))
    for dataset, name in names.values():
        rows += [(dataset, "uniform", "initial", name, metric, 99.9) for metric in ("mpjpe", "v2v_surface")]
    table = pd.DataFrame(rows, columns=["estimators", "split", "row", "sequence", "metric", "value"])
    titles = {"neuman": "NeuMan", "human36m": "Human3.6M", "zju_mocap": "ZJU-MoCap"}
    sequences = [
        DatasetSequence(dataset, titles[dataset], name, 5, "fit", "5 of 5 frames", (), "network", ())
        for dataset, name in names.values()
    ]
    text = write_dataset_page(table, benchmark, sequences, "figure.png", [])
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    table_1, table_2, table_3, table_4 = (part for part in parts if "Table" in part.splitlines()[0])
    lines = {line.split(" | ")[0][2:]: line for line in table_1.splitlines() if line.startswith("| ")}
    assert lines["initial estimate"] == "| initial estimate |" + 3 * " 99.9 |  | 99.9 |  |"
    paper = np.mean([[77.21, 58.23, 70.82], [89.29, 52.81, 77.37], [94.83, 58.08, 75.42]], axis=0)
    means = " | ".join(f"{value:.1f}" for value in paper)
    assert lines["HMR2.0 (paper)"].startswith(f"| HMR2.0 (paper) | {means} |  | 80.6 | 41.1 |")
    assert lines["NeuHMR (HybrIK) (NeuHMR prints)"].endswith("|  |  |  |  | 74.2 |  | 86.9 |  |"), "on ZJU-MoCap alone"
    own = [cell.strip() for cell in lines["NeuHMR"].split("|")][2:-1]
    assert [bool(cell) for cell in own] == 8 * [False] + [True, False, True, False], "our own row, there too"
    assert "(NeuHMR prints)" not in table_2 + table_3 + table_4, "its sequence means are none of these sequences"
    assert table_2.count("(paper)") == 3 and "lab V2V" in table_2 and "b MPJPE" in table_2
    assert [line for line in table_3.splitlines() if line.startswith("### ")] == [
        *("### NeuMan, Uniform 80%", "### NeuMan, 20 Views", "### NeuMan, First 80%"),
        *("### Human3.6M, Uniform 80%", "### ZJU-MoCap, Uniform 80%"),
    ]
    views20 = table_3.split("20 Views")[1].split("###")[0]
    ours = next(line for line in views20.splitlines() if line.startswith("| Ours (paper)"))
    assert ours.split(" | ")[1::3] == ["23.98", "26.10", "23.87", "24.65"]  # Bike, Citron, Lab, their mean
    neuman = table_4.split("###")[1]
    assert [line.split(" | ")[0][2:] for line in neuman.splitlines() if line.startswith("| ")][3:11] == [
        *("w/o pose optimisation", "w/o depth", "learnable skinning weights", "LSW + CAMEL"),
        *("Gaussians on mesh (iHuman's)", "no constraint", "GART", "Full (CAMEL)"),
    ]
    assert "(paper)" in neuman and "(paper)" not in table_4.split("###")[2]
    assert not re.search(r"nan\b|None|Undefined", text)
