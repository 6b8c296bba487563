# Which files of the user's a stage reads, as inputs and as fingerprints among its parameters.
def stamp(files):
    """Fingerprint of files of the user's that a job reads: `files` gives them for its wildcards."""
    return lambda wildcards: fingerprints.stamp(files(wildcards))


def left_in_place(paths):
    """As inputs, files of the user's: they lie where they lie, and not in the storage that the results may go to."""
    return [local(str(path)) for path in paths]


def those_there(files):
    """As inputs, those files of the user's that are there: of a missing one the stage tells, and stops no other video."""
    return lambda wildcards: left_in_place(
        path for path in files(wildcards) if Path(path).exists()
    )


def video_file(wildcards):
    """The video itself."""
    return left_in_place([FOUND.clips[wildcards.video].path])


def decode_files(wildcards):
    """What is decoded, and with which calibration."""
    calibration = config_of(wildcards)["video"]["calibration"]
    return video_file(wildcards) + ([calibration] if calibration else [])


def truth(wildcards):
    """The truth beside a studio clip, where there is one: what the evaluation reads of it."""
    if wildcards.video in SEQUENCES:
        return [f"{RESULTS}/{wildcards.video}/truth/pose.npz"]
    path = FOUND.clips[wildcards.video].path
    folder = path.with_name(f"{name_of(path)}.truth")
    if not folder.is_dir():
        return []
    track = [path for path in [folder / "camera_track.npz"] if path.is_file()]
    return left_in_place([folder / "pose.npz", folder / "masks", *track])


def body_model(wildcards):
    """The body model: "free", or the user's file."""
    return config_of(wildcards)["body_model"]


def body_file(wildcards):
    """The body model's file, where the user brought one."""
    return [path for path in [body_model(wildcards)] if path != "free"]


def stage_files(stage):
    """What a stage's backend reads besides its inputs: weights, and files that the user brought for this video."""

    def files(wildcards):
        section = config_of(wildcards)[stage]
        weights = [
            str(file) for weight in needed(stage, section) for file in weight.files
        ]
        brought = [section["path"]] if section["backend"] == "import" else []
        video = wildcards.get("video", "")
        return weights + [path.format(video=video) for path in brought if path]

    return files


def landmarks_files(wildcards):
    """What the detector reads of the user's files: the video itself too, for a person or hands that are small in the frames."""
    section = config_of(wildcards)["landmarks"]
    looks = section["backend"] in ("mediapipe", "rtmw") and section["sharper"]
    video = decode_files(wildcards) if looks and wildcards.video in FOUND.clips else []
    return stage_files("landmarks")(wildcards) + video


def neuhmr_features(fit):
    """The weights of NeuHMR's features, where they are used."""
    return [fit["neuhmr"]["features"]] if fit["refiner"] == "neuhmr" else []


def fit_files(wildcards):
    """What the fit reads of the user's files."""
    return body_file(wildcards) + neuhmr_features(config_of(wildcards)["fit"])


def lpips_files(evaluate):
    """Where the weights of LPIPS may be: the folder, and the package's file if it is installed."""
    return [evaluate["lpips_weights"], *package_files()]


def evaluate_files(wildcards):
    """What the evaluation reads of the user's files; a truth that the workflow makes itself is an input."""
    own_truth = [] if wildcards.video in SEQUENCES else truth(wildcards)
    return [
        *body_file(wildcards),
        *own_truth,
        *lpips_files(config_of(wildcards)["evaluate"]),
    ]


def render_files(wildcards):
    """What the pictures are made of besides results: the body, and the motion where it is a file and no name."""
    motion = config_of(wildcards)["render"]["novel_motion"]
    file, _, clip = motion.rpartition(":")  # FILE.npz:CLIP
    return [*body_file(wildcards), file if file.endswith(".npz") else motion]


def measured_files(wildcards):
    """The measured joints of a clip, and where they lie in the world the camera's calibration."""
    return MEASURED[wildcards.video].inputs


def benchmark_features(wildcards):
    """The weights of NeuHMR's features, where a row uses them."""
    row = BENCHMARK.fit_settings(config["fit"], wildcards.split, wildcards.row)
    return neuhmr_features(row)


def pose_of(estimators):
    """Settings of the stage pose for a kind of estimators."""
    return BENCHMARK.pose_settings(config["pose"], estimators, BENCHMARKS)


def imported_file(wildcards):
    """The motion file that a start imports, or none."""
    chosen = pose_of(wildcards.estimators)
    if chosen["backend"] != "import":
        return []
    return chosen["path"].replace("{video}", wildcards.sequence)


def made_for(runs, patterns):
    """The files of these runs of the benchmark: what a failed job or the user took away is made again."""
    paths = [
        str(pattern).format(
            estimators=run.estimators,
            dataset=run.estimators,
            split=run.split,
            row=run.row,
            sequence=run.sequence,
            video=run.sequence,
        )
        for run in runs
        for pattern in patterns
    ]
    return list(dict.fromkeys(paths))
