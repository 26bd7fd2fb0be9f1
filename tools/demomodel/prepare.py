"""Render the emoji, cut CLIP's tokenizer down, and write the tables the Go test reads.

    DEMOWORK=... python prepare.py NOTO_PACKAGE CLIP_TOKENIZER [TESTDATA]

NOTO_PACKAGE    the unpacked npm package @iconify-json/noto (icons.json)
CLIP_TOKENIZER  a folder with CLIP's vocab.json and merges.txt (.gz is fine too)
TESTDATA        where demo_reference.png and demo_prompts.json go
"""

import gzip
import io
import json
import os
import sys

import numpy as np
import resvg_py
from PIL import Image

from data import COLUMNS, EMOJI, NAMES, SIZE, work, write_tables

INNER = 90  # the emoji's own square in the picture: a little air around it
BIG = 720  # rendered this large, then area-averaged
MERGES = 1500  # of CLIP's 48,894


def render(body):
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 128 128" width="{BIG}" height="{BIG}">{body}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=BIG, height=BIG)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def shrink(im, side):
    """Area average with alpha premultiplied; returns straight alpha, float 0..255."""
    a = np.asarray(im, np.float32)
    alpha = a[..., 3:]
    pm = np.concatenate([a[..., :3] * alpha / 255, alpha], -1)
    pm = np.stack([np.asarray(Image.fromarray(pm[..., c]).resize((side, side), Image.BOX)) for c in range(4)], -1)
    rgb = np.where(pm[..., 3:] > 0.5, pm[..., :3] * 255 / np.maximum(pm[..., 3:], 1e-3), 0)
    return np.concatenate([rgb, pm[..., 3:]], -1).clip(0, 255)


def read(folder, name):
    p = os.path.join(folder, name)
    if os.path.exists(p):
        return open(p, encoding="utf8").read()
    return gzip.open(p + ".gz", "rt", encoding="utf8").read()


def tokenizer(src, dst):
    """The first MERGES merges of CLIP's list, in CLIP's own file format."""
    full = json.loads(read(src, "vocab.json"))
    merges = read(src, "merges.txt").split("\n")[: MERGES + 1]
    vocab = {}
    for t in sorted(full, key=full.get)[:512]:  # the bytes, and the bytes that end a word
        vocab[t] = len(vocab)
    for m in merges[1:]:
        vocab.setdefault("".join(m.split()), len(vocab))
    for t in ("<|startoftext|>", "<|endoftext|>"):
        vocab[t] = len(vocab)
    os.makedirs(dst, exist_ok=True)
    with open(os.path.join(dst, "vocab.json"), "w", encoding="utf8") as f:
        json.dump(vocab, f, ensure_ascii=False)
    with open(os.path.join(dst, "merges.txt"), "w", encoding="utf8") as f:
        f.write("\n".join(merges) + "\n")
    special = lambda t: {"content": t, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    bos, eos = special("<|startoftext|>"), special("<|endoftext|>")
    with open(os.path.join(dst, "special_tokens_map.json"), "w") as f:
        json.dump({"bos_token": bos, "eos_token": eos, "pad_token": "<|endoftext|>", "unk_token": eos}, f, indent=2)
    cfg = {
        "add_prefix_space": False, "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "do_lower_case": True,
        "errors": "replace", "model_max_length": 77, "tokenizer_class": "CLIPTokenizer",
        "added_tokens_decoder": {
            str(vocab["<|startoftext|>"]): {**bos, "special": True},
            str(vocab["<|endoftext|>"]): {**eos, "special": True}},
    }
    with open(os.path.join(dst, "tokenizer_config.json"), "w") as f:
        json.dump(cfg, f, indent=2)
    return len(vocab)


def main():
    noto, clip = sys.argv[1:3]
    icons = json.load(open(os.path.join(noto, "icons.json")))["icons"]
    os.makedirs(work(), exist_ok=True)
    pad = (SIZE - INNER) // 2
    out = np.zeros((len(NAMES), SIZE, SIZE, 4), np.uint8)
    rows = (len(NAMES) + COLUMNS - 1) // COLUMNS
    sheet = np.zeros((rows * 32, COLUMNS * 32, 4), np.uint8)
    for i, name in enumerate(NAMES):
        big = render(icons[EMOJI[name]]["body"])
        out[i, pad:pad + INNER, pad:pad + INNER] = np.rint(shrink(big, INNER))
        y, x = i // COLUMNS * 32, i % COLUMNS * 32
        sheet[y:y + 32, x:x + 32] = np.rint(shrink(Image.fromarray(out[i]), 32))
    np.save(work("emoji.npy"), out)
    print(len(NAMES), "emoji;", tokenizer(clip, work("out", "tokenizer")), "tokens")
    if len(sys.argv) > 3:
        os.makedirs(sys.argv[3], exist_ok=True)
        Image.fromarray(sheet).save(os.path.join(sys.argv[3], "demo_reference.png"), optimize=True)
        write_tables(sys.argv[3])


main()
