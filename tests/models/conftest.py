"""The paper preset's estimators with their real code and random weights, on the studio's tiny clip.

Run by `make test-models`, which installs the packages. The networks are as small as their code allows.
"""

import importlib.util
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torchvision_on_cpu import declare_operators

from pipeline import weights
from pipeline.__main__ import main
from pipeline.estimators.networks import import_package

PACKAGES = ("torchvision", "sam2", "unidepth", "hmr2", "smplx", "timm")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
SIZE = 256  # of SAM 2's images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if MISSING and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"make test-models installs {', '.join(MISSING)}"))


@pytest.fixture(scope="session", autouse=True)
def light_packages():
    """torchvision that can be imported, and a backbone of HMR2.0 with 1 of its 32 layers: 0.27 GB, not 2.7."""
    declare_operators()
    torch.manual_seed(0)
    backbones = import_package("hmr2", "hmr2.models", unused=("pyrender",)).hmr2
    full = backbones.create_backbone

    def shallow(config):
        from hmr2.models.backbones.vit import ViT

        return ViT(
            img_size=(256, 192), patch_size=16, embed_dim=1280, depth=1, num_heads=16, ratio=1, use_checkpoint=False,
            mlp_ratio=4, qkv_bias=True, drop_path_rate=0.0,
        )  # fmt: skip

    backbones.create_backbone = shallow
    yield
    backbones.create_backbone = full


@pytest.fixture(scope="session")
def sam2_checkpoint(light_packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = import_package("sam2", "sam2.build_sam")
    model = build.build_sam2(
        "configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu", hydra_overrides_extra=[f"++model.image_size={SIZE}"]
    )
    path = tmp_path_factory.mktemp("sam2") / "random.pt"  # the name of published weights would ask for those
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def unidepth_folder(light_packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = import_package("unidepth", "unidepth.models", unused=("wandb",))
    folder = tmp_path_factory.mktemp("unidepth") / "unidepth-v2-vits14"
    models.UniDepthV2(config=unidepth_config()).save_pretrained(folder)
    return folder


def unidepth_config() -> dict:
    """A UniDepthV2 on the smallest DINOv2, for small images; without the losses of its training."""
    encoder = {
        "name": "dinov2_vits14", "pretrained": None, "output_idx": [3, 6, 9, 12], "stacking_fn": "last",
        "num_register_tokens": 0, "use_norm": True, "freeze_norm": True, "frozen_stages": 0, "lr": 2e-6, "wd": 0.1,
    }  # fmt: skip
    decoder = {"name": "Decoder", "hidden_dim": 64, "dropout": 0.0, "depths": [1, 1, 1], "out_dim": 8, "kernel_size": 3}
    shapes = {"ratio_bounds": [0.5, 2.5], "pixels_max": 40_000, "pixels_min": 20_000, "shape_mult": 14}
    return {
        "training": {"lr": 1e-4, "wd": 0.1, "ld": 1.0, "drop_path": 0.0, "use_checkpoint": False, "losses": {}},
        "data": {"image_shape": [140, 182], "augmentations": {"shape_constraints": shapes}},
        "model": {
            "name": "UniDepthV2", "num_heads": 4, "expansion": 2, "layer_scale": 1.0,
            "pixel_decoder": decoder, "pixel_encoder": encoder,
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def smpl_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body in SMPL's layout without anything of SMPL: 6890 points scattered around the free body's."""
    from pipeline.body import load_body

    body = load_body("free")
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(body.v_template), 6890, replace=False)
    used = torch.zeros(len(body.v_template), dtype=torch.long)
    used[chosen] = torch.arange(6890)
    nearest = torch.cdist(body.v_template, body.v_template[chosen]).argmin(1)
    faces = nearest[body.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    near = torch.cdist(body.rest_joints(torch.zeros(10)), body.v_template[chosen])
    regressor = torch.softmax(-near / 0.02, dim=1)
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl"
    arrays = {
        "v_template": body.v_template[chosen].double().numpy(),
        "shapedirs": body.shapedirs[chosen].double().numpy(),
        "posedirs": rng.normal(0, 1e-4, (6890, 3, 207)),
        "J_regressor": regressor.double().numpy(),
        "weights": body.weights[chosen].double().numpy(),
        "f": faces.numpy().astype(np.uint32),
        "kintree_table": np.stack([np.array([2**32 - 1, *body.parents[1:]]), np.arange(24)]).astype(np.uint32),
    }
    with path.open("wb") as file:
        pickle.dump(arrays, file)
    return path


@pytest.fixture(scope="session")
def hmr2_folder(light_packages, smpl_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four files of HMR2.0, its checkpoint with a CfgNode beside the tensors as the owners' has."""
    from hmr2.configs import get_config

    folder = tmp_path_factory.mktemp("hmr2")
    for name in weights.HMR2_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    mean = {"pose": np.tile([1.0, 0, 0, 1, 0, 0], 24), "shape": np.zeros(10), "cam": np.array([0.9, 0, 0])}
    mean["pose"][:6] = [1, 0, 0, -1, 0, 0]  # upright: half a turn around x
    np.savez(folder / weights.HMR2_MEAN, **mean)
    with (folder / weights.HMR2_REGRESSOR).open("wb") as file:
        pickle.dump(np.full((19, 6890), 1 / 6890), file)
    smpl = {"MODEL_PATH": str(smpl_file.parent), "GENDER": "neutral", "NUM_BODY_JOINTS": 23}
    smpl |= {
        "JOINT_REGRESSOR_EXTRA": str(folder / weights.HMR2_REGRESSOR),
        "MEAN_PARAMS": str(folder / weights.HMR2_MEAN),
    }
    config = {
        "SMPL": smpl,
        "EXTRA": {"FOCAL_LENGTH": 5000},
        "TRAIN": {"LR": 1e-5},
        "LOSS_WEIGHTS": {"ADVERSARIAL": 0.0005},
        "MODEL": {
            "IMAGE_SIZE": 256,
            "BACKBONE": {"TYPE": "vit"},
            "SMPL_HEAD": {
                "TYPE": "transformer_decoder",
                "IN_CHANNELS": 2048,
                "TRANSFORMER_DECODER": {
                    "depth": 1, "heads": 8, "mlp_dim": 1024, "dim_head": 64, "dropout": 0.0, "emb_dropout": 0.0,
                    "norm": "layer", "context_dim": 1280,
                },
            },
        },
    }  # fmt: skip
    (folder / weights.HMR2_CONFIG).write_text(yaml.safe_dump(config))
    config = get_config(str(folder / weights.HMR2_CONFIG))
    model = import_package("hmr2", "hmr2.models").HMR2(config, init_renderer=False)
    for layer in (model.smpl_head.deccam, model.smpl_head.decpose, model.smpl_head.decshape):
        layer.weight.data.mul_(0.05)  # near the mean: a person before the camera, though not this one
    content = {
        "state_dict": model.state_dict(),
        "hyper_parameters": {"cfg": config},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-5}]}],
        "epoch": 35,
    }
    torch.save(content, folder / weights.HMR2_CHECKPOINT)
    return folder


@pytest.fixture(scope="session")
def paper_settings(sam2_checkpoint: Path, unidepth_folder: Path, hmr2_folder: Path) -> dict:
    """The sections of a config that runs the three estimators on the CPU."""
    sam2 = {"checkpoint": str(sam2_checkpoint), "config": "configs/sam2.1/sam2.1_hiera_t.yaml", "device": "cpu"}
    return {
        "masks": {"backend": "sam2", "sam2": sam2 | {"image_size": SIZE, "chunk": 5}},
        "depth": {
            "backend": "unidepth",
            "unidepth": {"weights": str(unidepth_folder), "device": "cpu", "resolution_level": 0, "camera_frames": 3},
        },
        "pose": {"backend": "hmr2", "hmr2": {"weights": str(hmr2_folder), "device": "cpu", "batch": 4}},
    }


@pytest.fixture(scope="session")
def decoded(studio_clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/<video> of the studio's tiny clip after decode; copy it before writing there."""
    directory = tmp_path_factory.mktemp("results") / "tiny"
    assert main(["decode", str(studio_clip.video), str(directory)]) == 0
    return directory


@pytest.fixture
def directory(decoded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(decoded, tmp_path / "tiny"))
