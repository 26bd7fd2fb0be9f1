"""Measures graphrun and its peers on the same shapes in the same minutes and prints the ratios as Markdown; see README.md."""
import argparse
import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from peers import PEERS

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
GROUPS = [r"^matmul \d{2}", "^matmul 1x", "^conv", "^attention", "norm|LU ", "^SDNQ.*matmul", "^SDNQ.*dequantize"]  # rows measured by one process
MODELS = ["sd15-unet", "sd15-vae-decode", "flux-blocks", "sdxl-unet"]


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("what", nargs="*", default=["kernels", "models"], help="kernels, models")
    p.add_argument("--python", default=HERE / "venv/bin/python", help="of the peers' environment (setup.sh)")
    p.add_argument("--graphrun", help="the program; built from this repository if not given")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides")
    p.add_argument("--rounds", type=int, default=3, help="of graphrun, then each peer, in turn; the best counts")
    p.add_argument("--seconds", type=float, default=0.5, help="how long a kernel is repeated in a round")
    p.add_argument("--runs", type=int, default=2, help="passes of a model in a round, after the first")
    p.add_argument("--only", help="kernels: regular expression of rows; models: of models")
    p.add_argument("--arithmetic", default="int8,int8-fast,bfloat16,float32", help="of graphrun's models")
    p.add_argument("--peers", help=f"comma-separated, of: {', '.join(PEERS)}")
    p.add_argument("--timeout", type=float, default=1800, help="seconds a peer may take for its part of a round")
    p.add_argument("--cache", type=pathlib.Path, default=REPO / "build/bench-peers", help="folder for converted models (12 GB)")
    p.add_argument("--out", type=pathlib.Path, help="also write every figure as JSON")
    a = p.parse_args()
    if bad := set(a.what) - {"kernels", "models"}:
        p.error(f"there is no {', '.join(bad)}")
    if a.peers and (bad := set(a.peers.split(",")) - set(PEERS)):
        p.error(f"there is no peer {', '.join(bad)}")
    return a


class Bench:
    def __init__(self, a):
        self.a, self.best, self.load, self.failed = a, {}, [], {}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PEER_THREADS"):
            self.env[k] = str(a.threads)
        self.graphrun = a.graphrun or self.build()
        self.peers, self.absent, self.versions = [], [], []
        self.find(a.peers.split(",") if a.peers else list(PEERS))

    def build(self):
        out = REPO / "build/graphrun"
        subprocess.run(["go", "build", "-o", out, "./cmd/graphrun"], cwd=REPO, check=True, env={**os.environ, "CGO_ENABLED": "0"})
        return out

    def find(self, wanted):
        """Which peers are installed, and in which versions."""
        packages = sorted({p for name in wanted for p in PEERS[name][0]} | {"nncf"})
        found = {}
        for p in packages:
            probe = f"import {p}, importlib.metadata as m; print(m.version({'stable-diffusion-cpp-python' if p == 'stable_diffusion_cpp' else p!r}))"
            try:
                r = subprocess.run([self.a.python, "-c", probe], capture_output=True, text=True, env=self.env)
            except OSError as e:
                sys.exit(f"{self.a.python}: {e.strerror}; run setup.sh, or give --python")
            if r.returncode == 0:
                found[p] = r.stdout.split()[-1]
        self.versions = [f"{p} {v}" for p, v in found.items()]
        for name in wanted:
            lacks = [p for p in PEERS[name][0] if p not in found]
            if lacks:
                self.absent.append(f"{name} ({', '.join(lacks)} not installed)")
            else:
                self.peers.append(name)

    def process(self, what, command, env):
        """Runs a command alone: what its last line of output says, and the most memory it had, in MB."""
        self.load.append(os.getloadavg()[0])
        begin = time.monotonic()
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            p = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, env=env, cwd=HERE, start_new_session=True)
            rss = 0
            try:
                while time.monotonic() - begin < self.a.timeout:
                    pid, status, usage = os.wait4(p.pid, os.WNOHANG)
                    if pid:
                        p.returncode, rss = os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1e3 * 1.024
                        break
                    time.sleep(0.05)
            finally:
                if p.returncode is None:  # too slow, or we are being stopped
                    os.killpg(p.pid, signal.SIGKILL)  # with the workers that torch compiles in
                    p.wait()
            out.seek(0), err.seek(0)
            text, errors = out.read(), err.read()
        print(f"{time.monotonic() - begin:7.1f} s  {what}", file=sys.stderr)
        if p.returncode != 0:
            why = f"ended with {p.returncode}" if rss else f"took longer than {self.a.timeout:g} s"
            self.fail(what, why + (": " + errors.strip().splitlines()[-1][:200] if errors.strip() else ""))
            return None, 0
        for line in errors.splitlines():
            if m := re.match(r"[^:]+: ([^:]+: \w*(Error|Exception|Failure|Found\w*): .*)", line):
                self.fail(what, m[1])
        return text, rss

    def fail(self, what, why):
        print(f"           {what}: {why}", file=sys.stderr)
        self.failed[what] = why

    def note(self, table, row, who, value, memory=0.0):
        """Keeps the best time; the memory is that of the best time."""
        old = self.best.setdefault((table, row), {}).get(who)
        if old is None or value < old[0]:
            self.best[table, row][who] = (value, memory)

    def kernels(self):
        a = self.a
        for turn in range(a.rounds):
            for group in [a.only] if a.only else GROUPS:
                text, _ = self.process(f"graphrun kernels {group}", [
                    self.graphrun, "bench", "kernels", "--json", f"--cpu-threads={a.threads}", f"--time={a.seconds}s", "--only", group,
                ], self.env)
                names = []
                for f in json.loads(text) if text else []:
                    if "ms" not in f:
                        self.note("limits", (f["name"], f.get("arithmetic", ""), f["unit"]), "graphrun", -f["rate"])
                        continue
                    names += [f["name"]] if f["name"] not in names else []
                    self.note("kernels", (f["name"], f.get("arithmetic", "")), "graphrun", f["ms"])
                    self.work[f["name"], f.get("arithmetic", "")] = (f["rate"] * f["ms"], f["unit"], f.get("note", ""))
                for peer in self.peers if names else []:
                    text, _ = self.process(f"{peer}: {group}", [a.python, HERE / "peer_kernels.py", peer, a.seconds, *names], {**self.env, **PEERS[peer][1]})
                    for name, ms in json.loads(text.splitlines()[-1]).items() if text else []:
                        self.note("kernels", name, peer, ms)

    work = {}  # of graphrun's rows: rate times milliseconds

    def models(self):
        a = self.a
        models = [m for m in MODELS if not a.only or re.search(a.only, m)]
        for model in models:
            for what in ("openvino", "ggml"):
                wanted = any(p.lower().startswith(what) for p in self.peers)
                if wanted and (model == "sd15-unet" if what == "ggml" else model != "sdxl-unet"):
                    self.process(f"prepare {what} {model}", [a.python, HERE / "peer_models.py", "prepare", what, model, a.cache], self.env)
        for turn in range(a.rounds):
            for model in models:
                for arithmetic in a.arithmetic.split(","):
                    text, rss = self.process(f"graphrun {model}, {arithmetic}", [
                        self.graphrun, "bench", "models", "--json", "--only", model, "--arithmetic", arithmetic, f"--runs={a.runs}", f"--cpu-threads={a.threads}",
                    ], self.env)
                    for f in json.loads(text) or [] if text else []:
                        if f["unit"] == "s":
                            self.note("models", (model, arithmetic), "graphrun", f["value"], rss)
                if not any(t == "models" and row[0] == model for t, row in self.best):
                    self.fail(f"graphrun {model}", "bench models has no such row")
                    continue
                for peer in self.peers:
                    text, _ = self.process(f"{peer}: {model}", [a.python, HERE / "peer_models.py", peer, model, a.runs, a.cache], {**self.env, **PEERS[peer][1]})
                    for name, (seconds, rss) in json.loads(text.splitlines()[-1]).items() if text else []:
                        self.note("models", name, peer, seconds, rss)

    def table(self, table, unit):
        head = ["", f"graphrun, {unit}"] + (["rate", "% of limit"] if table == "kernels" else ["MB"]) + self.peers
        rows = []
        for (t, row), result in self.best.items():
            if t != table or not isinstance(row, tuple) or "graphrun" not in result:
                continue
            ours, rss = result["graphrun"]
            line = [", ".join(filter(None, row)), f"{ours:.4g}"]
            if table == "kernels":
                done, of, note = self.work[row]
                line += [f"{done / ours:.4g} {of}", self.percent(row[1], of, note, done / ours)]
            else:
                line.append(f"{rss:.0f}")
            for peer in self.peers:
                value, memory = self.best.get((table, row[0]), {}).get(peer, (0, 0))
                line.append((f"{value:.4g} ({value / ours:.2f}x)" + (f" {memory:.0f} MB" if memory else "")) if value else "")
            rows.append(line)
        if not rows:
            return
        width = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
        print()
        for r in [head, ["-" * w for w in width], *rows]:
            print("| " + " | ".join(c.ljust(w) for c, w in zip(r, width)) + " |")

    def percent(self, arithmetic, unit, note, rate):
        if "computed as" in note:
            return f"({note})"
        name = ("reading memory", "", "GB/s") if unit == "GB/s" else ("peak", arithmetic.removesuffix("-fast"), "GOPS")
        return f"{100 * rate / -self.best['limits', name]['graphrun'][0]:.0f}"

    def print(self):
        with open("/proc/cpuinfo") as f:
            cpu = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown processor")
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPO, capture_output=True, text=True).stdout.strip()
        print(f"{datetime.date.today()}, commit {commit}, {cpu}, {self.a.threads} threads, load before each process {min(self.load):.1f} to {max(self.load):.1f};")
        print(f"best of {self.a.rounds} rounds in turn; (ratio): how many times graphrun's time the peer takes. {', '.join(self.versions)}.")
        for (t, row), result in self.best.items():
            if t == "limits":
                print(f"{', '.join(filter(None, row[:2]))}: {-result['graphrun'][0]:.4g} {row[2]}.")
        self.table("kernels", "ms")
        self.table("models", "s")
        for title, what in (("Absent", self.absent), ("Failed", [f"{k}: {v}" for k, v in self.failed.items()])):
            if what:
                print(f"\n{title}:\n" + "\n".join(f"- {w}" for w in what))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    b = Bench(arguments())
    for what in b.a.what:
        getattr(b, what)()
    b.print()
    if b.a.out:
        b.a.out.write_text(json.dumps([{"table": t, "row": r, "figures": v} for (t, r), v in b.best.items()], indent=1))


if __name__ == "__main__":
    main()
