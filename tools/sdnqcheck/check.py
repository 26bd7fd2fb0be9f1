"""Loads what sdnqcheck wrote with the Python package sdnq and compares it with the original model.

    python check.py ORIGINAL-FOLDER FOLDER-OF-SDNQCHECK

For each component of each variant: it loads, each layer's dequantized weight lies within the step of its dtype from the
original's, one forward pass gives finite numbers near the original's, and, where Python can quantize with the same
config, the stored tensors are equal. Needs torch, diffusers, transformers and sdnq.
"""
import copy
import json
import os
import pathlib
import sys
import warnings

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # compiling takes minutes and changes nothing here
os.environ["SDNQ_USE_OPENVINO_MM"] = "0"  # its int8 products overflow on processors without VNNI
import torch
from safetensors.torch import load_file

warnings.filterwarnings("ignore")
import diffusers  # noqa: E402
import transformers  # noqa: E402
from sdnq import sdnq_post_load_quant  # noqa: E402
from sdnq.dequantizer import dequantize_sdnq_model  # noqa: E402

torch.manual_seed(0)
torch.set_num_threads(1)
CLASSES = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL, "text_encoder": transformers.CLIPTextModel}
# The largest error of a weight allowed, as a share of the largest weight: half a step of the coarsest dtype in the variant.
STEP = {
    "uint4": 1 / 15, "int5": 1 / 15, "uint11": 1e-3, "mixed": 1 / 31, "uint4-svd": 1 / 15, "uint4-both": 1 / 8, "uint4-codebook": 1 / 7,
    "int8-hadamard": 1 / 60, "fp8-matmul": 1 / 27, "fp6": 1 / 12, "dynamic": 1 / 7,
}


def forward(name, model):
    generator = torch.Generator().manual_seed(1)
    config = model.config
    with torch.no_grad():
        if name == "unet":
            x = torch.randn(1, config.in_channels, 16, 16, generator=generator)
            c = torch.randn(1, 77, config.cross_attention_dim, generator=generator)
            return model(x, 500, c).sample
        if name == "vae":
            return model.decode(torch.randn(1, config.latent_channels, 16, 16, generator=generator)).sample
        return model(torch.randint(0, config.vocab_size, (1, 77), generator=generator)).last_hidden_state


def far(a, b):
    return ((a - b).abs().max() / b.abs().max().clamp_min(1e-12)).item()


def check(original, folder, name, variant):
    dense = CLASSES[name].from_pretrained(original / name, torch_dtype=torch.float32)
    model = CLASSES[name].from_pretrained(folder / name, torch_dtype=torch.float32)
    want = forward(name, dense)
    moved = far(forward(name, model), want)
    weights = dict(dequantize_sdnq_model(copy.deepcopy(model)).named_parameters())
    worst = max(far(weights[k].float(), v) for k, v in dense.named_parameters())
    limit = STEP.get(variant, 1 / 200)
    ok = worst <= limit and moved < 0.5

    config = json.loads((folder / name / "quantization_config.json").read_text())
    keys = ("weights_dtype", "group_size", "quant_conv", "quant_embedding", "use_quantized_matmul", "use_quantized_matmul_conv",
            "modules_dtype_dict", "minimum_allowed_numel", "minimum_allowed_channel_size", "dequantize_fp32", "modules_to_not_convert", "modules_to_not_use_matmul")
    ours = {}
    for file in (folder / name).glob("*.safetensors"):
        ours.update(load_file(file))
    try:
        stored = next(v.dtype for file in (original / name).glob("*.safetensors") for v in load_file(file).values() if v.is_floating_point())
        again = sdnq_post_load_quant(CLASSES[name].from_pretrained(original / name, torch_dtype=stored), torch_dtype=stored, **{k: config[k] for k in keys})
        state = again.state_dict()
        scaled = {k.rsplit(".", 1)[0] for k in [*state, *ours] if k.endswith(".scale")}
        names = [f"{k}.{s}" for k in scaled for s in ("weight", "scale", "zero_point") if f"{k}.{s}" in state or f"{k}.{s}" in ours]
        differ = [k for k in names if k not in ours or k not in state or ours[k].dtype != state[k].dtype or not torch.equal(ours[k], state[k])]
        same = f"{len(names) - len(differ)} of {len(names)} quantized tensors equal" + (f", not {differ[:3]}" if differ else "")
    except Exception as e:  # Python cannot quantize this way
        same = f"Python cannot: {str(e)[:200]}"
    print(f"{'ok  ' if ok else 'FAIL'} {variant}/{name}: weights off by {worst:.2g} (allowed {limit:.2g}), output by {moved:.2g}; {same}", flush=True)
    return ok


def main():
    original, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    results = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        for name in CLASSES:
            if not (folder / name / "quantization_config.json").exists():
                continue
            try:
                results.append(check(original, folder, name, folder.name))
            except Exception as e:
                print(f"FAIL {folder.name}/{name}: {type(e).__name__}: {str(e)[:300]}", flush=True)
                results.append(False)
    sys.exit(0 if results and all(results) else 1)


main()
