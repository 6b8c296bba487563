localrules:
    weights,


# No output: it looks at what is there each time it is asked for, and fetches the rest.
rule weights:
    log:
        f"{RESULTS}/logs/weights.log",
    conda:
        "../envs/embedded.yaml"
    params:
        config=json.dumps(
            {
                "body_model": config["body_model"],
                "masks": {
                    "sam2": {"checkpoint": config["masks"]["sam2"]["checkpoint"]}
                },
                "landmarks": {
                    "heavy": config["landmarks"]["heavy"],
                    "rtmw": {"weights": config["landmarks"]["rtmw"]["weights"]},
                },
                "depth": {
                    "unidepth": {"weights": config["depth"]["unidepth"]["weights"]}
                },
                "pose": {
                    "hmr2": {"weights": config["pose"]["hmr2"]["weights"]},
                    "instanthmr": {"weights": config["pose"]["instanthmr"]["weights"]},
                },
                "evaluate": {"lpips_weights": config["evaluate"]["lpips_weights"]},
                "fit": {"neuhmr": {"features": config["fit"]["neuhmr"]["features"]}},
            }
        ),
    shell:
        "python -m pipeline weights --config {params.config:q} --log {log:q}"
