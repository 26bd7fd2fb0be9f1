// What is seen of a large graph from far away, painted in one go: its links, and the small map.
import { useReactFlow, useStore, ViewportPortal, type Node as FlowNode } from "@xyflow/react";
import { memo, useEffect, useMemo, useRef, type PointerEvent } from "react";
import { inputNode, linksOf, pair, type Node } from "../model/document";
import { bendsOf, chain, parents } from "../model/reroute";
import { canvas, useEditor } from "../store";
import { typeColour } from "./colour";
import { curve, guess, type Point } from "./flow";

/** FarLinks paints all links as one path for each colour. */
export const FarLinks = memo(function FarLinks({ nodes }: { nodes: FlowNode[] }) {
  const paths = useMemo(() => {
    const c = canvas(), bends = bendsOf(c), last = parents(c);
    const at = new Map(nodes.map((n) => [n.id, n]));
    const socket = (id: string, handle: string): Point | null => {
      const f = at.get(id);
      const h = f?.data.node ? guess(f.data.node as Node).find((h) => h.id === handle) : undefined;
      return f && h ? { x: f.position.x + h.x, y: f.position.y + h.y } : null;
    };
    const all = new Map<string, string[]>();
    const links = linksOf(c);
    for (const n of c.nodes) for (const s of n.inputs ?? []) {
      const l = s.link != null && links.get(s.link);
      if (!l || Number(l.from) === inputNode) continue;
      const a = socket(String(l.from), "out:" + l.fromSlot), b = socket(String(n.id), "in:" + s.name);
      if (!a || !b) continue;
      const way = last.has(l.id) ? chain(bends, last.get(l.id)).map((b) => { const [x, y] = pair(b.pos, [0, 0]); return { x, y }; }) : [];
      const colour = typeColour(l.type);
      (all.get(colour) ?? all.set(colour, []).get(colour)!).push(curve([a, ...way, b]));
    }
    return [...all].map(([colour, list]) => [colour, list.join("")] as const);
  }, [nodes]);
  const zoom = useStore((s) => s.transform[2]);
  return <ViewportPortal><svg className="far-links" strokeWidth={1.2 / zoom}>{paths.map(([colour, d]) => <path key={colour} d={d} stroke={colour} />)}</svg></ViewportPortal>;
});

const wide = 150, high = 100, ratio = devicePixelRatio || 1;

/** MiniMap shows all nodes and what part of them is in sight; dragging in it moves the canvas. */
export function MiniMap({ nodes }: { nodes: FlowNode[] }) {
  const flow = useReactFlow();
  const [tx, ty, zoom] = useStore((s) => s.transform);
  const width = useStore((s) => s.width), height = useStore((s) => s.height);
  const theme = useEditor((s) => s.theme);
  const paper = useRef<HTMLCanvasElement>(null), inks = useRef<string[]>([]);
  useEffect(() => {
    const style = getComputedStyle(paper.current!);
    inks.current = ["--mini", "--mini-group", "--mask", "--accent"].map((v) => style.getPropertyValue(v));
    paper.current!.width = wide * ratio;
    paper.current!.height = high * ratio;
  }, [theme]);
  const place = useRef({ scale: 1, x: 0, y: 0 });
  const boxes = useMemo(() => nodes.filter((n) => n.type !== "bend").map((n) => ({
    x: n.position.x, y: n.position.y, w: n.measured?.width ?? n.initialWidth ?? 200, h: n.measured?.height ?? n.initialHeight ?? 60, frame: n.type === "frame", colour: (n.data.node as Node | undefined)?.bgcolor,
  })), [nodes]);
  useEffect(() => {
    const g = paper.current?.getContext("2d");
    if (!g) return;
    const [mini, group, mask, accent] = inks.current;
    const view = { x: -tx / zoom, y: -ty / zoom, w: width / zoom, h: height / zoom };
    let left = view.x, top = view.y, right = view.x + view.w, bottom = view.y + view.h;
    for (const b of boxes) { left = Math.min(left, b.x); top = Math.min(top, b.y); right = Math.max(right, b.x + b.w); bottom = Math.max(bottom, b.y + b.h); }
    const scale = Math.min(wide / (right - left || 1), high / (bottom - top || 1)) * 0.94;
    const x = (left + right) / 2 - wide / 2 / scale, y = (top + bottom) / 2 - high / 2 / scale;
    place.current = { scale, x, y };
    g.resetTransform();
    g.clearRect(0, 0, wide * ratio, high * ratio);
    g.setTransform(ratio * scale, 0, 0, ratio * scale, -x * ratio * scale, -y * ratio * scale);
    for (const b of boxes) {
      g.fillStyle = b.colour ?? (b.frame ? group : mini);
      g.fillRect(b.x, b.y, Math.max(b.w, 1 / scale), Math.max(b.h, 1 / scale));
    }
    g.fillStyle = mask; // all but what is in sight
    g.beginPath();
    g.rect(x, y, wide / scale, high / scale);
    g.rect(view.x, view.y, view.w, view.h);
    g.fill("evenodd");
    g.strokeStyle = accent;
    g.lineWidth = 1 / scale;
    g.strokeRect(view.x, view.y, view.w, view.h);
  });
  const go = (e: PointerEvent<HTMLCanvasElement>) => {
    if (!e.buttons) return;
    e.currentTarget.setPointerCapture(e.pointerId);
    const r = e.currentTarget.getBoundingClientRect(), { scale, x, y } = place.current;
    flow.setCenter(x + (e.clientX - r.left) / scale, y + (e.clientY - r.top) / scale, { zoom });
  };
  return <canvas ref={paper} className="minimap" role="img" aria-label="overview" style={{ width: wide, height: high }} onPointerDown={go} onPointerMove={go}
    onWheel={(e) => { e.deltaY < 0 ? flow.zoomIn() : flow.zoomOut(); }} />;
}
