"""weights: fetch the public weight files of the paper preset."""

import argparse
import logging
from pathlib import Path

from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import default_config, merged, parse_overrides
from pipeline.setup.weights import SMPL_ADDRESS, fetch_all, wanted

HELP = """Fetch the weights of SAM 2, UniDepthV2, HMR2.0, LPIPS, ConvNeXt-tiny, RTMW and mediapipe's heavy model into
the paths that the config gives (models/).

reads   nothing
writes  models/; goes on where it was interrupted, checks sizes and checksums where they are known
No other command fetches anything. Without a network it says what to put where, one line a file."""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="YAML|FILE", help="what differs from config/config.yaml, as in a config file of your own"
    )
    parser.add_argument("--list", action="store_true", help="only say what is there, what is missing, and how large")


def run(args: argparse.Namespace) -> None:
    config = merged(default_config(), parse_overrides(args.config))
    weights = wanted(config)
    absent = [weight for weight in weights if weight.missing or weight.wrong()]
    for weight in weights:
        state = "there" if weight not in absent else "missing" if weight.missing else "wrong"
        size = f"about {weight.megabytes} MB" if weight.megabytes else "size not known"
        print(f"{state:8} {weight.folder or weight.files[0]}  {size}  {weight.licence}")
    body = config["body_model"]
    smpl = Path("models/smpl/SMPL_NEUTRAL.pkl" if body == "free" else body)
    if not smpl.is_file():
        print(f"missing  {smpl}  by hand: register at {SMPL_ADDRESS}, put the neutral model there (non-commercial)")
    if args.list or not absent:
        return
    log.info("fetching about %d MB", sum(weight.megabytes or 0 for weight in absent))
    lost = fetch_all(absent)
    for line in lost:
        log.error("missing: %s", line)
    if lost:
        raise UserError(f"{len(lost)} of {len(weights)} downloads are missing; the lines above say what to put where")
