"""Muon (momentum, then the nearest orthogonal matrix) for matrices and convolutions, AdamW for the rest.

About twice as much learning per step as AdamW alone on these small networks. The Newton-Schulz
iteration runs on the small square Gram matrix, so that it costs a CPU almost nothing.
"""

import torch


def orthogonal(g):
    """About U V^T of the matrix's SVD."""
    tall = g.shape[0] > g.shape[1]
    x = g.T if tall else g
    x = x / (x.norm() + 1e-12)
    gram, eye = x @ x.T, torch.eye(x.shape[0])
    p = eye
    for _ in range(5):
        q = 3.4445 * eye - 4.7750 * gram + 2.0315 * gram @ gram
        p, gram = q @ p, q @ gram @ q
    x = p @ x
    return x.T if tall else x


class Muon:
    """lr is an AdamW learning rate: an update's root mean square is matched to AdamW's."""

    def __init__(self, named, lr, momentum=0.95, weight_decay=0.01, plain=()):
        named = [(n, p) for n, p in named if p.requires_grad]
        mat = [(n, p) for n, p in named if p.ndim >= 2 and not any(s in n for s in plain)]
        keep = {n for n, _ in mat}
        self.mats = [p for _, p in mat]
        self.buf = [torch.zeros_like(p) for p in self.mats]
        self.rest = torch.optim.AdamW([p for n, p in named if n not in keep], lr=lr, betas=(0.9, 0.98), weight_decay=0, fused=True)
        self.params = [p for _, p in named]
        self.momentum, self.weight_decay = momentum, weight_decay

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self, lr):
        for g in self.rest.param_groups:
            g["lr"] = lr
        self.rest.step()
        for p, b in zip(self.mats, self.buf):
            b.lerp_(p.grad, 1 - self.momentum)
            g = p.grad.lerp(b, self.momentum).reshape(p.shape[0], -1)
            u = orthogonal(g).reshape(p.shape)
            p.mul_(1 - lr * self.weight_decay)
            p.add_(u, alpha=-lr * 0.2 * max(g.shape) ** 0.5)

    def state_dict(self):
        return {"buf": self.buf, "rest": self.rest.state_dict()}

    def load_state_dict(self, s):
        for b, v in zip(self.buf, s["buf"]):
            b.copy_(v)
        self.rest.load_state_dict(s["rest"])
