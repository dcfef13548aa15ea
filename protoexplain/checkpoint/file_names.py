"""The files of a checkpoint; what they hold is told in `checkpoint`."""

MODEL, PROOF = "model.safetensors", "proof.safetensors"
MAPS, ACTIVATIONS = "maps.safetensors", "activations.safetensors"
CONFIG, PROTOTYPES, METRICS = "config.yaml", "prototypes.json", "metrics.json"
CALIBRATION, SPLIT = "calibration.json", "split.json"
CARD, THUMBS = "README.md", "thumbs"
REQUIRED = (MODEL, CONFIG, PROTOTYPES, METRICS, CARD)
OPTIONAL = (PROOF, MAPS, ACTIVATIONS, CALIBRATION, SPLIT)
