import { memo, useEffect, useId, useRef, useState, type ReactNode } from "react";
import { createPortal } from "react-dom";
import { plain } from "../model/control";
import type { Json } from "../model/json";
import { isObj, stringify, parse } from "../model/json";
import type { Widget } from "../model/schema";
import * as server from "../server";
import { flipWhen, toast, useEditor } from "../store";

interface Props { widget: Widget; fed: boolean; error?: string; set: (v: Json) => void }

/** Control is the widget's control, by the kind of its input. */
export const Control = memo(function Control({ widget, fed, error, set }: Props) {
  const { kind, input, value } = widget;
  const tip = [error, input.options.tooltip].filter(Boolean).join("\n");
  const common = { "aria-label": widget.label, "aria-invalid": error ? true : undefined, title: tip || undefined, disabled: fed } as const;
  const when = useEditor((s) => (kind === "control" ? s.when : null));
  const row = (control: ReactNode) => (
    <label className={`widget k-${kind} ${error ? "wrong" : ""} ${fed ? "fed" : ""}`}>
      {when ? <button className="label" title="click: before or after a prompt is queued" onClick={flipWhen}>{when} queue</button> : <span className="label">{widget.label}</span>}
      {control}
    </label>
  );
  switch (kind) {
    case "int":
      if (input.options.display === "color") {
        return row(<input {...common} type="color" className="nodrag" value={"#" + Number(value).toString(16).padStart(6, "0").slice(-6)} onChange={(e) => set(parseInt(e.target.value.slice(1), 16))} />);
      }
      return row(<NumberField widget={widget} set={set} common={common} />);
    case "float":
      return row(<NumberField widget={widget} set={set} common={common} />);
    case "toggle":
      return row(<button {...common} className="switch nodrag" role="switch" aria-checked={value === true} onClick={() => set(value !== true)}>
        <span className="on-text">{String(value === true ? input.options.label_on ?? "on" : input.options.label_off ?? "off")}</span><i />
      </button>);
    case "combo":
    case "control":
      return row(<Combo widget={widget} set={set} common={common} />);
    case "text":
    case "filter":
      if (input.options.multiline === true || input.type === "MARKDOWN") {
        return <textarea {...common} className={`multiline nodrag nowheel nopan ${error ? "wrong" : ""}`} spellCheck={false} value={text(value)}
          placeholder={String(input.options.placeholder ?? widget.label)} onChange={(e) => set(e.target.value)} />;
      }
      if (input.type === "COLOR") return row(<input {...common} type="color" className="nodrag" value={text(value) || "#ffffff"} onChange={(e) => set(e.target.value)} />);
      return row(<input {...common} className="nodrag" spellCheck={false} value={text(value)} onChange={(e) => set(e.target.value)} />);
  }
  return row(<RawField value={value} set={set} common={common} />);
});

const text = (v: Json) => (v == null ? "" : typeof v === "object" ? stringify(v) : String(v));

type Common = { "aria-label": string; "aria-invalid"?: true; title?: string; disabled: boolean };

/** RawField edits a value of a kind that the editor has no control for, as JSON. */
function RawField({ value, set, common }: { value: Json; set: (v: Json) => void; common: Common }) {
  const [draft, setDraft] = useState<string | null>(null);
  return <input {...common} className="nodrag" value={draft ?? stringify(value ?? null)} onChange={(e) => setDraft(e.target.value)}
    onBlur={() => {
      if (draft !== null) { try { set(parse(draft)); } catch { toast("This is no JSON: the value stays as it was", true); } }
      setDraft(null);
    }} />;
}

/** NumberField: type, drag to the sides, or step with the arrow keys. Whole numbers count in bigint. */
function NumberField({ widget, set, common }: { widget: Widget; set: (v: Json) => void; common: Common }) {
  const { options } = widget.input;
  const whole = widget.kind === "int";
  const [draft, setDraft] = useState<string | null>(null);
  const drag = useRef<{ x: number; value: Json; moved: boolean } | null>(null);
  const step = Number(options.step ?? (whole ? 1 : 0.1)) || 1;
  const shift = (from: Json, steps: number): Json => {
    if (whole) return tidy(whole, bigOf(from) + BigInt(Math.round(steps * step)), options.min, options.max);
    return tidy(whole, Math.round((Number(from) + steps * step) / step) * step, options.min, options.max, step);
  };
  const commit = () => {
    if (draft !== null) {
      const v = read(draft, whole);
      if (v === null) toast(`${widget.label}: need a number, have "${draft}"`, true);
      else set(tidy(whole, v, options.min, options.max));
    }
    setDraft(null);
  };
  const part = options.display === "slider" && options.min != null && options.max != null
    ? (100 * (Number(widget.value) - Number(options.min))) / (Number(options.max) - Number(options.min) || 1) : null;
  return <span className={`number nodrag ${part === null ? "" : "slider"}`} style={part === null ? undefined : { ["--part" as string]: `${part}%` }}>
    <button tabIndex={-1} disabled={common.disabled} aria-label="less" onClick={() => set(shift(widget.value, -1))}>‹</button>
    <input {...common} inputMode="decimal" role="spinbutton" aria-valuenow={Number(widget.value)} spellCheck={false}
      value={draft ?? shown(widget.value, step, whole)}
      onChange={(e) => setDraft(e.target.value)} onBlur={commit}
      onKeyDown={(e) => {
        const by = e.shiftKey ? 10 : 1;
        if (e.key === "Enter") commit();
        else if (e.key === "Escape") setDraft(null);
        else if (e.key === "ArrowUp") set(shift(widget.value, by));
        else if (e.key === "ArrowDown") set(shift(widget.value, -by));
        else return;
        if (e.key.startsWith("Arrow")) { e.preventDefault(); setDraft(null); }
      }}
      onPointerDown={(e) => {
        if (common.disabled || document.activeElement === e.currentTarget || e.button !== 0) return;
        e.preventDefault();
        e.currentTarget.setPointerCapture(e.pointerId);
        drag.current = { x: e.clientX, value: widget.value, moved: false };
      }}
      onPointerMove={(e) => {
        const d = drag.current;
        if (!d) return;
        const steps = Math.trunc((e.clientX - d.x) / 6);
        if (Math.abs(e.clientX - d.x) > 4) d.moved = true;
        if (d.moved) set(shift(d.value, steps * (e.shiftKey ? 10 : 1)));
      }}
      onPointerUp={(e) => {
        const d = drag.current;
        drag.current = null;
        if (d && !d.moved) { e.currentTarget.focus(); e.currentTarget.select(); }
      }} />
    <button tabIndex={-1} disabled={common.disabled} aria-label="more" onClick={() => set(shift(widget.value, 1))}>›</button>
  </span>;
}

function bigOf(v: Json): bigint {
  try { return typeof v === "bigint" ? v : BigInt(Math.trunc(Number(v)) || 0); } catch { return 0n; }
}

function read(draft: string, whole: boolean): number | bigint | null {
  const t = draft.trim();
  if (whole && /^-?\d+$/.test(t)) return BigInt(t);
  const v = Number(t.replace(",", "."));
  return t === "" || !Number.isFinite(v) ? null : whole ? BigInt(Math.round(v)) : v;
}

/** tidy keeps a number within its limits, as ComfyUI does with what the user gives. */
function tidy(whole: boolean, v: number | bigint, min: Json, max: Json, step?: number): Json {
  if (whole) {
    let b = BigInt(v);
    if (min != null && b < bigOf(min)) b = bigOf(min);
    if (max != null && b > bigOf(max)) b = bigOf(max);
    return plain(b);
  }
  let n = Number(v);
  if (min != null) n = Math.max(n, Number(min));
  if (max != null) n = Math.min(n, Number(max));
  return step ? Number(n.toFixed(digits(step))) : n;
}

const digits = (step: number) => Math.min(10, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));

function shown(v: Json, step: number, whole: boolean): string {
  if (whole || typeof v !== "number") return text(v);
  const fixed = v.toFixed(Math.max(digits(step), 1));
  return Number(fixed) === v ? fixed : String(v);
}

/** Combo opens a list with a search field. A list of several choices keeps an array. */
function Combo({ widget, set, common }: { widget: Widget; set: (v: Json) => void; common: Common }) {
  const [place, setPlace] = useState<DOMRect | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const { input, value } = widget;
  const many = input.options.multiselect === true || Array.isArray(value);
  const [fetched, setFetched] = useState<Json[] | null>(null);
  const remote = isObj(input.options.remote) ? String(input.options.remote.route ?? "") : "";
  const choices = fetched ?? input.choices ?? [];
  const open = () => {
    setPlace(button.current!.getBoundingClientRect());
    if (remote) server.choices(remote).then(setFetched, (e) => toast((e as Error).message, true));
  };
  const picked = many ? (Array.isArray(value) ? value : []) : [value];
  const pick = (c: Json) => {
    if (many) return set(picked.includes(c) ? picked.filter((p) => p !== c) : [...picked, c]);
    set(c);
    close();
  };
  const close = () => { setPlace(null); button.current?.focus(); };
  const unknown = !many && choices.length > 0 && !choices.includes(value);
  return <>
    <button {...common} ref={button} className={`combo nodrag ${unknown ? "unknown" : ""}`} aria-haspopup="listbox" aria-expanded={place !== null}
      onClick={open}
      onKeyDown={(e) => {
        if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
        e.preventDefault();
        e.stopPropagation();
        const i = choices.indexOf(value) + (e.key === "ArrowDown" ? 1 : -1);
        if (!many && choices[i] !== undefined) set(choices[i]);
      }}>
      <span>{many ? picked.map(text).join(", ") || "none" : text(value)}</span><i>▾</i>
    </button>
    {place && <Choices place={place} choices={choices} picked={picked} pick={pick} close={close} label={widget.label} />}
  </>;
}

interface ChoicesProps { place: DOMRect; choices: Json[]; picked: Json[]; pick: (c: Json) => void; close: () => void; label: string }

export function Choices({ place, choices, picked, pick, close, label }: ChoicesProps) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(Math.max(0, choices.indexOf(picked[0])));
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const words = query.toLowerCase().split(/\s+/);
  const shown = choices.filter((c) => words.every((w) => text(c).toLowerCase().includes(w))).slice(0, 500);
  useEffect(() => { list.current?.querySelector(".at")?.scrollIntoView({ block: "nearest" }); }, [at]);
  const above = place.bottom + 320 > innerHeight && place.top > 320;
  return createPortal(
    <div className="shade" onPointerDown={(e) => { if (e.target === e.currentTarget) close(); }}>
      <div className="choices" style={{ left: Math.min(place.left, innerWidth - 260), minWidth: Math.max(place.width, 180), ...(above ? { bottom: innerHeight - place.top + 4 } : { top: place.bottom + 4 }) }}
        onKeyDown={(e) => {
          e.stopPropagation();
          if (e.key === "ArrowDown") setAt(Math.min(at + 1, shown.length - 1));
          else if (e.key === "ArrowUp") setAt(Math.max(at - 1, 0));
          else if (e.key === "Enter" && shown[at] !== undefined) pick(shown[at]);
          else if (e.key === "Escape" || e.key === "Tab") close();
          else return;
          e.preventDefault();
        }}>
        <input autoFocus placeholder="Search" aria-label={`Search ${label}`} aria-controls={id} value={query} onChange={(e) => { setQuery(e.target.value); setAt(0); }} />
        <div ref={list} id={id} role="listbox" aria-label={label}>
          {shown.map((c, i) => <div key={i} role="option" aria-selected={picked.includes(c)} className={`${i === at ? "at" : ""} ${picked.includes(c) ? "picked" : ""}`}
            onPointerEnter={() => setAt(i)} onClick={() => pick(c)}>{text(c)}</div>)}
          {shown.length === 0 && <p>{choices.length === 0 ? "There is nothing to choose: the folder is empty." : "Nothing matches."}</p>}
        </div>
      </div>
    </div>, document.body);
}

/** Upload shows the picture of a file widget and takes new ones: by button, drop or paste. */
export function Upload({ value, set }: { value: Json; set: (v: Json) => void }) {
  const file = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const take = async (f?: File | null) => { if (f) await uploadTo(f, set); };
  const name = typeof value === "string" ? value : isObj(value) ? String(value.filename ?? "") : "";
  const [subfolder, base] = name.includes("/") ? [name.slice(0, name.lastIndexOf("/")), name.slice(name.lastIndexOf("/") + 1)] : ["", name];
  return <div className={`upload nodrag ${over ? "over" : ""}`}
    onDragOver={(e) => { e.preventDefault(); e.stopPropagation(); setOver(true); }} onDragLeave={() => setOver(false)}
    onDrop={(e) => { e.preventDefault(); e.stopPropagation(); setOver(false); take(e.dataTransfer.files[0]); }}
    onPaste={(e) => { const f = e.clipboardData.files[0]; if (f) { e.preventDefault(); e.stopPropagation(); take(f); } }}>
    <button onClick={() => file.current!.click()}>Choose a file, drop or paste one</button>
    <input ref={file} type="file" hidden onChange={(e) => take(e.target.files?.[0])} />
    {base && /\.(png|jpe?g|webp|gif|bmp|avif)( \[\w+\])?$/i.test(base) && <img alt={base} src={server.viewURL({ filename: base, subfolder, type: "input" }, { preview: "webp;85" })} draggable={false} />}
  </div>;
}

export async function uploadTo(f: File, set: (v: Json) => void) {
  try {
    const name = await server.upload(f);
    const { classes } = useEditor.getState(); // the file is a choice from now on
    for (const c of classes.values()) for (const i of c.inputs) if (i.options.image_upload && i.choices && !i.choices.includes(name)) i.choices.push(name);
    set(name);
  } catch (error) {
    toast((error as Error).message, true);
  }
}
