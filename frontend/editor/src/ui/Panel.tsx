import { useEffect } from "react";
import { isObj, type Obj } from "../model/json";
import { cancel, refreshHistory, refreshQueue, refreshStats, useRun, type Past } from "../run";
import * as server from "../server";
import { openTree, toast, useEditor } from "../store";
import { Left } from "./NodeView";

export type Tab = "queue" | "history" | "machine";

export function Panel({ tab, setTab, close }: { tab: Tab; setTab: (t: Tab) => void; close: () => void }) {
  return <aside className="panel" aria-label={tab}>
    <header><div role="tablist">{(["queue", "history", "machine"] as const).map((t) => <button key={t} role="tab" aria-selected={t === tab} className={t === tab ? "on" : ""} onClick={() => setTab(t)}>{t}</button>)}</div>
      <button className="icon" aria-label="close" onClick={close}>×</button></header>
    {tab === "queue" ? <QueueList /> : tab === "history" ? <History /> : <Machine />}
  </aside>;
}

function QueueList() {
  const { running, pending, nodes } = useRun();
  const done = Object.values(nodes).filter((p) => p.state === "finished").length;
  return <section>
    {!running && !pending.length && <p className="quiet">Nothing is queued. Ctrl+Enter runs the workflow.</p>}
    {running && <div className="entry running"><div><b>Running</b> <small>{running.slice(0, 8)}</small><p><Left /></p><p className="quiet">{done > 0 && `${done} nodes done`}</p></div><button onClick={cancel}>Cancel</button></div>}
    {pending.map((p, i) => <div key={p.id} className="entry"><div><b>{i + 1}</b> <small>{p.id.slice(0, 8)}</small></div>
      <button aria-label={`remove ${p.id}`} onClick={() => server.removePending([p.id]).then(refreshQueue)}>Remove</button></div>)}
    {pending.length > 1 && <button onClick={() => server.clearPending().then(refreshQueue)}>Remove all</button>}
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

/** Models lists the files that loader nodes can take, as their inputs name them. */
function Models() {
  const classes = useEditor((s) => s.classes);
  const kinds: [string, number, string[]][] = [];
  for (const c of classes.values()) {
    for (const i of c.inputs) {
      if (!i.choices?.length || !/_name$|^ckpt|model_path/.test(i.name) || !/load/i.test(c.category)) continue;
      if (!i.choices.every((v) => /\.(safetensors|sft|gguf)$/.test(String(v)))) continue;
      kinds.push([c.title, i.choices.length, i.choices.map(String)]);
    }
  }
  return <div className="models"><h3>Models</h3>{kinds.length === 0 && <p className="quiet">No model files in the models folder. The demo model is built in.</p>}
    {kinds.map(([title, n, names]) => <details key={title}><summary>{title} <small>{n}</small></summary><ul>{names.map((m) => <li key={m}>{m}</li>)}</ul></details>)}</div>;
}

