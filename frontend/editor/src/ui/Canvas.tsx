import {
  applyNodeChanges, Background, BackgroundVariant, MiniMap, ReactFlow, SelectionMode, useReactFlow, useViewport,
  type Connection, type Edge, type FinalConnectionState, type Node as FlowNode, type NodeChange,
} from "@xyflow/react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { edit, inputNode, linksOf, outputNode, pair, setPair, unlink, type Canvas as CanvasOf, type Definition } from "../model/document";
import type { Obj } from "../model/json";
import { canvas, canvas as current, change, here, select, toast, useEditor, zoomed } from "../store";
import { typeColour } from "./colour";
import { endOf, fitting, link, nodeOf, refusal } from "./links";
import { EndView, GroupView, NodeView } from "./NodeView";
import { Menu, type Entry, canvasMenu, nodeMenu } from "./Menu";

const types = { node: NodeView, frame: GroupView, end: EndView };

/** flowNodes are the canvas's nodes as the library takes them. One whose part of the document is the same stays the same. */
function flowNodes(before: FlowNode[], selected: Set<string>): FlowNode[] {
  const c = canvas();
  const old = new Map(before.map((n) => [n.id, n]));
  const list: FlowNode[] = [];
  const put = (id: string, source: unknown, make: () => FlowNode, isSelected: boolean) => {
    const was = old.get(id);
    if (was && was.data.source === source && !!was.selected === isSelected) list.push(was);
    else if (was && was.data.source === source) list.push({ ...was, selected: isSelected });
    else list.push({ ...(was?.measured ? { measured: was.measured } : {}), ...make(), selected: isSelected });
  };
  (c.groups ?? []).forEach((g, index) => {
    const id = "group:" + index;
    const [x, y, width, height] = g.bounding ?? [0, 0, 200, 100];
    put(id, g, () => ({ id, type: "frame", position: { x, y }, style: { width, height }, zIndex: -1, data: { source: g, group: g, index }, dragHandle: ".group-title" }), selected.has(id));
  });
  for (const n of c.nodes) {
    const [x, y] = pair(n.pos, [0, 0]);
    const [width] = pair(n.size, [210, 60]);
    const style = n.type === "Reroute" ? {} : { width: n.flags?.collapsed ? undefined : Math.max(width, 140) };
    put(String(n.id), n, () => ({ id: String(n.id), type: "node", position: { x, y: n.type === "Reroute" ? y : y - 30 }, style, data: { source: n, node: n }, draggable: n.flags?.pinned ? false : undefined }), selected.has(String(n.id)));
  }
  if (here()) ends(c as Definition, put);
  return list;
}

function ends(d: Definition, put: (id: string, source: unknown, make: () => FlowNode, s: boolean) => void) {
  for (const side of ["input", "output"] as const) {
    const at = d[`${side}Node`] as Obj | undefined;
    const id = String(at?.id ?? (side === "input" ? inputNode : outputNode));
    const b = Array.isArray(at?.bounding) ? at.bounding : [0, 0];
    const slots = (d[`${side}s`] ?? []).map((s) => ({ name: String(s.label ?? s.name), type: String(s.type) }));
    put(id, d[`${side}s`], () => ({ id, type: "end", position: { x: Number(b[0]), y: Number(b[1]) }, data: { source: d[`${side}s`], side, slots }, deletable: false }), false);
  }
}

function flowEdges(selected: Set<string>): Edge[] {
  const c = canvas();
  const links = linksOf(c);
  const list: Edge[] = [];
  const byId = new Map(c.nodes.map((n) => [String(n.id), n]));
  const add = (id: number, target: string, handle: string) => {
    const l = links.get(id);
    if (!l || (!byId.has(String(l.from)) && Number(l.from) !== inputNode)) return;
    const key = "link:" + id;
    const out = byId.get(String(l.from))?.outputs?.[l.fromSlot]?.type;
    list.push({
      id: key, source: String(l.from), sourceHandle: "out:" + l.fromSlot, target, targetHandle: handle, selected: selected.has(key), className: "link",
      style: { stroke: typeColour(l.type && l.type !== "*" ? l.type : String(out ?? "*")) },
    });
  };
  for (const n of c.nodes) for (const s of n.inputs ?? []) if (s.link != null) add(s.link, String(n.id), "in:" + s.name);
  if (here()) for (const l of links.values()) if (Number(l.to) === outputNode) add(l.id, String(outputNode), "in:" + l.toSlot);
  return list;
}

export function Canvas() {
  const { doc, path, selected, fit, classes } = useEditor();
  const [nodes, setNodes] = useState<FlowNode[]>(() => flowNodes([], selected));
  const [edgeSelection, setEdgeSelection] = useState(new Set<string>());
  const [menu, setMenu] = useState<{ x: number; y: number; entries: Entry[] } | null>(null);
  const flow = useReactFlow();
  const edges = useMemo(() => flowEdges(edgeSelection), [doc, path, edgeSelection, classes]);
  useEffect(() => setNodes((old) => flowNodes(old, selected)), [doc, path, selected]);
  useEffect(() => { setNodes((old) => flowNodes(fit ? [] : old, selected)); const t = setTimeout(() => flow.fitView({ padding: 0.12, maxZoom: 1 }).then(() => zoomed(flow.getZoom())), 60); return () => clearTimeout(t); }, [fit]);

  const carried = useRef<Map<string, { x: number; y: number }>>(new Map());
  const onNodesChange = useCallback((changes: NodeChange[]) => {
    const picks = changes.filter((c) => c.type === "select");
    if (picks.length) {
      const next = new Set(useEditor.getState().selected);
      for (const c of picks) c.selected ? next.add(c.id) : next.delete(c.id);
      select(next);
    }
    setNodes((old) => applyNodeChanges(changes.filter((c) => c.type !== "select" && c.type !== "remove"), old));
  }, []);

  const onDragStart = (_: unknown, node: FlowNode) => {
    carried.current.clear();
    if (node.type !== "frame") return;
    const g = current().groups![Number(node.id.slice(6))];
    const [x, y, w, h] = g.bounding;
    for (const n of nodes) {
      const [nx, ny] = [n.position.x + (n.measured?.width ?? 0) / 2, n.position.y + (n.measured?.height ?? 0) / 2];
      if (n.id !== node.id && nx > x && ny > y && nx < x + w && ny < y + h) carried.current.set(n.id, { x: n.position.x - x, y: n.position.y - y });
    }
  };
  const onDrag = (_: unknown, node: FlowNode) => {
    if (carried.current.size) setNodes((old) => old.map((n) => {
      const by = carried.current.get(n.id);
      return by ? { ...n, position: { x: node.position.x + by.x, y: node.position.y + by.y } } : n;
    }));
  };
  const onDragStop = () => {
    const places = new Map(flow.getNodes().map((n) => [n.id, n.position]));
    change((d, at) => edit(d, at, (c) => moved(c, places)));
  };

  const onConnectEnd = (event: MouseEvent | TouchEvent, state: FinalConnectionState) => {
    if (state.isValid || !state.fromHandle) return;
    const from = endOf(state.fromNode!.id, state.fromHandle.id ?? null);
    if (!from) return;
    const { clientX, clientY } = "changedTouches" in event ? event.changedTouches[0] : event;
    if (state.toHandle && state.toNode) {
      const to = endOf(state.toNode.id, state.toHandle.id ?? null);
      if (to) link(from, to);
      return;
    }
    const under = document.elementFromPoint(clientX, clientY)?.closest(".react-flow__node")?.getAttribute("data-id");
    const n = under && nodeOf(under);
    if (n) {
      const to = fitting(n, from);
      if (to) link(from, to);
      else toast(`This node has no ${from.side === "output" ? "input" : "output"} for ${from.type}.`, true);
      return;
    }
    if (!under || under.startsWith("group:")) openPalette(clientX, clientY, flow.screenToFlowPosition({ x: clientX, y: clientY }), from);
  };

  const isValid = useCallback((c: Connection | Edge) => {
    const from = endOf(c.source, c.sourceHandle ?? null), to = endOf(c.target, c.targetHandle ?? null);
    return !!from && !!to && !refusal(from, to);
  }, []);

  return <div className="canvas" onDoubleClick={(e) => {
    if ((e.target as Element).classList.contains("react-flow__pane")) openPalette(e.clientX, e.clientY, flow.screenToFlowPosition({ x: e.clientX, y: e.clientY }));
    const socket = (e.target as Element).closest(".react-flow__handle.target");
    const n = socket && nodeOf(socket.getAttribute("data-nodeid")!);
    const id = n && n.inputs?.find((s) => "in:" + s.name === socket.getAttribute("data-handleid"))?.link;
    if (id != null) { e.stopPropagation(); change((d, at) => unlink(d, at, new Set([id]))); }
  }}>
    <ReactFlow nodes={nodes} edges={edges} nodeTypes={types} onNodesChange={onNodesChange}
      onEdgesChange={(changes) => {
        const picks = changes.filter((c) => c.type === "select");
        if (picks.length) setEdgeSelection((old) => { const next = new Set(old); for (const c of picks) c.selected ? next.add(c.id) : next.delete(c.id); return next; });
      }}
      onBeforeDelete={async ({ edges }) => {
        const cut = new Set(edges.filter((e) => edgeSelection.has(e.id)).map((e) => Number(e.id.slice(5))));
        if (cut.size && useEditor.getState().selected.size === 0) change((d, at) => unlink(d, at, cut));
        return false;
      }}
      onNodeDragStart={onDragStart} onNodeDrag={onDrag} onNodeDragStop={onDragStop} onSelectionDragStop={onDragStop}
      onConnect={(c) => { const from = endOf(c.source, c.sourceHandle), to = endOf(c.target, c.targetHandle); if (from && to) link(from, to); }}
      onConnectEnd={onConnectEnd} isValidConnection={isValid} connectionRadius={18} connectOnClick={false}
      onReconnect={(old, c) => {
        const from = endOf(c.source, c.sourceHandle), to = endOf(c.target, c.targetHandle);
        if (from && to && !refusal(from, to)) { change((d, at) => unlink(d, at, new Set([Number(old.id.slice(5))]))); link(from, to); }
      }}
      onNodeContextMenu={(e, n) => { e.preventDefault(); if (!selected.has(n.id)) select([n.id]); setMenu({ x: e.clientX, y: e.clientY, entries: nodeMenu(n.id) }); }}
      onPaneContextMenu={(e) => {
        e.preventDefault();
        const at = flow.screenToFlowPosition({ x: e.clientX, y: e.clientY });
        setMenu({ x: e.clientX, y: e.clientY, entries: canvasMenu(at, () => openPalette(e.clientX, e.clientY, at)) });
      }}
      onMoveStart={() => setMenu(null)} onMove={(_, v) => zoomed(v.zoom)}
      deleteKeyCode={["Delete", "Backspace"]} selectionKeyCode={["Control", "Meta"]} multiSelectionKeyCode={["Shift", "Control", "Meta"]} panActivationKeyCode="Space"
      selectionMode={SelectionMode.Partial} minZoom={0.05} maxZoom={3} zoomOnDoubleClick={false} onlyRenderVisibleElements={nodes.length > 150} elevateNodesOnSelect
      nodeClickDistance={3} nodeDragThreshold={2} proOptions={{ hideAttribution: false }} fitView fitViewOptions={{ padding: 0.12, maxZoom: 1 }}
      aria-label="workflow" ref={() => { flowHandle = { flow }; }}>
      <Background variant={BackgroundVariant.Dots} gap={24} size={1.2} />
      <MiniMap style={{ width: 150, height: 100 }} pannable zoomable ariaLabel="overview" nodeColor={miniColour} nodeStrokeWidth={0} maskColor="var(--mask)" />
    </ReactFlow>
    <Zoom />
    {menu && <Menu {...menu} close={() => setMenu(null)} />}
  </div>;
}

function Zoom() {
  const { zoom } = useViewport();
  const flow = useReactFlow();
  return <div className="zoom" role="group" aria-label="zoom">
    <button aria-label="smaller" onClick={() => flow.zoomOut()}>−</button>
    <button title="show all (.)" onClick={() => flow.fitView({ padding: 0.12, maxZoom: 1, duration: 150 })}>{Math.round(zoom * 100)}%</button>
    <button aria-label="larger" onClick={() => flow.zoomIn()}>+</button>
  </div>;
}

const miniColour = (n: FlowNode) => (n.type === "frame" ? "var(--mini-group)" : "var(--mini)");

function moved(c: CanvasOf, places: Map<string, { x: number; y: number }>): CanvasOf {
  const round = (v: number) => Math.round(v * 10) / 10;
  let changed = false;
  const put = c.nodes.map((n) => {
    const p = places.get(String(n.id));
    const [x, y] = pair(n.pos, [0, 0]);
    const py = p && p.y + (n.type === "Reroute" ? 0 : 30);
    if (!p || (Math.abs(p.x - x) < 0.05 && Math.abs(py! - y) < 0.05)) return n;
    changed = true;
    return { ...n, pos: setPair(n.pos, round(p.x), round(py!)) };
  });
  const frames = c.groups?.map((g, i) => {
    const p = places.get("group:" + i);
    if (!p || (p.x === g.bounding[0] && p.y === g.bounding[1])) return g;
    changed = true;
    return { ...g, bounding: [round(p.x), round(p.y), ...g.bounding.slice(2)] };
  });
  return changed ? { ...c, nodes: put, ...(frames ? { groups: frames } : {}) } : c;
}

/** flowHandle lets shortcuts and the palette reach the canvas. */
export let flowHandle: { flow: ReturnType<typeof useReactFlow> } | null = null;

/** middle is the canvas position of the middle of the window. */
export function middle(): { x: number; y: number } {
  return flowHandle ? flowHandle.flow.screenToFlowPosition({ x: innerWidth / 2, y: innerHeight / 2 }) : { x: 0, y: 0 };
}

export function openPalette(x: number, y: number, at: { x: number; y: number }, from?: Parameters<typeof fitting>[1]) {
  useEditor.setState({ palette: { x, y, at: [at.x, at.y], from } });
}

