import { useEffect, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import { isObj, type Obj } from "../model/json";
import type { Class } from "../model/schema";
import { cancel, changeQueue, refreshHistory, refreshStats, useRun, type Past } from "../run";
import * as server from "../server";
import { openTree, toast, useEditor } from "../store";
import { middle } from "./Canvas";
import { Left } from "./NodeView";
import { place } from "./Palette";

export type Tab = "queue" | "history" | "machine";

export function Panel({ tab, setTab, close }: { tab: Tab; setTab: (t: Tab) => void; close: () => void }) {
  return <aside className="panel" aria-label={tab}>
    <header><div role="tablist">{(["queue", "history", "machine"] as const).map((t) => <button key={t} role="tab" aria-selected={t === tab} className={t === tab ? "on" : ""} onClick={() => setTab(t)}>{t}</button>)}</div>
      <button className="icon" aria-label="close" onClick={close}>×</button></header>
    {tab === "queue" ? <QueueList /> : tab === "history" ? <History /> : <Machine />}
  </aside>;
}

function QueueList() {
  const { running, pending, paused } = useRun(useShallow((s) => ({ running: s.running, pending: s.pending, paused: s.paused })));
  const move = (id: string, before: string) => changeQueue({ move: id, before });
  return <section>
    {!running && !pending.length && <p className="quiet">Nothing is queued. Ctrl+Enter runs the workflow.</p>}
    {running && <div className="entry running"><div><b>Running</b> <small title={running}>{running.slice(0, 8)}</small><p><Left /></p></div><button onClick={cancel}>Cancel</button></div>}
    {pending.slice(0, 200).map((p, i) => <div key={p.id} className="entry"><div><b>{i + 1}</b> <small title={p.id}>{p.id.slice(0, 8)} · {p.nodes} nodes</small></div>
      <span className="acts">
        <button title="first" aria-label={`first ${p.id}`} disabled={i === 0} onClick={() => move(p.id, pending[0].id)}>⤒</button>
        <button title="up" aria-label={`up ${p.id}`} disabled={i === 0} onClick={() => move(p.id, pending[i - 1].id)}>↑</button>
        <button title="down" aria-label={`down ${p.id}`} disabled={i === pending.length - 1} onClick={() => move(p.id, pending[i + 2]?.id ?? "")}>↓</button>
        <button title="open its workflow" aria-label={`open ${p.id}`} disabled={!p.workflow} onClick={() => p.workflow && openTree(p.workflow, useEditor.getState().name)}>↗</button>
        <button title="remove" aria-label={`remove ${p.id}`} onClick={() => changeQueue({ delete: [p.id] })}>×</button>
      </span></div>)}
    {pending.length > 200 && <p className="quiet">and {pending.length - 200} more</p>}
    <div className="row">
      <button aria-pressed={paused} className={paused ? "on" : ""} title="what runs goes on, what waits stays" onClick={() => changeQueue({ pause: !paused })}>{paused ? "Resume" : "Pause"}</button>
      {pending.length > 0 && <button onClick={() => changeQueue({ clear: true })}>Remove all that wait</button>}
    </div>
    {paused && <p className="quiet">The queue is paused: nothing further runs until it is resumed.</p>}
  </section>;
}

function History() {
  const { history } = useRun();
  return <section>
    {!history.length && <p className="quiet">What has run is listed here, with its pictures.</p>}
    {history.map((h) => <PastEntry key={h.id} h={h} />)}
    {history.length > 0 && <button onClick={() => server.clearHistory().then(refreshHistory)}>Clear the history</button>}
  </section>;
}

function PastEntry({ h }: { h: Past }) {
  const load = () => {
    if (!h.workflow) return toast("This run has no workflow to open", true);
    if (openTree(h.workflow, useEditor.getState().name)) useRun.setState({ outputs: h.outputs });
  };
  return <div className={`entry past ${h.ok ? "" : "failed"}`}>
    <div className="thumbs">{h.files.filter((f) => /\.(png|jpe?g|webp|gif)$/i.test(f.filename)).slice(0, 6).map((f) =>
      <a key={f.subfolder + f.filename} href={server.viewURL(f)} target="_blank" rel="noopener noreferrer"><img loading="lazy" src={server.viewURL(f, { preview: "webp;80" })} alt={f.filename} /></a>)}</div>
    {h.files.filter((f) => !/\.(png|jpe?g|webp|gif)$/i.test(f.filename)).slice(0, 6).map((f) => <a key={f.subfolder + f.filename} className="quiet" href={server.viewURL(f)} target="_blank" rel="noopener noreferrer">{f.filename}</a>)}
    <div className="about"><small>{h.ok ? `${h.seconds.toFixed(1)} s` : h.text || "failed"}</small>
      <span><button onClick={load}>Open</button><button aria-label={`remove ${h.id}`} onClick={() => server.removeHistory([h.id]).then(refreshHistory)}>Remove</button></span></div>
  </div>;
}

const bytes = (v: unknown) => {
  const n = Number(v) || 0;
  return n >= 1 << 30 ? `${(n / (1 << 30)).toFixed(1)} GB` : `${Math.round(n / (1 << 20))} MB`;
};

function Machine() {
  const stats = useRun((s) => s.stats);
  useEffect(() => { refreshStats(); const t = setInterval(refreshStats, 2000); return () => clearInterval(t); }, []);
  if (!stats) return <section><p className="quiet">…</p></section>;
  const system = isObj(stats.system) ? stats.system : {};
  const devices = (Array.isArray(stats.devices) ? stats.devices : []).filter(isObj);
  return <section className="machine">
    <Memory name="Memory" total={system.ram_total} free={system.ram_free} />
    {devices.map((d, i) => <div key={i}><Memory name={String(d.name)} total={d.vram_total} free={d.vram_free} />{Number(d.torch_vram_total) > 0 && <p className="quiet">{bytes(d.torch_vram_total)} of it for models</p>}</div>)}
    <p className="quiet">{String(system.python_version ?? "")}</p>
    <button onClick={() => server.free().then(() => { toast("Models are given back when the server is idle"); setTimeout(refreshStats, 500); })}>Unload models</button>
    <Models />
  </section>;
}

function Memory({ name, total, free }: { name: string; total: Obj[string]; free: Obj[string] }) {
  const used = Number(total) - Number(free);
  return <div className="memory"><p><b>{name}</b><small>{bytes(used)} of {bytes(total)}</small></p>
    <meter min={0} max={Number(total) || 1} value={used} aria-label={`${name} in use`} /></div>;
}

interface Model { name: string; size?: number }

/** Models lists the model files that the server has, by kind. */
function Models() {
  const [kinds, setKinds] = useState<{ kind: string; files: Model[] }[] | null>(null);
  const [query, setQuery] = useState("");
  useEffect(() => {
    let gone = false;
    server.modelKinds().then((all) => Promise.all(all.map(async (kind) => ({
      kind, files: (await server.modelFiles(kind).catch(() => [])).flatMap((f) => (isObj(f) ? [{ name: String(f.name), size: Number(f.size) || undefined }] : [])),
    })))).then((all) => { if (!gone) setKinds(all); }).catch((e) => toast(`The models could not be listed: ${e.message}`, true));
    return () => { gone = true; };
  }, []);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = (kinds ?? []).map((k) => ({ ...k, files: k.files.filter((f) => words.every((w) => `${k.kind} ${f.name}`.toLowerCase().includes(w))) }));
  const full = shown.filter((k) => k.files.length), bare = shown.filter((k) => !k.files.length).map((k) => k.kind);
  return <div className="models"><h3>Models</h3>
    <input type="search" placeholder="Search models" aria-label="Search models" value={query} onChange={(e) => setQuery(e.target.value)} />
    {kinds && !full.length && <p className="quiet">{words.length ? "No model matches." : "There are no model files in the models folder. The demo model is built in."}</p>}
    {full.map(({ kind, files }) => <details key={kind} open={words.length > 0 || undefined}><summary>{kind} <small>{files.length}</small></summary>
      <ul>{files.slice(0, 500).map((f) => <li key={f.name}><button title="add a node that loads it" onClick={() => loaderOf(kind, f.name)}>{f.name}</button> <small>{f.size ? bytes(f.size) : ""}</small></li>)}</ul></details>)}
    {!words.length && bare.length > 0 && <p className="quiet">Empty: {bare.join(", ")}</p>}
  </div>;
}

/** loaderOf adds a node whose list of files has the model: the most usual one of its kind. */
function loaderOf(kind: string, name: string) {
  const usual: Record<string, string> = { checkpoints: "CheckpointLoaderSimple", diffusion_models: "UNETLoader", text_encoders: "CLIPLoader", loras: "LoraLoader", vae: "VAELoader", controlnet: "ControlNetLoader" };
  const classes = useEditor.getState().classes;
  const has = (c: Class | undefined) => c?.inputs.find((i) => i.choices?.includes(name));
  const c = [classes.get(usual[kind]), ...classes.values()].find((c) => has(c));
  if (!c) return toast(`No node loads ${name}`, true);
  const { x, y } = middle();
  place(c.name, c, [x - 135, y - 60], undefined, { [has(c)!.name]: name });
}
