"""Where each file of a video lies under results/<video>/."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VideoDir:
    """The folder results/<video>/ and the names in it; every stage takes its paths from here."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def video(self) -> Path:
        return self.root / "video.json"

    @property
    def frames(self) -> Path:
        return self.root / "frames"

    @property
    def masks(self) -> Path:
        return self.root / "masks"

    @property
    def masks_refined(self) -> Path:
        """The masks that the fit compared with. Absent in older results."""
        return self.root / "masks_refined"

    @property
    def masks_unknown(self) -> Path:
        """Where nothing is known of a pixel, 255. Absent where the fit has left the masks as they were, and in older
        results."""
        return self.masks_refined / "unknown"

    @property
    def people(self) -> Path:
        """Picture of who is in the clip. Absent where the masks are imported."""
        return self.root / "people.jpg"

    @property
    def people_refused(self) -> Path:
        """The same after a choice that nobody answers: Snakemake removes what a failed stage declares."""
        return self.root / "logs" / "people.jpg"

    @property
    def depth(self) -> Path:
        """Absent when no depth backend is chosen."""
        return self.root / "depth"

    @property
    def camera(self) -> Path:
        return self.root / "camera.json"

    @property
    def camera_track(self) -> Path:
        return self.root / "camera_track.npz"

    @property
    def pose_init(self) -> Path:
        return self.root / "pose_init.npz"

    @property
    def landmarks(self) -> Path:
        return self.root / "landmarks.npz"

    @property
    def fit(self) -> Path:
        return self.root / "fit"

    @property
    def avatar(self) -> Path:
        return self.fit / "avatar.npz"

    @property
    def pose_refined(self) -> Path:
        return self.fit / "pose_refined.npz"

    @property
    def history(self) -> Path:
        return self.fit / "history.csv"

    @property
    def checkpoint(self) -> Path:
        return self.fit / "checkpoint.pt"

    @property
    def renders(self) -> Path:
        return self.root / "renders"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.csv"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def summary(self) -> Path:
        """What report.html says, for scripts."""
        return self.root / "summary.json"

    def provenance(self, stage: str) -> Path:
        return self.root / "provenance" / f"{stage}.json"
