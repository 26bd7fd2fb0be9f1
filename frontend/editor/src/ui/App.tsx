import { useEffect, useRef, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import { definitionOf, edit, empty } from "../model/document";
import { stringify } from "../model/json";
import { cancel, openFile, queuePrompt, useRun } from "../run";
import { change, flipTheme, leave, open, openDemo, redo, rename, undo, useEditor } from "../store";
import { Canvas, middle, openPalette } from "./Canvas";
import { useKeys } from "./keys";
import { Left } from "./NodeView";
import { Palette } from "./Palette";
import { Panel, type Tab } from "./Panel";
import { useDrop } from "./drop";

export function App() {
  const [tab, setTab] = useState<Tab | null>(null);
  const [help, setHelp] = useState(false);
  const file = useRef<HTMLInputElement>(null);
  const chooseFile = () => file.current?.click();
  useKeys({ chooseFile, toggle: (t) => setTab((old) => (old === t ? null : t)), help: () => setHelp((h) => !h) });
  const dropping = useDrop();
  const ready = useEditor((s) => s.ready);
  return <>
    <Bar chooseFile={chooseFile} tab={tab} setTab={setTab} help={() => setHelp(true)} />
    <main>
      {ready ? <Canvas /> : <div className="canvas" />}
      {tab && <Panel tab={tab} setTab={setTab} close={() => setTab(null)} />}
    </main>
    <Crumbs />
    <Palette />
    <Toasts />
    {help && <Help close={() => setHelp(false)} />}
    {dropping && <div className="dropping">Drop a workflow, or a picture that holds one</div>}
    <input ref={file} type="file" hidden data-testid="open-file" onChange={(e) => { const f = e.target.files?.[0]; if (f) openFile(f); e.target.value = ""; }} />
  </>;
}

function Bar({ chooseFile, tab, setTab, help }: { chooseFile: () => void; tab: Tab | null; setTab: (t: Tab | null) => void; help: () => void }) {
  const { name, past, future } = useEditor(useShallow((s) => ({ name: s.name, past: s.past.length, future: s.future.length })));
  const flip = (t: Tab) => setTab(tab === t ? null : t);
  return <nav className="bar-top" aria-label="workflow">
    <span className="brand"><img src="./icon.svg" alt="" width="20" height="20" />graphrun</span>
    <input className="name" aria-label="name of the workflow" value={name} onChange={(e) => rename(e.target.value)} size={Math.max(8, Math.min(30, name.length))} spellCheck={false} />
    <button onClick={() => open(empty(), "workflow")}>New</button>
    <button onClick={chooseFile} title="Ctrl+O">Open</button>
    <button onClick={save} title="Ctrl+S">Save</button>
    <button onClick={openDemo}>Demo</button>
    <span className="gap" />
    <button onClick={() => { const m = middle(); openPalette(innerWidth / 2 - 200, 90, m); }} title="double click on the canvas">Add node</button>
    <button className="icon" onClick={undo} disabled={!past} title="undo, Ctrl+Z" aria-label="undo">↶</button>
    <button className="icon" onClick={redo} disabled={!future} title="redo, Ctrl+Y" aria-label="redo">↷</button>
    <span className="spread" />
    <State />
    <Queue />
    <span className="gap" />
    <button className={tab === "queue" ? "on" : ""} onClick={() => flip("queue")} title="Q" aria-pressed={tab === "queue"}>Queue</button>
    <button className={tab === "history" ? "on" : ""} onClick={() => flip("history")} title="H" aria-pressed={tab === "history"}>History</button>
    <button className={tab === "machine" ? "on" : ""} onClick={() => flip("machine")} title="M" aria-pressed={tab === "machine"}>Machine</button>
    <button className="icon" onClick={flipTheme} title="dark or light" aria-label="dark or light">◐</button>
    <button className="icon" onClick={help} title="keys, ?" aria-label="keys">?</button>
  </nav>;
}

/** State says what runs, how far it is and how long it takes. */
function State() {
  const running = useRun((s) => s.running);
  const id = useRun((s) => Object.entries(s.nodes).find(([, p]) => p.state === "running")?.[0]);
  const p = useRun((s) => (id ? s.nodes[id] : undefined));
  const connected = useRun((s) => s.connected);
  const doc = useEditor((s) => s.doc);
  const classes = useEditor((s) => s.classes);
  if (!connected) return <span className="state lost" role="status">no connection to the server</span>;
  if (!running) return <span className="state" role="status" />;
  const n = id && doc.nodes.find((n) => String(n.id) === id.split(":")[0]);
  const title = n ? n.title || classes.get(n.type)?.title || definitionOf(doc, n.type)?.name || n.type : "";
  return <span className="state" role="status">
    <span>{title || "starting"}</span> <small><Left /></small>
    <i className="line"><b style={{ width: p && p.max > 0 ? `${(100 * p.value) / p.max}%` : 0 }} /></i>
  </span>;
}

function Queue() {
  const { running, remaining } = useRun(useShallow((s) => ({ running: s.running, remaining: s.remaining })));
  const [count, setCount] = useState(1);
  const run = () => { for (let i = 0; i < count; i++) queuePrompt(); };
  return <span className="queue-buttons">
    <input className="count" type="number" min={1} max={100} value={count} aria-label="how often" title="how often Run queues the workflow" onChange={(e) => setCount(Math.max(1, Math.min(100, Math.round(Number(e.target.value)) || 1)))} />
    {running && <button className="cancel" onClick={cancel} title="Ctrl+Alt+Enter">Cancel</button>}
    <button className="primary" onClick={run} title="Ctrl+Enter">Run{remaining > 0 && <em>{remaining}</em>}</button>
  </span>;
}

/** save downloads the document as it is. */
export function save() {
  const { doc, name } = useEditor.getState();
  const a = document.createElement("a");
  a.href = URL.createObjectURL(new Blob([stringify(doc, 2)], { type: "application/json" }));
  a.download = (name || "workflow") + ".json";
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}

function Crumbs() {
  const { path, doc, name } = useEditor(useShallow((s) => ({ path: s.path, doc: s.doc, name: s.name })));
  if (!path.length) return null;
  const last = path.at(-1)!.def;
  const title = (t: string) => change((d) => edit(d, last, (c) => ({ ...c, name: t })), "subgraph.name");
  return <nav className="crumbs" aria-label="subgraph"><button onClick={() => leave(0)}>{name}</button>
    {path.slice(0, -1).map((p, i) => <span key={i}>› <button onClick={() => leave(i + 1)}>{definitionOf(doc, p.def)?.name}</button></span>)}
    <span>› <input aria-label="name of the subgraph" value={String(definitionOf(doc, last)?.name ?? "")} size={24} onChange={(e) => title(e.target.value)} /></span></nav>;
}

function Toasts() {
  const toasts = useEditor((s) => s.toasts);
  return <div className="toasts" aria-live="polite">{toasts.map((t) => <p key={t.id} className={t.bad ? "bad" : ""}>{t.text}</p>)}</div>;
}

const keys: [string, string][] = [
  ["Ctrl+Enter", "run"], ["Ctrl+Shift+Enter", "run before what waits"], ["Ctrl+Alt+Enter", "cancel"], ["Ctrl+Z, Ctrl+Y", "undo, redo"],
  ["Ctrl+C, Ctrl+V", "copy, paste"], ["Ctrl+Shift+V", "paste with the links into it"], ["arrows", "move the selection"], ["Ctrl+A", "select all"], ["Delete", "delete"], ["Ctrl+M, Ctrl+B", "mute, bypass"], ["Alt+C, P", "fold, pin"],
  ["Ctrl+G, Ctrl+Shift+E", "group, subgraph"], ["Ctrl+S, Ctrl+O", "save, open"], ["double click, A", "add a node"], ["space and drag", "move the canvas"], ["Alt and click", "bend a link"],
  ["Ctrl and drag", "select"], [".", "show all"], ["Q, H, M", "queue, history, machine"], ["R", "read the nodes again"], ["Tab, Enter", "go to sockets, link them"],
];

function Help({ close }: { close: () => void }) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => { button.current?.focus(); }, []);
  return <div className="shade dim" onPointerDown={(e) => { if (e.target === e.currentTarget) close(); }} onKeyDown={(e) => { if (e.key === "Escape") close(); }}>
    <div className="help" role="dialog" aria-label="keys"><h2>Keys</h2>
      <dl>{keys.map(([k, what]) => <div key={k}><dt><kbd>{k}</kbd></dt><dd>{what}</dd></div>)}</dl>
      <button ref={button} onClick={close}>Close</button></div>
  </div>;
}
