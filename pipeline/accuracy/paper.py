"""The numbers that the papers print (tables 1 to 4 of HumanSplatHMR and NeuHMR), beside ours. Their data are not ours.

Tables do not agree with one another: "Full" of HumanSplatHMR's table 4 is no average of its tables 2 and 3; NeuHMR's
text has 85.5 for HybrIK's PVE on ZJU-MoCap, its table 86.5.
"""

POSE, PICTURE = ("MPJPE", "PA-MPJPE", "V2V"), ("PSNR", "SSIM", "LPIPS")

# H36M: MPJPE, PA-MPJPE; 3DPW: MPJPE, PA-MPJPE, V2V. Beside an MPJPE of 76 mm a V2V of 239 mm cannot be pelvis-aligned,
# and those of table 2 are smaller than their MPJPE: this one must be in the camera frame, where the distance counts.
TABLE_1 = {
    "HMR2.0": (80.58, 41.13, 75.64, 56.26, 239.27),
    "GART": (80.58, 41.13, 75.64, 56.27, 239.27),
    "Ours (paper)": (80.53, 41.13, 72.63, 55.10, 196.95),
}

NEUMAN = ("Bike", "Citron", "Jogging", "Lab", "ParkingLot", "Seattle")

TABLE_2 = {  # MPJPE, PA-MPJPE, V2V of each sequence of NeuMan, mm
    "HMR2.0": (
        (77.21, 58.23, 70.82), (89.29, 52.81, 77.37), (99.36, 69.90, 90.79),
        (94.83, 58.08, 75.42), (69.90, 51.33, 56.87), (95.79, 55.73, 74.80),
    ),
    "GART": (
        (76.12, 57.52, 70.57), (87.59, 51.96, 74.33), (98.25, 69.50, 89.82),
        (93.57, 57.51, 73.07), (69.95, 51.25, 55.72), (93.36, 54.91, 72.65),
    ),
    "Ours (paper)": (
        (73.62, 50.49, 56.75), (88.44, 52.19, 66.54), (93.25, 67.25, 76.83),
        (89.36, 55.78, 67.11), (74.73, 53.77, 58.97), (84.55, 51.53, 67.02),
    ),
}  # fmt: skip

TABLE_3 = {  # PSNR, SSIM, LPIPS of each sequence of NeuMan
    ("Uniform 80%", "GART"): (
        (23.57, 0.958, 0.044), (24.76, 0.964, 0.031), (24.76, 0.963, 0.038),
        (23.16, 0.963, 0.041), (27.60, 0.974, 0.031), (27.94, 0.975, 0.021),
    ),
    ("Uniform 80%", "Ours (paper)"): (
        (25.53, 0.964, 0.033), (27.18, 0.971, 0.022), (26.58, 0.968, 0.029),
        (25.27, 0.971, 0.030), (28.54, 0.976, 0.024), (29.85, 0.980, 0.016),
    ),
    ("20 Views", "GART"): (
        (22.89, 0.954, 0.045), (24.31, 0.960, 0.033), (24.21, 0.959, 0.040),
        (22.29, 0.959, 0.044), (26.29, 0.966, 0.037), (27.43, 0.973, 0.022),
    ),
    ("20 Views", "Ours (paper)"): (
        (23.98, 0.955, 0.036), (26.10, 0.965, 0.025), (25.10, 0.961, 0.033),
        (23.87, 0.964, 0.034), (27.11, 0.970, 0.029), (29.17, 0.978, 0.017),
    ),
    ("First 80%", "GART"): (
        (20.97, 0.958, 0.047), (23.28, 0.952, 0.039), (24.40, 0.963, 0.036),
        (21.67, 0.955, 0.051), (24.06, 0.955, 0.047), (27.01, 0.971, 0.024),
    ),
    ("First 80%", "Ours (paper)"): (
        (24.22, 0.965, 0.038), (24.53, 0.959, 0.033), (25.79, 0.965, 0.032),
        (24.04, 0.963, 0.037), (25.22, 0.959, 0.037), (28.84, 0.976, 0.018),
    ),
}  # fmt: skip

TABLE_4 = {  # PSNR, SSIM, LPIPS, MPJPE, PA-MPJPE, V2V: means over NeuMan
    "w/o SMPL opt.": (23.52, 0.960, 0.0400, 93.11, 59.59, 76.25),
    "w/o depth loss": (25.12, 0.966, 0.0337, 85.58, 56.79, 70.49),
    "w/ LSW": (26.02, 0.970, 0.0309, 87.36, 57.28, 68.46),
    "no constraint": (25.67, 0.967, 0.0314, 84.88, 57.45, 67.59),
    "LSW": (26.16, 0.968, 0.0303, 86.80, 58.29, 69.15),
    "GoM": (26.05, 0.968, 0.0314, 81.83, 57.20, 65.69),
    "Full (CAMEL)": (26.24, 0.970, 0.0306, 82.88, 56.31, 66.06),
}

# NeuHMR (Xiang et al.). MPJPE and PVE, mm; it brings all to the camera's axes. In brackets what was refined.
NEUHMR_SOURCE = {"zju_mocap": "table 1, ZJU-MoCap 393, first camera", "emdb": "table 2, EMDB protocol 1"}
NEUHMR = {
    "zju_mocap": {
        "VIBE": (101.3, 113.0),
        "HMR2.0": (78.0, 94.7),
        "HybrIK": (77.3, 86.5),
        "SLAHMR (HMR2.0)": (75.7, 87.1),
        "GLAMR (HMR2.0)": (93.1, 120.0),
        "GLAMR (HybrIK)": (91.5, 111.6),
        "NeuHMR (HMR2.0)": (74.7, 89.6),
        "NeuHMR (HybrIK)": (74.2, 86.9),
    },
    "emdb": {
        "VIBE": (125.9, 146.8),
        "HMR2.0": (115.0, 129.7),
        "HybrIK": (103.7, 117.2),
        "NeMo (HMR2.0)": (158.1, 202.9),
        "GLAMR (HMR2.0)": (120.5, 138.8),
        "GLAMR (HybrIK)": (113.6, 133.4),
        "NeuHMR (HMR2.0)": (105.7, 125.2),
        "NeuHMR (HybrIK)": (95.4, 109.6),
    },
}
NEUHMR_SECONDS = {  # table 3: a frame
    "GLAMR": 0.1,
    "SLAHMR": 31.6,
    "NeuHMR, joint feature registration": 0.8,
    "NeuHMR, pose optimisation": 13.5,
}
NEUHMR_ABLATIONS = {  # table 4, EMDB protocol 1 from HybrIK: MPJPE, PVE
    "w/o rgb": (99.3, 115.0),
    "w/o geo": (98.8, 114.3),
    "w/o joint": (100.7, 116.4),
    "w/o registered joint features": (101.1, 116.5),
    "full": (95.4, 109.6),
}
