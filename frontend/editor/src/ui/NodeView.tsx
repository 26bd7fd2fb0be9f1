import { Handle, NodeResizeControl, Position, useUpdateNodeInternals, type NodeProps } from "@xyflow/react";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import { definitionOf, edit, inputNode, outputNode, pair, setPair, setWidget, updateNode, type Group, type Node } from "../model/document";
import type { Json, Obj } from "../model/json";
import type { Slot, Widget } from "../model/schema";
import { isNote, rerouteSlots } from "../model/virtual";
import { timeLeft, type Progress } from "../model/left";
import { filesOf, promptLeft, useRun } from "../run";
import { viewURL } from "../server";
import { canvas, change, enter, runKey, useEditor } from "../store";
import { typeColour } from "./colour";
import { boxOf } from "./flow";
import { removeSlot, renameSlot, type Side } from "../model/nest";
import { endOf, keyLink } from "./links";
import { outputsOf, slotList, widgetList, type Out } from "./node";
import { Control, Upload } from "./Widgets";

export type ViewData = { node: Node };

/** NodeView draws one node. */
export const NodeView = memo(function NodeView({ data, selected }: NodeProps & { data: ViewData }) {
  const n = data.node;
  const cls = useEditor((s) => s.classes.get(n.type));
  const def = useEditor((s) => definitionOf(s.doc, n.type));
  const path = useEditor((s) => s.path);
  const key = runKey(path, n.id);
  const { progress, cached, error, preview, output } = useRun(useShallow((s) => ({
    progress: s.nodes[key] ?? (def && Object.entries(s.nodes).find(([id, p]) => id.startsWith(key + ":") && p.state === "running")?.[1]),
    cached: s.cached.has(key), error: s.errors[key] ?? (def && Object.entries(s.errors).find(([id]) => id.startsWith(key + ":"))?.[1]),
    preview: s.previews[key], output: s.outputs[key],
  })));
  const links = useEditor((s) => (n.type === "PrimitiveNode" ? canvas(s).links : null));
  const widgets = useMemo(() => widgetList(n), [n, cls, def, links]);
  const slots = useMemo(() => slotList(n), [n, cls, def]);
  const outputs = outputsOf(cls, n);
  const collapsed = n.flags?.collapsed === true;
  const signature = slots.map((s) => s.name).join("|") + "#" + outputs.length + collapsed + widgets.length;
  const update = useUpdateNodeInternals();
  const measured = useRef(signature);
  useEffect(() => {
    if (measured.current === signature) return; // the canvas measures a new node by itself
    measured.current = signature;
    update(String(n.id));
  }, [signature]);

  if (n.type === "Reroute") return <RerouteView n={n} type={outputs[0]?.type ?? "*"} selected={selected} />;
  const title = n.title || cls?.title || def?.name || (n.type === "PrimitiveNode" ? "Primitive" : n.type);
  const look = `${state(error, progress, cached)} ${selected ? "selected" : ""} mode${n.mode ?? 0}`;
  const [, minHeight] = pair(n.size, [210, 60]);
  const named = new Map(slots.map((s) => [s.name, s]));
  const widgetNames = new Set(widgets.map((w) => w.name));
  const plain = slots.filter((s) => !widgetNames.has(s.name));
  const missing = !cls && !def && !isNote(n) && n.type !== "PrimitiveNode";
  const set = (w: Widget) => (v: Json) => change((d, at) => updateNode(d, at, n.id, (n) => setWidget(n, w.at, v, widgets.map((w) => w.value))), `${n.id}.${w.name}`);
  const image = cls?.inputs.find((i) => i.options.image_upload || i.options.video_upload || i.options.audio_upload || i.options.file_upload);
  const upload = image && widgets.find((w) => w.name === image.name);

  return <article className={`node ${look} ${collapsed ? "collapsed" : ""} ${missing ? "missing" : ""} ${isNote(n) ? "note" : ""}`}
    style={{ minHeight: collapsed ? undefined : minHeight + 30, ...(n.bgcolor ? { ["--body" as string]: n.bgcolor, ["--head" as string]: n.color ?? n.bgcolor } : {}) }} aria-label={title}>
    <Title n={n} title={title} def={def?.id} tip={missing ? "" : cls?.description} />
    {progress?.state === "running" && progress.max > 1 && <div className="bar" role="progressbar" aria-valuenow={progress.value} aria-valuemax={progress.max}><i style={{ width: `${(100 * progress.value) / progress.max}%` }} /></div>}
    {collapsed
      ? <div className="folded">{slots.map((s) => <Socket key={s.name} n={n} slot={s} />)}{outputs.map((o, i) => <OutSocket key={i} n={n} out={o} index={i} />)}</div>
      : <div className="body">
        {missing && <p className="problem">graphrun has no node “{n.type}”. The rest of the workflow is kept as it is.</p>}
        {error?.message && <p className="problem" role="alert">{error.message}</p>}
        {(plain.length > 0 || outputs.length > 0) && <div className="slots">
          <div>{plain.map((s) => <div key={s.name} className={`slot ${error?.inputs[s.name] ? "wrong" : ""} ${s.optional ? "optional" : ""}`} title={error?.inputs[s.name] ?? s.tooltip}>
            <Socket n={n} slot={s} /><span>{s.label}</span></div>)}</div>
          <div>{outputs.map((o, i) => <div key={i} className="slot out" title={o.tooltip}><span>{o.label}</span><OutSocket n={n} out={o} index={i} /></div>)}</div>
        </div>}
        {isNote(n)
          ? <textarea className="multiline nodrag nowheel nopan" aria-label="Note" value={String((n.widgets_values as Json[] | undefined)?.[0] ?? "")}
            onChange={(e) => change((d, at) => updateNode(d, at, n.id, (n) => setWidget(n, 0, e.target.value, [])), `${n.id}.note`)} />
          : widgets.filter((w) => w.input.options.hidden !== true).map((w) => <div key={w.name} className={`line ${w.input.options.multiline === true ? "tall" : ""}`}>
            {named.has(w.name) && <Socket n={n} slot={named.get(w.name)!} />}
            <Control widget={w} fed={named.get(w.name)?.link != null} error={error?.inputs[w.name]} set={set(w)} />
          </div>)}
        {upload && <Upload value={upload.value} set={set(upload)} />}
        {missing && Array.isArray(n.widgets_values) && n.widgets_values.length > 0 && <p className="values">{n.widgets_values.map((v) => JSON.stringify(v, (_, x) => (typeof x === "bigint" ? String(x) : x))).join(", ")}</p>}
        {preview ? <figure className="pictures"><img src={preview} alt="preview" draggable={false} /><figcaption>{progress && <Left short />}</figcaption></figure> : output && <Outputs output={output} />}
      </div>}
    {!collapsed && <NodeResizeControl className="grip" minWidth={140} minHeight={50}
      onResizeEnd={(_, p) => change((d, at) => updateNode(d, at, n.id, (n) => ({ ...n, size: setPair(n.size, Math.round(p.width), Math.round(p.height - 30)) })))} />}
  </article>;
});

const state = (error: unknown, progress: Progress | undefined | false, cached: boolean) =>
  error ? "failed" : progress && progress.state === "running" ? "running" : progress && progress.state === "finished" ? "done" : cached ? "cached" : "";

/** FarView is a node from far away, where controls cannot be read: of a large graph only its outline and title are drawn. */
export const FarView = memo(function FarView({ data, selected }: NodeProps & { data: ViewData }) {
  const n = data.node;
  const title = useEditor((s) => n.title || s.classes.get(n.type)?.title || definitionOf(s.doc, n.type)?.name || n.type);
  const look = useRun((s) => {
    const key = runKey(useEditor.getState().path, n.id);
    return state(s.errors[key], s.nodes[key], s.cached.has(key));
  });
  return <article className={`node far ${look} ${selected ? "selected" : ""} mode${n.mode ?? 0}`} style={{ ...boxOf(n), ...(n.bgcolor ? { background: n.bgcolor } : {}) }} aria-label={title}><h2>{title}</h2></article>;
});

function Title({ n, title, def, tip }: { n: Node; title: string; def?: string; tip?: string }) {
  const [draft, setDraft] = useState<string | null>(null);
  const save = () => {
    if (draft !== null) change((d, at) => updateNode(d, at, n.id, (n) => ({ ...n, title: draft.trim() || undefined })));
    setDraft(null);
  };
  const fold = () => change((d, at) => updateNode(d, at, n.id, (n) => ({ ...n, flags: { ...n.flags, collapsed: !n.flags?.collapsed } })));
  return <header title={tip} onDoubleClick={(e) => { e.stopPropagation(); setDraft(title); }}>
    <button className="fold nodrag" tabIndex={-1} aria-label={n.flags?.collapsed ? "unfold" : "fold"} onClick={fold}>{n.flags?.collapsed ? "▸" : "▾"}</button>
    {draft === null ? <h2>{title}</h2>
      : <input autoFocus className="nodrag" aria-label="title" value={draft} onChange={(e) => setDraft(e.target.value)} onBlur={save}
        onKeyDown={(e) => { e.stopPropagation(); if (e.key === "Enter") save(); if (e.key === "Escape") setDraft(null); }} />}
    {n.mode === 2 && <span className="badge">muted</span>}
    {n.mode === 4 && <span className="badge">bypassed</span>}
    {def && <button className="enter nodrag" title="open the subgraph" onClick={() => enter(n.id, def)}>open</button>}
  </header>;
}

function Socket({ n, slot }: { n: Node; slot: Slot }) {
  const end = { node: n.id, side: "input", slot: 0, name: slot.name, type: slot.type, widget: slot.widget } as const;
  return <Handle type="target" position={Position.Left} id={"in:" + slot.name} className={`socket ${slot.link != null ? "linked" : ""}`} style={{ ["--c" as string]: typeColour(slot.type) }}
    tabIndex={0} role="button" aria-label={`input ${slot.label}, ${slot.type}`} onKeyDown={(e) => keyLink(e, end)} title={slot.type} />;
}

function OutSocket({ n, out, index }: { n: Node; out: Out; index: number }) {
  const end = { node: n.id, side: "output", slot: index, name: out.name, type: out.type, widget: false } as const;
  const linked = (n.outputs?.[index]?.links?.length ?? 0) > 0;
  return <Handle type="source" position={Position.Right} id={"out:" + index} className={`socket ${linked ? "linked" : ""}`} style={{ ["--c" as string]: typeColour(out.type) }}
    tabIndex={0} role="button" aria-label={`output ${out.label}, ${out.type}`} onKeyDown={(e) => keyLink(e, end)} title={out.type} />;
}

function RerouteView({ n, type, selected }: { n: Node; type: string; selected?: boolean }) {
  return <article className={`reroute ${selected ? "selected" : ""}`} aria-label="Reroute" style={{ ["--c" as string]: typeColour(type) }}>
    <Socket n={n} slot={{ ...rerouteSlots(n)[0], name: n.inputs?.[0]?.name ?? "", type }} />
    <OutSocket n={n} out={{ name: "", type, label: "" }} index={0} />
  </article>;
}

/** Outputs are the pictures, sounds, videos and texts that a node made. */
function Outputs({ output }: { output: Obj }) {
  const files = filesOf(output);
  const texts = Array.isArray(output.text) ? output.text.filter((t) => typeof t === "string") : [];
  const open = useOpen();
  if (!files.length && !texts.length) return null;
  return <figure className={`pictures ${files.length > 1 ? "many" : ""}`}>
    {files.map((f) => <Media key={f.subfolder + "/" + f.filename} file={f} onOpen={() => open(f)} />)}
    {texts.map((t, i) => <pre key={i} className="nowheel nodrag">{t}</pre>)}
  </figure>;
}

export function Media({ file, onOpen }: { file: { filename: string; subfolder?: string; type?: string }; onOpen: () => void }) {
  const src = viewURL(file);
  if (/\.(mp4|webm|mov|mkv)$/i.test(file.filename)) return <video className="nodrag" src={src} controls loop />;
  if (/\.(wav|mp3|flac|ogg|opus|m4a)$/i.test(file.filename)) return <audio className="nodrag" src={src} controls />;
  return <img className="picture" src={src} alt={file.filename} draggable={false} onDoubleClick={(e) => { e.stopPropagation(); onOpen(); }} loading="lazy" />;
}

const useOpen = () => (f: { filename: string; subfolder?: string; type?: string }) => window.open(viewURL(f), "_blank", "noopener");

/** Left tells how far the prompt is and the time left of it, twice a second. */
export function Left({ short = false }: { short?: boolean }) {
  const [, tick] = useState(0);
  useEffect(() => { const t = setInterval(() => tick((n) => n + 1), 500); return () => clearInterval(t); }, []);
  const p = useRun((s) => Object.values(s.nodes).find((p) => p.state === "running"));
  if (short) {
    const s = timeLeft(p, performance.now());
    return <>{p && p.max > 1 ? `${p.value} of ${p.max}` : ""}{s !== null ? ` · ${clock(s)} left` : ""}</>;
  }
  const l = promptLeft();
  const node = l && l.total > 1 ? `node ${Math.min(l.done + 1, l.total)} of ${l.total}` : "";
  // What has never run has no time: then it is said for what is known.
  const time = l && l.seconds > 0 ? `${clock(l.seconds)} left${l.unknown > (p ? 1 : 0) ? " or more" : ""}` : "";
  return <>{[p && p.max > 1 ? `${p.value} of ${p.max}` : "", node, time].filter(Boolean).join(" · ")}</>;
}

export const clock = (s: number) => (s < 60 ? `${Math.max(0, Math.ceil(s))} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`);

export type GroupData = { group: Group; index: number };

/** GroupView is a frame behind nodes; its title moves it with what lies in it. */
export const GroupView = memo(function GroupView({ data, selected }: NodeProps & { data: GroupData }) {
  const { group, index } = data;
  const [draft, setDraft] = useState<string | null>(null);
  const put = (g: Partial<Group>) => change((d, at) => edit(d, at, (c) => ({ ...c, groups: c.groups!.map((old, i) => (i === index ? { ...old, ...g } : old)) })));
  const save = () => { if (draft !== null) put({ title: draft }); setDraft(null); };
  return <section className={`group ${selected ? "selected" : ""}`} style={{ ["--c" as string]: group.color ?? "#3f789e" }} aria-label={`group ${group.title}`}>
    <header className="group-title" onDoubleClick={(e) => { e.stopPropagation(); setDraft(group.title ?? ""); }}>
      {draft === null ? group.title || "Group" : <input autoFocus className="nodrag" value={draft} onChange={(e) => setDraft(e.target.value)} onBlur={save} onKeyDown={(e) => { e.stopPropagation(); if (e.key === "Enter") save(); }} />}
    </header>
    <NodeResizeControl className="grip" minWidth={100} minHeight={60}
      onResizeEnd={(_, p) => put({ bounding: [group.bounding[0], group.bounding[1], Math.round(p.width), Math.round(p.height)] })} />
  </section>;
});

export type EndData = { side: Side; slots: { name: string; type: string }[] };

/** EndView is where a subgraph's inputs come in or its outputs go out. Its last socket makes one more. */
export const EndView = memo(function EndView({ data, selected }: NodeProps & { data: EndData }) {
  const { side, slots } = data;
  const update = useUpdateNodeInternals();
  const count = useRef(slots.length);
  useEffect(() => {
    if (count.current === slots.length) return;
    count.current = slots.length;
    update(String(side === "input" ? inputNode : outputNode));
  }, [slots.length]);
  return <article className={`node end ${selected ? "selected" : ""}`} aria-label={`subgraph ${side}s`}>
    <header><h2>{side === "input" ? "Inputs" : "Outputs"}</h2></header>
    <div className="body">{[...slots, null].map((s, i) => <EndSlot key={i} side={side} index={s ? i : -1} name={s?.name ?? ""} type={s?.type ?? "*"} />)}</div>
  </article>;
});

function EndSlot({ side, index, name, type }: { side: Side; index: number; name: string; type: string }) {
  const [draft, setDraft] = useState<string | null>(null);
  const save = () => { if (draft !== null) change((d, at) => renameSlot(d, at, side, index, draft.trim())); setDraft(null); };
  const fresh = index < 0, id = `${side === "input" ? "out" : "in"}:${fresh ? "+" : index}`;
  const label = fresh ? `new ${side}` : `${side} ${name}, ${type}`;
  return <div className={`slot ${side === "input" ? "out" : ""} ${fresh ? "optional" : ""}`} title={fresh ? "link a socket to it" : `${type}; double click to rename`} onDoubleClick={(e) => { e.stopPropagation(); if (!fresh) setDraft(name); }}>
    <Handle type={side === "input" ? "source" : "target"} position={side === "input" ? Position.Right : Position.Left} id={id} className={`socket ${fresh ? "" : "linked"}`} style={{ ["--c" as string]: typeColour(type) }}
      tabIndex={0} role="button" aria-label={label} onKeyDown={(e) => { const end = endOf(side === "input" ? inputNode : outputNode, id); if (end) keyLink(e, end); }} />
    {draft === null ? <span>{fresh ? "+" : name}</span> : <input autoFocus className="nodrag" aria-label="name" value={draft} onChange={(e) => setDraft(e.target.value)} onBlur={save}
      onKeyDown={(e) => { e.stopPropagation(); if (e.key === "Enter") save(); if (e.key === "Escape") setDraft(null); }} />}
    {!fresh && draft === null && <button className="drop-slot nodrag" tabIndex={-1} aria-label={`remove ${side} ${name}`} title="remove"
      onClick={() => change((d, at) => removeSlot(d, at, side, index, useEditor.getState().classes))}>×</button>}
  </div>;
}
