"""Times one peer on rows of `graphrun bench kernels`: peer_kernels.py PEER SECONDS NAME... Prints {name: milliseconds}."""
import re
import sys

from peers import Absent, best, native_bf16, openvino, quantize_sdnq, report, threads, torch

LAYERS = {"f32": 1, "bf16": 2, "int8": 4, "q8_0": 4}  # of the row of one: together they do not fit a cache


SDNQ = {  # cmd/graphrun/bench_sdnq.go
    "int8": {},
    "uint8": {"weights_dtype": "uint8"},
    "uint4 g64": {"weights_dtype": "uint4", "group_size": 64},
    "uint4 g64 SVD32": {"weights_dtype": "uint4", "group_size": 64, "use_svd": True, "svd_rank": 32},
    "int8 Hadamard": {"use_hadamard": True},
    "fp8": {"weights_dtype": "float8_e4m3fn"},
}


def sdnq_row(name, dtype):
    """A layer's quantized matmul, or its dequantizer alone."""
    t = torch()
    kind, what, sizes = re.fullmatch(r"SDNQ (.+), (\w+) ([\dx]+)", name).groups()
    *m, a, b = map(int, sizes.split("x"))
    k, n = (a, b) if m else (b, a)
    layer = quantize_sdnq(t.nn.Sequential(t.nn.Linear(k, n, dtype=dtype)), False, use_quantized_matmul=bool(m), add_skip_keys=False, **SDNQ[kind])[0]
    if m:
        x = t.rand(*m, k, dtype=dtype) - 0.5
        return lambda: layer(x), 1
    parts = {p: getattr(layer, p) for p in ("weight", "scale", "zero_point", "svd_up", "svd_down", "hadamard") if getattr(layer, p, None) is not None}
    return lambda: layer.sdnq_dequantizer(**parts), 1


def torch_row(name, kind, sdnq):
    t = torch()
    dtype = t.float32 if kind == "f32" else t.bfloat16
    f = t.nn.functional
    if name.startswith("SDNQ ") and sdnq:
        return sdnq_row(name, dtype if native_bf16() else t.float32)
    if m := re.fullmatch(r"matmul (\d+)x(\d+)x(\d+)", name):
        m, k, n = map(int, m.groups())
        count = LAYERS["int8" if sdnq else kind] if m == 1 else 1
        layers = [t.nn.Sequential(t.nn.Linear(k, n, dtype=dtype)) for _ in range(count)]
        if sdnq:
            layers = [quantize_sdnq(layer, False, add_skip_keys=False) for layer in layers]
        x = t.rand(m, k, dtype=dtype) - 0.5
        return lambda: [layer(x) for layer in layers], count
    if m := re.fullmatch(r"conv 3x3 C(\d+) (\d+)x(\d+)", name):
        c, h, w = map(int, m.groups())
        conv = t.nn.Sequential(t.nn.Conv2d(c, c, 3, padding=1, dtype=dtype))
        if sdnq:
            conv = quantize_sdnq(conv, True, add_skip_keys=False)
        else:
            conv = conv.to(memory_format=t.channels_last)
        x = t.randn(1, c, h, w, dtype=dtype).to(memory_format=t.channels_last)
        return lambda: conv(x), 1
    if sdnq:
        raise Absent
    if m := re.fullmatch(r"attention (\d+) heads L(\d+) d(\d+)", name):
        heads, tokens, d = map(int, m.groups())
        q, k, v = (t.randn(1, heads, tokens, d, dtype=dtype) for _ in range(3))
        return lambda: f.scaled_dot_product_attention(q, k, v), 1
    if m := re.fullmatch(r"group norm (\d+)x(\d+) C(\d+)", name):
        h, w, c = map(int, m.groups())
        x, g, b = t.randn(1, c, h, w, dtype=dtype), t.randn(c, dtype=dtype), t.randn(c, dtype=dtype)
        return lambda: f.group_norm(x, 32, g, b, 1e-6), 1
    if m := re.fullmatch(r"layer norm (\d+)x(\d+)", name):
        rows, c = map(int, m.groups())
        x, g, b = t.randn(rows, c, dtype=dtype), t.randn(c, dtype=dtype), t.randn(c, dtype=dtype)
        return lambda: f.layer_norm(x, (c,), g, b), 1
    if m := re.fullmatch(r"(GELU|GEGLU) (\d+)x(\d+)", name):
        x = t.randn(int(m[2]), int(m[3]), dtype=dtype)
        if m[1] == "GELU":
            return lambda: f.gelu(x), 1
        return lambda: (lambda value, gate: value * f.gelu(gate))(*x.chunk(2, -1)), 1
    if m := re.fullmatch(r"SiLU (\d+)x(\d+) C(\d+)", name):
        x = t.randn(*map(int, m.groups()), dtype=dtype)
        return lambda: f.silu(x), 1
    if m := re.fullmatch(r"softmax (\d+)x(\d+)", name):
        x = t.randn(int(m[1]), int(m[2]), dtype=dtype)
        return lambda: f.softmax(x, -1), 1
    if m := re.fullmatch(r"transpose (\d+)x(\d+)", name):
        x = t.randn(int(m[1]), int(m[2]), dtype=dtype)
        return lambda: x.t().contiguous(), 1
    if m := re.fullmatch(r"resize (\w+) (\d+)x(\d+) to (\d+)x(\d+) C(\d+)", name):
        h, w, oh, ow, c = map(int, m.groups()[1:])
        x = t.randn(1, c, h, w, dtype=dtype).to(memory_format=t.channels_last)
        return lambda: f.interpolate(x, size=(oh, ow), mode=m[1]), 1
    raise Absent


def openvino_row(name, kind):
    import numpy as np
    import openvino as ov
    import openvino.opset13 as op

    rng = np.random.default_rng(1)
    precision = "f32" if kind == "int8" else kind

    def uniform(*shape):
        return rng.random(shape, np.float32) - 0.5

    def weights(*shape):
        w = uniform(*shape)
        if kind != "int8":
            return op.constant(w)
        scale = (np.abs(w).reshape(len(w), -1).max(1) / 127).astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))
        return op.multiply(op.convert(op.constant(np.rint(w / scale).astype(np.int8)), ov.Type.f32), op.constant(scale))

    def static(x):  # what NNCF puts before an int8 product: a fixed scale, no search for the largest value
        if kind != "int8":
            return x
        low, high = op.constant(np.float32(-0.5)), op.constant(np.float32(0.5 * 127 / 128))
        return op.fake_quantize(x, low, high, low, high, 256)

    def request(inputs, output):
        arrays = [uniform(*p.shape) for p in inputs]
        r = openvino(ov.Model([output], inputs, "row"), precision)
        r.infer(arrays)
        return lambda: r.infer(share_inputs=True)

    if m := re.fullmatch(r"matmul (\d+)x(\d+)x(\d+)", name):
        m, k, n = map(int, m.groups())
        count = LAYERS[kind] if m == 1 else 1
        runs = []
        for _ in range(count):
            x = op.parameter([m, k], ov.Type.f32)
            runs.append(request([x], op.add(op.matmul(static(x), weights(n, k), False, True), op.constant(uniform(n)))))
        return lambda: [run() for run in runs], count
    if m := re.fullmatch(r"conv 3x3 C(\d+) (\d+)x(\d+)", name):
        c, h, w = map(int, m.groups())
        x = op.parameter([1, c, h, w], ov.Type.f32)
        return request([x], op.convolution(static(x), weights(c, c, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])), 1
    if (m := re.fullmatch(r"attention (\d+) heads L(\d+) d(\d+)", name)) and kind != "int8":
        heads, tokens, d = map(int, m.groups())
        q, k, v = (op.parameter([1, heads, tokens, d], ov.Type.f32) for _ in range(3))
        return request([q, k, v], op.scaled_dot_product_attention(q, k, v)), 1
    raise Absent


def ggml_row(name):
    m = re.fullmatch(r"matmul (\d+)x(\d+)x(\d+)", name)
    if not m:
        raise Absent
    import peer_ggml

    m, k, n = map(int, m.groups())
    count = LAYERS["q8_0"] if m == 1 else 1
    return peer_ggml.matmul(m, k, n, count, threads()), count


def main():
    peer, seconds, names = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    result, done = {}, {}
    for name in names:
        family, kind = peer.split()[0], peer.split()[-1]
        product = name if family == "sdnq" else re.sub("^SDNQ .*, ", "", name)
        if product in done:  # once for all dtypes
            result[name] = done[product]
            continue
        try:
            if family == "OpenVINO":
                run, count = openvino_row(product, kind)
            elif family == "ggml":
                run, count = ggml_row(product)
            else:
                run, count = torch_row(product, "f32" if kind == "f32" else "bf16", family == "sdnq")
            run()  # fills caches, compiles
            result[name] = done[product] = best(run, seconds, 3) / count * 1e3
        except Absent:
            continue
        except Exception as e:  # a peer that fails is a gap in the table, with its reason
            print(f"{peer}: {name}: {type(e).__name__}: {str(e)[:300]}", file=sys.stderr)
    report(result)


if __name__ == "__main__":
    main()
