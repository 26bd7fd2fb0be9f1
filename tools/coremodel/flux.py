"""Writes runtime/diffusion/testdata/flux: a FluxTransformer2DModel of a few thousand random weights in the diffusers
layout, and what the formulas of FLUX.1 (families.md 5), written here with numpy alone in float64, give for two inputs, so
that a lone clone holds the family to something that shares no code with it.

    pip install numpy
    python flux.py                      # write
    python flux.py CASES.json           # hold these formulas to diffusers' own results, golden/models/cases.json

Run by hand, never by users or CI. Against diffusers 0.42 the formulas agree to 6e-6.
"""
import json
import os
import struct
import sys

import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../runtime/diffusion/testdata/flux")


def read(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, e in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__" and e["dtype"] in ("BF16", "F32"):
            data = raw[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]]
            v = np.frombuffer(data, "<u2").astype("<u4") << 16 if e["dtype"] == "BF16" else np.frombuffer(data, "<u4")
            out[name] = v.view("<f4").astype(np.float64).reshape(e["shape"])
    return out


def write(path, tensors, bf16):
    head, data = {}, b""
    for name, v in sorted(tensors.items()):
        b = v.astype("<f4").view("<u4")
        b = (b >> 16).astype("<u2").tobytes() if bf16 else b.tobytes()
        head[name] = {"dtype": "BF16" if bf16 else "F32", "shape": list(v.shape), "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


class Flux:
    def __init__(self, config, weights):
        self.c, self.w = config, weights
        self.heads, self.d = config["num_attention_heads"], config["attention_head_dim"]

    def linear(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def mlp(self, name, x):
        return self.linear(name + ".linear_2", silu(self.linear(name + ".linear_1", x)))

    def head(self, x, norm):
        """[tokens, width] to [heads, tokens, d], each row divided by its root mean square."""
        x = x.reshape(len(x), self.heads, self.d).transpose(1, 0, 2)
        if norm:
            x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * self.w[norm + ".weight"]
        return x

    def attention(self, q, k, v, angles):
        q, k = turn(q, angles), turn(k, angles)
        s = q @ k.transpose(0, 2, 1) / np.sqrt(self.d)
        s = np.exp(s - s.max(-1, keepdims=True))
        return (s / s.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)

    def __call__(self, image, text, pooled, time, guidance, ids):
        vec = self.mlp("time_text_embed.timestep_embedder", sinusoid(time))
        if self.c["guidance_embeds"]:
            vec = vec + self.mlp("time_text_embed.guidance_embedder", sinusoid(guidance))
        vec = silu(vec + self.mlp("time_text_embed.text_embedder", pooled))
        axes = self.c["axes_dims_rope"]
        angles = np.concatenate([ids[:, a:a + 1] * 10000.0 ** (-np.arange(0, d, 2) / d) for a, d in enumerate(axes)], 1)
        x, y, n = self.linear("x_embedder", image), self.linear("context_embedder", text), len(text)
        for i in range(self.c["num_layers"]):
            p = f"transformer_blocks.{i}."
            mx, my = np.split(self.linear(p + "norm1.linear", vec), 6), np.split(self.linear(p + "norm1_context.linear", vec), 6)
            nx, ny = layer_norm(x) * (1 + mx[1]) + mx[0], layer_norm(y) * (1 + my[1]) + my[0]
            q, k, v = (np.concatenate([self.head(self.linear(p + f"attn.add_{s}_proj", ny), norm and p + f"attn.norm_added_{s}"),
                                       self.head(self.linear(p + f"attn.to_{s}", nx), norm and p + f"attn.norm_{s}")], 1) for s, norm in (("q", 1), ("k", 1), ("v", 0)))
            a = self.attention(q, k, v, angles)
            x, y = x + mx[2] * self.linear(p + "attn.to_out.0", a[n:]), y + my[2] * self.linear(p + "attn.to_add_out", a[:n])
            for s, m, ff in ((x, mx, "ff"), (y, my, "ff_context")):
                h = layer_norm(s) * (1 + m[4]) + m[3]
                s += m[5] * self.linear(p + ff + ".net.2", gelu(self.linear(p + ff + ".net.0.proj", h)))
        s = np.concatenate([y, x])
        for i in range(self.c["num_single_layers"]):
            p = f"single_transformer_blocks.{i}."
            shift, scale, gate = np.split(self.linear(p + "norm.linear", vec), 3)
            h = layer_norm(s) * (1 + scale) + shift
            a = self.attention(*(self.head(self.linear(p + f"attn.to_{t}", h), t != "v" and p + f"attn.norm_{t}") for t in "qkv"), angles)
            s = s + gate * self.linear(p + "proj_out", np.concatenate([a, gelu(self.linear(p + "proj_mlp", h))], 1))
        scale, shift = np.split(self.linear("norm_out.linear", vec), 2)
        return self.linear("proj_out", layer_norm(s[n:]) * (1 + scale) + shift)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)


def turn(x, angles):
    a, b, c, s = x[..., 0::2], x[..., 1::2], np.cos(angles), np.sin(angles)
    return np.stack([a * c - b * s, b * c + a * s], -1).reshape(x.shape)


def sinusoid(t):
    """Of 1000*t; frequencies in float32, as the networks were trained."""
    f = np.exp((np.float32(-np.log(10000)) * np.arange(128, dtype=np.float32) / np.float32(128)).astype(np.float64)).astype(np.float32)
    angle = (np.float32(1000) * np.float32(t) * f).astype(np.float64)
    return np.concatenate([np.cos(angle), np.sin(angle)])


def check(manifest):
    root = os.path.dirname(os.path.abspath(manifest))
    for c in json.load(open(manifest)):
        if c["kind"] != "flux_forward":
            continue
        dir = f"{root}/tiny/{c['model']}/{c['component']}"
        w = {k: v for f in sorted(os.listdir(dir)) if f.endswith(".safetensors") for k, v in read(f"{dir}/{f}").items()}
        t, i = read(f"{root}/{c['file']}"), c["inputs"]
        get = lambda name: t[i[name]]
        got = Flux(json.load(open(dir + "/config.json")), w)(get("hidden_states")[0], get("encoder_hidden_states")[0], get("pooled_projections")[0], i["timestep"],
                                                              i["guidance"], np.concatenate([get("txt_ids"), get("img_ids")]))
        print(c["id"], np.abs(got - t[c["outputs"]["sample"]][0]).max())


def main():
    config = {"_class_name": "FluxTransformer2DModel", "attention_head_dim": 6, "axes_dims_rope": [2, 2, 2], "guidance_embeds": True, "in_channels": 5, "out_channels": 3,
              "joint_attention_dim": 7, "num_attention_heads": 2, "num_layers": 1, "num_single_layers": 1, "patch_size": 2, "pooled_projection_dim": 4}
    width, shapes = 12, {}

    def linear(name, i, o):
        shapes[name + ".weight"], shapes[name + ".bias"] = (o, i), (o,)
    for name, i in (("timestep_embedder", 256), ("guidance_embedder", 256), ("text_embedder", 4)):
        linear(f"time_text_embed.{name}.linear_1", i, width)
        linear(f"time_text_embed.{name}.linear_2", width, width)
    linear("x_embedder", 5, width), linear("context_embedder", 7, width)
    linear("norm_out.linear", width, 2 * width), linear("proj_out", width, 12)
    for side, names in {"": ("norm1", "to_{}", "to_out.0", "norm_{}", "ff"), "_context": ("norm1_context", "add_{}_proj", "to_add_out", "norm_added_{}", "ff_context")}.items():
        norm, qkv, out, rms, ff = names
        p = "transformer_blocks.0."
        linear(p + norm + ".linear", width, 6 * width), linear(p + "attn." + out, width, width)
        linear(p + ff + ".net.0.proj", width, 4 * width), linear(p + ff + ".net.2", 4 * width, width)
        for s in "qkv":
            linear(p + "attn." + qkv.format(s), width, width)
        for s in "qk":
            shapes[p + "attn." + rms.format(s) + ".weight"] = (6,)
    p = "single_transformer_blocks.0."
    linear(p + "norm.linear", width, 3 * width), linear(p + "proj_mlp", width, 4 * width), linear(p + "proj_out", 5 * width, width)
    for s in "qkv":
        linear(p + "attn.to_" + s, width, width)
    for s in "qk":
        shapes[p + f"attn.norm_{s}.weight"] = (6,)

    r, w = np.random.default_rng(1), {}
    for name, shape in shapes.items():
        v = r.standard_normal(shape) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.2) + ("norm_" in name and len(shape) == 1 and "linear" not in name)
        bits = v.astype("<f4").view("<u4") & 0xffff0000  # values that bfloat16 files hold exactly
        w[name] = bits.view("<f4").astype(np.float64)
    t = {"image": r.standard_normal((2, 6, 5)), "text": r.standard_normal((2, 4, 7)), "pooled": r.standard_normal((2, 4)), "time": np.array([0.987, 0.25]),
         "guidance": np.array([3.5, 1.0]), "ids": np.concatenate([np.zeros((4, 3)), np.array([(0, i // 3, i % 3) for i in range(6)])])}
    t = {k: v.astype(np.float32).astype(np.float64) for k, v in t.items()}
    flux = Flux(config, w)
    t["out"] = np.stack([flux(t["image"][i], t["text"][i], t["pooled"][i], t["time"][i], t["guidance"][i], t["ids"]) for i in range(2)])
    os.makedirs(OUT, exist_ok=True)
    json.dump(config, open(OUT + "/config.json", "w"), indent=1)
    write(OUT + "/diffusion_pytorch_model.safetensors", w, True)
    write(OUT + "/expected.safetensors", t, False)


if __name__ == "__main__":
    check(sys.argv[1]) if len(sys.argv) > 1 else main()
