"""Compares single layers with the Python package sdnq, both ways: see README.md. Needs torch, diffusers and sdnq.

    python layers.py DIR    loads what `sdnqcheck write DIR` wrote, and quantizes the same for `sdnqcheck read DIR`
"""
import collections
import copy
import json
import multiprocessing
import os
import pathlib
import re
import sys
import warnings

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # compiling takes minutes and changes nothing here
os.environ["SDNQ_USE_OPENVINO_MM"] = "0"  # its int8 products overflow on processors without VNNI
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402

warnings.filterwarnings("ignore")
import diffusers  # noqa: E402

from diffusers import ConfigMixin, ModelMixin  # noqa: E402
from diffusers.configuration_utils import register_to_config  # noqa: E402
from sdnq import load_sdnq_model, save_sdnq_model, sdnq_post_load_quant  # noqa: E402
from sdnq.dequantizer import dequantize_sdnq_model  # noqa: E402

diffusers.utils.logging.set_verbosity_error()
torch.set_num_threads(1)
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


class Tiny(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 48)
        self.wide = nn.Linear(320, 32)
        self.linear_odd = nn.Linear(48, 40)
        self.conv1 = nn.Conv1d(32, 32, 3)
        self.conv = nn.Conv2d(64, 48, 3, padding=1)
        self.conv_point = nn.Conv2d(80, 32, 1)
        self.conv_groups = nn.Conv2d(64, 32, 3, groups=2)
        self.conv3 = nn.Conv3d(32, 16, (1, 3, 3))
        self.up = nn.ConvTranspose2d(32, 32, 2, stride=2)
        self.embed_tokens = nn.Embedding(80, 64)


def layers(model):
    return [(name, module) for name, module in model.named_modules() if name and hasattr(module, "weight")]


def far(a, b):
    d = (a.float() - b.float()).abs().max() / b.float().abs().max().clamp_min(1e-12)
    return float("inf") if d != d else d.item()


def outputs(model, source, dtype):
    out = {}
    for name, module in layers(model):
        x = source["x." + name]
        try:
            with torch.no_grad():
                out[name] = module(x.long() if name == "embed_tokens" else x.to(dtype)).float()
        except RuntimeError:  # sdnq 0.2.8 cannot multiply those of low rank in groups, its own either
            if name != "conv_groups":
                raise
    return out


def dense(model):
    """The dequantized weights; sdnq 0.2.8 cannot dequantize convolutions that it multiplies quantized if they are rotated or of low rank."""
    out = {}
    for name, module in layers(model):
        try:
            out[name] = dequantize_sdnq_model(nn.Sequential(copy.deepcopy(module)))[0].weight.detach().float().contiguous()
        except RuntimeError:
            if not name.startswith("conv"):
                raise
    return out


def from_source(source, dtype):
    model = Tiny()
    model.load_state_dict({k: v for k, v in source.items() if not k.startswith("x.")})
    return model.to(dtype)


def loads(root, test, source):
    """Python's reading of ours: the largest differences of dense weights and of outputs."""
    dtype, folder = DTYPES[test["dtype"]], root / "ours" / test["name"]
    ours = load_file(str(folder) + ".safetensors")
    model = load_sdnq_model(str(folder), model_cls=Tiny, dtype=dtype)
    weights = max(far(w, ours["dequant." + name]) for name, w in dense(model).items())
    plain = from_source(source, torch.float32)
    for name, module in layers(plain):
        module.weight.data = ours["dequant." + name]
        if module.__dict__.get("_parameters", {}).get("bias") is not None:
            module.bias.data = module.bias.data.to(dtype).float()
    want = outputs(plain, {k: v.to(dtype).float() if k.startswith("x.") else v for k, v in source.items()}, torch.float32)
    got = outputs(model, source, dtype)
    if test["ours"]["weights_dtype"] == "uint8" and test["ours"]["use_quantized_matmul_conv"]:
        got.pop("conv_groups", None)  # which sdnq 0.2.8 multiplies wrong, its own too
    dequantized = max(far(y, want[name]) for name, y in got.items())
    exact = max((far(y, ours["y8." + name]) for name, y in got.items() if "y8." + name in ours), default=0.0)
    return weights, dequantized, exact


def quantizes(root, test, source):
    """Python's own model of the same config, for us to read; how many of its tensors are ours, byte by byte."""
    dtype, folder = DTYPES[test["dtype"]], root / "theirs" / test["name"]
    config = dict(test["ours"])
    if config["use_dynamic_quantization"]:  # let it choose itself
        config.update(modules_dtype_dict={}, modules_to_not_convert=[])
    for key in ("is_integer", "is_unsigned", "quant_method", "sdnq_version", "scale_dtype", "zero_point_dtype", "is_training", "use_static_quantization", "use_grad_ckpt"):
        config.pop(key, None)
    model = sdnq_post_load_quant(from_source(source, dtype), torch_dtype=dtype, **config)
    save_sdnq_model(model, str(folder))
    save_file({**{"dequant." + k: v for k, v in dense(model).items()}, **{"y." + k: v.contiguous() for k, v in outputs(model, source, dtype).items()}}, str(folder) + ".safetensors")
    ours, state = load_file(root / "ours" / test["name"] / "diffusion_pytorch_model.safetensors"), load_file(folder / "diffusion_pytorch_model.safetensors")
    names = [k for k in state if k.rsplit(".", 1)[0] + ".scale" in state and not k.endswith(".bias")]
    same = sum(k in ours and ours[k].dtype == state[k].dtype and torch.equal(ours[k].view(torch.uint8), state[k].view(torch.uint8)) for k in names)
    return same, len(names)


# The largest differences allowed, relative to the largest value: of weights; of outputs from those of the dense weights, without and
# with the quantized matmul, whose activations are rounded; and of Linears' outputs from ours of the same matmul.
ALLOWED = {"F32": (2e-6, 1e-5, 0.05, 1e-5), "BF16": (8e-3, 2e-2, 0.06, 2e-2), "F16": (2e-3, 2e-2, 0.06, 2e-2)}


def both(root, test, source):
    """The result of one config: differences, tensors equal and all, what failed, what Python cannot do itself."""
    off = same = failed = cannot = None
    try:
        off = loads(root, test, source)
        weight, plain, rounded, exact = ALLOWED[test["dtype"]]
        if re.fullmatch(r"u?int(9|1\d)", test["ours"]["weights_dtype"]):
            exact = max(exact, 1e-3)  # codes are made anew for the product, and one that lies at a half goes either way: its column differs
        allowed = weight, rounded if test["ours"]["use_quantized_matmul"] else plain, exact
        if any(a > b for a, b in zip(off, allowed)):
            failed = f"off by {off}, allowed {allowed}"
    except Exception as e:
        failed = f"{type(e).__name__}: {str(e)[:300]}"
    try:
        same = quantizes(root, test, source)
    except Exception as e:
        cannot = f"{type(e).__name__}: {str(e)[:150]}"
    return off, same, failed, cannot


def check(root):
    source, tests = load_file(root / "source.safetensors"), json.loads((root / "tests.json").read_text())
    with multiprocessing.Pool(int(os.environ.get("JOBS", os.cpu_count()))) as pool:
        results = pool.starmap(both, [(root, test, source) for test in tests], chunksize=8)
    table = collections.defaultdict(lambda: [0, [0.0, 0.0, 0.0], 0, 0])
    for test, (off, same, failed, cannot) in zip(tests, results):
        row, what = table[test["group"]], f"{test['name']} {test['dtype']} {json.dumps(test['config'])}"
        if failed:
            print(f"FAIL {what}: {failed}")
        if cannot:
            print(f"Python cannot quantize {what}: {cannot}")
        if off:
            row[0], row[1] = row[0] + 1, [max(a, b) for a, b in zip(row[1], off)]
        if same:
            row[2], row[3] = row[2] + same[0], row[3] + same[1]
    (root / "theirs.json").write_text(json.dumps([t for t, r in zip(tests, results) if r[1]]))
    print("| read by Python | configs | weights off by | outputs off by | Linears from graphrun's in int8 | tensors that Python makes byte by byte |\n|---|---|---|---|---|---|")
    for group, (n, off, same, all_) in table.items():
        print(f"| {group} | {n} | {' | '.join(f'{x:.1e}' for x in off)} | {same} of {all_} |")
    sys.exit(1 if any(r[2] for r in results) else 0)


if __name__ == "__main__":
    check(pathlib.Path(sys.argv[1]))
