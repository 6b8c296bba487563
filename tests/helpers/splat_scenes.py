"""Scenes for rasterizers, and what comes out of them with its gradients."""

import numpy as np
import torch

PARAMETERS = ("means", "quats", "scales", "opacities", "colors")


def make_scene(count=150, width=40, height=33, cameras=1, sh_degree=None, seed=0):
    """Gaussians in a box in front of cameras that stand side by side; some are large, some nearly opaque."""
    rng = np.random.default_rng(seed)
    viewmats = np.tile(np.eye(4), (cameras, 1, 1))
    for c in range(cameras):
        angle = 0.3 * c
        viewmats[c, :3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        viewmats[c, :3, 3] = [0.1 * c, -0.05 * c, 0.2 * c]
    K = np.array([[1.2 * width, 0, 0.52 * width], [0, 1.3 * width, 0.47 * height], [0, 0, 1]])
    scene = {
        "means": rng.uniform([-1.2, -1, 2], [1.2, 1, 4], (count, 3)),
        "quats": rng.normal(size=(count, 4)),
        "scales": np.exp(rng.uniform(np.log(0.01), np.log(0.3), (count, 3))),
        "opacities": rng.uniform(0.02, 0.9995, count),
        "colors": rng.uniform(0, 1, (count, 3)) if sh_degree is None else rng.normal(size=(count, 4, 3)) * 0.5,
        "viewmats": viewmats,
        "Ks": np.tile(K, (cameras, 1, 1)),
    }
    tensors = {name: torch.tensor(value, dtype=torch.float32) for name, value in scene.items()}
    return {**tensors, "width": width, "height": height, "sh_degree": sh_degree}


def as_dtype(scene, dtype, device="cpu"):
    return {
        name: value.detach().to(device, dtype) if torch.is_tensor(value) else value for name, value in scene.items()
    }


def backward(function, scene, dtype, device="cpu"):
    """Renders, alphas, and gradients of a random linear function of them by all that takes gradients; on the CPU."""
    scene = as_dtype(scene, dtype, device)
    inputs = [name for name in (*PARAMETERS, "backgrounds") if name in scene]
    for name in inputs:
        scene[name] = scene[name].clone().requires_grad_()
    renders, alphas, *_ = function(**scene)
    generator = torch.Generator().manual_seed(1)
    loss = sum((x * torch.randn(x.shape, generator=generator).to(x)).sum() for x in (renders, alphas))
    loss.backward()
    gradients = {
        name: torch.zeros_like(scene[name]) if scene[name].grad is None else scene[name].grad for name in inputs
    }
    return renders.detach().cpu(), alphas.detach().cpu(), {name: value.cpu() for name, value in gradients.items()}
