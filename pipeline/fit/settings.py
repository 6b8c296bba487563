"""Settings of the fit: the section `fit` of config/config.yaml, where each value is explained."""

from dataclasses import dataclass, replace

from pipeline.avatar.binding import BINDINGS, WEIGHTS_LEARNT
from pipeline.fit.align_settings import Align, Shape
from pipeline.fit.cloth_settings import ClothSettings
from pipeline.fit.neuhmr_settings import NeuHMRSettings
from pipeline.losses.silhouette import SILHOUETTES
from pipeline.runtime.errors import UserError

REFINERS = ("joint", "neuhmr")
CORRECTIONS = ("rows", "motion_field")


@dataclass(frozen=True)
class Steps:
    """How many optimisation steps each phase takes."""

    colours: int
    coarse: int
    middle: int
    full: int
    heldout: int
    clip_frames: int

    def for_frames(self, frames: int) -> "Steps":
        """The steps for a clip with so many frames to train on: longer than stated ones get more, by the square root,
        for what the avatar learns is shared but each pose must be visited."""
        factor = max(1.0, frames / self.clip_frames) ** 0.5
        longer = {name: round(getattr(self, name) * factor) for name in ("colours", "coarse", "middle", "full")}
        return replace(self, **longer)

    @property
    def surface(self) -> int:
        """Steps with opaque Gaussians on the surface."""
        return self.colours + self.coarse + self.middle

    @property
    def total(self) -> int:
        return self.surface + self.full


@dataclass(frozen=True)
class CropSides:
    """The longer side of the crops of each level, at most, px."""

    coarse: int
    middle: int
    full: int


@dataclass(frozen=True)
class Rates:
    """Learning rates (Adam)."""

    offsets: float
    offsets_final: float
    quats: float
    scales: float
    opacities: float
    sh0: float
    sh0_surface: float
    sh_rest: float
    skinning_weights: float
    skinning_weights_final: float
    field: float
    thickness: float
    betas: float
    root_rotation: float
    joint_rotations: float
    sideways: float
    depthwise: float
    knots: float
    constant: float
    pose_final: float
    heldout: float


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms."""

    ssim: float
    mask: float
    mask_full: float
    landmarks: float
    depth: float
    depth_2d: float
    depth_3d: float
    camel: float
    point_to_mesh: float
    coverage: float
    flatness: float
    surface: float
    tips: float
    initial_pose: float
    initial_head: float
    initial_distance: float
    smooth_correction: float
    thickness: float
    smooth_colours: float
    smooth_shapes: float
    large_scales: float
    skinning_variation: float
    skinning_size: float


@dataclass(frozen=True)
class Margins:
    """Margins and scales of the loss terms."""

    cloth: float
    flatness_ratio: float
    tips: float
    depth_epsilon: float
    landmarks: float
    initial_pose: float
    max_scale: float


@dataclass(frozen=True)
class Spread:
    """Colours of what is hardly seen, taken from what is around: once, in the full phase."""

    at: float
    strength: float


@dataclass(frozen=True)
class Densify:
    """Growth and pruning of the Gaussians during the full phase."""

    start: float
    stop: float
    every: int
    gradient: float
    split_scale: float
    prune_opacity: float
    max_gaussians: int


@dataclass(frozen=True)
class MotionFieldSettings:
    """The motion field: a network of time."""

    bases: int
    spread: float
    width: int
    rate: float


@dataclass(frozen=True)
class FitSettings:
    """Everything that the fit can be told."""

    refiner: str
    binding: str
    corrections: str
    silhouette: str
    optimise_pose: bool
    keep_better: bool
    refine_betas: bool
    refine_masks: bool
    use_depth: bool
    use_landmarks: bool
    use_contact: bool
    frame_gains: bool
    frame_sharpness: bool
    gaussians: int
    opacity: float
    seed: int
    device: str
    cuda_graphs: bool
    holdout_every: int
    holdout_most: int
    holdout_last: float
    train_views: int
    sh_degree: int
    sh_start: float
    skinning_start: float
    pose_start: float
    crop_padding: float
    knot_spacing: int
    smooth_seconds: float
    neighbours_every: int
    checkpoint_every: int
    crop_sides: CropSides
    steps: Steps
    rates: Rates
    weights: Weights
    margins: Margins
    shape: Shape
    align: Align
    densify: Densify
    spread: Spread
    cloth: ClothSettings
    motion_field: MotionFieldSettings
    neuhmr: NeuHMRSettings

    @property
    def reads_depth(self) -> bool:
        """Whether depth is used where there is some: NeuHMR has no term for it."""
        return self.use_depth and self.refiner == "joint"

    @property
    def aligns(self) -> bool:
        """Whether second-order steps come before the joint optimisation."""
        return self.optimise_pose and self.corrections == "rows" and self.align.steps > 0

    @property
    def shapes(self) -> bool:
        """Whether outlines tell the shape first: rivals keep that of the initial pose."""
        return self.optimise_pose and self.refiner == "joint" and self.shape.frames > 0

    @property
    def replays(self) -> bool:
        """Whether CUDA graphs serve: the gradients of learnt weights, of a field and of the shape are not captured."""
        return self.cuda_graphs and self.binding not in (*WEIGHTS_LEARNT, "field") and not self.refine_betas

    @property
    def refits(self) -> bool:
        """Whether second-order steps against the avatar come during the joint optimisation."""
        return self.aligns and self.refiner == "joint" and self.align.refit > 0

    def for_frames(self, frames: int) -> "FitSettings":
        """The same with the steps for a clip with so many frames to train on."""
        longer = self.steps.for_frames(frames)
        return replace(self, steps=longer, cloth=self.cloth.times(longer.total / self.steps.total))

    def __post_init__(self) -> None:
        if self.binding not in BINDINGS:
            raise UserError(f"settings fit.binding: expected one of {', '.join(BINDINGS)}, found {self.binding!r}")
        for key, known in (("refiner", REFINERS), ("corrections", CORRECTIONS), ("silhouette", tuple(SILHOUETTES))):
            if getattr(self, key) not in known:
                raise UserError(f"settings fit.{key}: expected one of {', '.join(known)}, found {getattr(self, key)!r}")
        if self.refiner == "neuhmr" and (self.refine_betas or not self.optimise_pose):
            raise UserError(
                "settings fit.refiner: neuhmr refines the pose alone; it needs optimise_pose: true and "
                "refine_betas: false"
            )
        if self.sh_degree not in (0, 1):
            raise UserError(f"settings fit.sh_degree: expected 0 or 1, found {self.sh_degree}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UserError(f"settings fit.device: expected auto, cpu or cuda, found {self.device!r}")
        if self.checkpoint_every % self.neighbours_every:
            raise UserError(
                f"settings fit.checkpoint_every: expected a multiple of neighbours_every ({self.neighbours_every}), "
                f"found {self.checkpoint_every}"
            )
        if self.holdout_every < 0 or self.holdout_every == 1:
            raise UserError(f"settings fit.holdout_every: expected 0 (none) or 2 and more, found {self.holdout_every}")
        if not 0 <= self.holdout_last < 1:
            raise UserError(
                f"settings fit.holdout_last: expected 0 (none) or a share below 1, found {self.holdout_last}"
            )
        for name in ("sh_start", "skinning_start", "pose_start"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"settings fit.{name}: expected a share from 0 to 1, found {getattr(self, name)}")
        if self.spread.strength and self.spread.at < self.densify.stop:
            raise UserError(
                f"settings fit.spread.at: expected densify.stop ({self.densify.stop}) or later, found {self.spread.at}"
            )
        shares = self.align.early_at, self.align.refit_at, self.align.settle_at
        if list(shares) != sorted(shares):
            raise UserError(
                "settings fit.align.early_at, refit_at and settle_at: expected three shares, none smaller than the one "
                f"before it, found {shares[0]}, {shares[1]} and {shares[2]}"
            )
        if self.train_views < 0:
            raise UserError(
                f"settings fit.train_views: expected 0 (all) or a number of frames, found {self.train_views}"
            )
