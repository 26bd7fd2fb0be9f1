import {
  applyNodeChanges, Background, BackgroundVariant, ReactFlow, SelectionMode, useReactFlow, useViewport,
  type Connection, type Edge, type FinalConnectionState, type Node as FlowNode, type NodeChange, type NodeProps, type Viewport,
} from "@xyflow/react";
import { memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, type MouseEvent as ReactMouse } from "react";
import { flushSync } from "react-dom";
import { useShallow } from "zustand/react/shallow";
import { definitionOf, edit, inputNode, linksOf, outputNode, pair, setPair, unlink, type Canvas as CanvasOf, type Definition } from "../model/document";
import { moveBends } from "../model/reroute";
import type { Obj } from "../model/json";
import { canvas as current, change, enter, here, select, toast, useEditor, zoomed } from "../store";
import { flowEdges, flowNodes, type LinkData, type Point } from "./flow";
import { bendAt, endOf, fitting, link, nodeOf, refusal, relink } from "./links";
import { BendView, LinkView } from "./LinkView";
import { EndView, FarView, GroupView, NodeView, type ViewData } from "./NodeView";
import { FarLinks, MiniMap } from "./Overview";
import { Menu, type Entry, canvasMenu, linkMenu, nodeMenu } from "./Menu";

// One type for both looks of a node: the library measures a node whose type changes at once and alone.
const AnyNode = memo((p: NodeProps & { data: ViewData & { far: boolean } }) => (p.data.far ? <FarView {...p} /> : <NodeView {...p} />));
const types = { node: AnyNode, frame: GroupView, end: EndView, bend: BendView };
const edgeTypes = { link: LinkView };
const none: Edge[] = [];

/** Canvas starts anew for each document and subgraph, at the place that shows all of it. */
export function Canvas() {
  const fit = useEditor((s) => s.fit);
  return <Flow key={fit} />;
}

/** frame is the viewport in which nodes fill a window of that size. */
function frame(nodes: FlowNode[], width: number, height: number): Viewport {
  if (!nodes.length) return { x: 0, y: 0, zoom: 1 };
  let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
  for (const n of nodes) {
    left = Math.min(left, n.position.x);
    top = Math.min(top, n.position.y);
    right = Math.max(right, n.position.x + (n.measured?.width ?? n.initialWidth ?? 160));
    bottom = Math.max(bottom, n.position.y + (n.measured?.height ?? n.initialHeight ?? 80));
  }
  const zoom = Math.max(minZoom, Math.min(1, (width * 0.88) / (right - left), (height * 0.88) / (bottom - top)));
  return { zoom, x: width / 2 - ((left + right) / 2) * zoom, y: height / 2 - ((top + bottom) / 2) * zoom };
}

const minZoom = 0.02;

function start(box: { width: number; height: number }) {
  const { selected } = useEditor.getState();
  const nodes = flowNodes([], selected, false);
  const viewport = frame(nodes, box.width, box.height);
  zoomed(viewport.zoom);
  return { viewport, nodes: useEditor.getState().far ? flowNodes([], selected, true) : nodes };
}

function Flow() {
  // First, since it tells whether the nodes are far away.
  const [first] = useState(() => start(document.querySelector("main")?.getBoundingClientRect() ?? { width: innerWidth, height: innerHeight }));
  const { doc, path, selected, classes, far } = useEditor(useShallow((s) => ({ doc: s.doc, path: s.path, selected: s.selected, classes: s.classes, far: s.far > 0 })));
  const [nodes, setNodes] = useState<FlowNode[]>(first.nodes);
  const [menu, setMenu] = useState<{ x: number; y: number; entries: Entry[] } | null>(null);
  const [moving, setMoving] = useState<string | null>(null); // the link whose end is dragged
  const edgesBefore = useRef<Edge[]>(none);
  const edges = useMemo(() => (far ? none : (edgesBefore.current = flowEdges(edgesBefore.current, selected))), [doc, path, selected, classes, far]);
  const shown = useMemo(() => (moving ? edges.map((e) => (e.id === moving ? { ...e, hidden: true } : e)) : edges), [edges, moving]);
  useLayoutEffect(() => setNodes((old) => flowNodes(old, selected, far)), [doc, path, selected, far]);

  const carried = useRef<Map<string, { x: number; y: number }>>(new Map());
  const onNodesChange = useCallback((changes: NodeChange[]) => {
    const picks = changes.filter((c) => c.type === "select");
    if (picks.length) pick(picks);
    const rest = changes.filter((c) => c.type !== "select" && c.type !== "remove");
    if (!rest.length) return;
    const sized = new Set(rest.flatMap((c) => (c.type === "dimensions" ? [c.id] : [])));
    setNodes((old) => {
      const next = applyNodeChanges(rest, old);
      // Once a node is drawn, its sockets are where they are, not where they were guessed.
      return sized.size ? next.map((n) => (n.type === "node" && n.handles && sized.has(n.id) ? { ...n, handles: undefined } : n)) : next;
    });
  }, []);

  const onDragStart = (_: unknown, node: FlowNode) => {
    carried.current.clear();
    if (node.type !== "frame") return;
    const g = current().groups![Number(node.id.slice(6))];
    const [x, y, w, h] = g.bounding;
    for (const n of nodes) {
      const [nx, ny] = [n.position.x + (n.measured?.width ?? n.initialWidth ?? 0) / 2, n.position.y + (n.measured?.height ?? n.initialHeight ?? 0) / 2];
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
    const places = new Map(flowHandle!.flow.getNodes().map((n) => [n.id, n.position]));
    change((d, at) => edit(d, at, (c) => moved(c, places)));
  };

  const onConnectEnd = (event: MouseEvent | TouchEvent, state: FinalConnectionState) => {
    const old = moving && Number(moving.slice(5));
    setMoving(null);
    if (!state.fromHandle || (state.isValid && old === null)) return;
    const from = endOf(state.fromNode!.id, state.fromHandle.id ?? null);
    if (!from) return;
    const { clientX, clientY } = "changedTouches" in event ? event.changedTouches[0] : event;
    const point = flowHandle!.flow.screenToFlowPosition({ x: clientX, y: clientY });
    if (state.toHandle && state.toNode) {
      const to = endOf(state.toNode.id, state.toHandle.id ?? null);
      if (to) old ? relink(old, from, to) : link(from, to);
      return;
    }
    const under = document.elementFromPoint(clientX, clientY)?.closest(".react-flow__node")?.getAttribute("data-id");
    const n = under && nodeOf(under);
    if (n) {
      const to = fitting(n, from);
      if (to) old ? relink(old, from, to) : link(from, to);
      else toast(`This node has no ${from.side === "output" ? "input" : "output"} for ${from.type}.`, true);
    } else if (old) change((d, at) => unlink(d, at, new Set([old])));
    else if (!under || under.startsWith("group:")) openPalette(clientX, clientY, point, from);
  };

  const isValid = useCallback((c: Connection | Edge) => {
    const from = endOf(c.source, c.sourceHandle ?? null), to = endOf(c.target, c.targetHandle ?? null);
    return !!from && !!to && !refusal(from, to);
  }, []);

  // Dragging from an input that has a link takes that link's end along: the drag is handed on to the output it comes from.
  const onMouseDown = (e: ReactMouse) => {
    const socket = e.button === 0 && e.isTrusted && (e.target as Element).closest(".react-flow__handle.target");
    const id = socket && linkInto(socket);
    const edge = id != null && edges.find((one) => one.id === "link:" + id);
    const out = edge && document.querySelector(`.react-flow__handle.source[data-nodeid="${edge.source}"][data-handleid="${edge.sourceHandle}"]`);
    if (!edge || !out) return;
    e.stopPropagation();
    e.preventDefault();
    setMoving(edge.id);
    addEventListener("mouseup", () => setTimeout(() => setMoving(null)), { once: true });
    out.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, clientX: e.clientX, clientY: e.clientY, button: 0, buttons: 1 }));
  };

  const openMenu = (e: ReactMouse | MouseEvent, entries: Entry[]) => { e.preventDefault(); setMenu({ x: e.clientX, y: e.clientY, entries }); };
  const place = (e: ReactMouse | MouseEvent) => flowHandle!.flow.screenToFlowPosition({ x: e.clientX, y: e.clientY });

  const tiny = useEditor((s) => s.far > 1);
  return <div className={`canvas ${tiny ? "tiny" : ""}`} onMouseDownCapture={onMouseDown} onDoubleClick={(e) => {
    if ((e.target as Element).classList.contains("react-flow__pane")) openPalette(e.clientX, e.clientY, place(e));
    const socket = (e.target as Element).closest(".react-flow__handle.target");
    const id = socket && linkInto(socket);
    if (id != null) { e.stopPropagation(); change((d, at) => unlink(d, at, new Set([id]))); }
  }}>
    <ReactFlow nodes={nodes} edges={shown} nodeTypes={types} edgeTypes={edgeTypes} onNodesChange={onNodesChange} onEdgesChange={(changes) => pick(changes.filter((c) => c.type === "select"))}
      onBeforeDelete={async () => false} onNodeDragStart={onDragStart} onNodeDrag={onDrag} onNodeDragStop={onDragStop} onSelectionDragStop={onDragStop}
      onConnect={(c) => { if (moving) return; const from = endOf(c.source, c.sourceHandle), to = endOf(c.target, c.targetHandle); if (from && to) link(from, to); }}
      onConnectEnd={onConnectEnd} isValidConnection={isValid} connectionRadius={18} connectOnClick={false}
      onNodeDoubleClick={(e, n) => {
        const own = nodeOf(n.id), def = own && !(e.target as Element).closest("header, .widget, textarea, .pictures") && definitionOf(doc, own.type);
        if (def) enter(own.id, def.id);
      }}
      onNodeContextMenu={(e, n) => { if (!selected.has(n.id)) select([n.id]); openMenu(e, nodeMenu(n.id)); }}
      onSelectionContextMenu={(e, list) => openMenu(e, nodeMenu(list[0].id))}
      onEdgeClick={(e, edge) => { if (e.altKey) bendAt(Number(edge.id.slice(5)), wayOf(edge), place(e)); }}
      onEdgeContextMenu={(e, edge) => openMenu(e, linkMenu(edge, place(e)))}
      onPaneContextMenu={(e) => { const at = place(e as ReactMouse); openMenu(e as ReactMouse, canvasMenu(at, () => openPalette(e.clientX, e.clientY, at))); }}
      onMoveStart={() => setMenu(null)} onMove={(_, v) => zoomed(v.zoom)} defaultViewport={first.viewport}
      deleteKeyCode={null} disableKeyboardA11y={false} selectionKeyCode={["Control", "Meta"]} multiSelectionKeyCode={["Shift", "Control", "Meta"]} panActivationKeyCode="Space"
      selectionMode={SelectionMode.Partial} minZoom={minZoom} maxZoom={3} zoomOnDoubleClick={false} onlyRenderVisibleElements={nodes.length > 150} elevateNodesOnSelect
      nodeClickDistance={3} nodeDragThreshold={2} proOptions={{ hideAttribution: false }} aria-label="workflow">
      <Background variant={BackgroundVariant.Dots} gap={24} size={1.2} />
      {far && <FarLinks nodes={nodes} />}
      <MiniMap nodes={nodes} />
      <Zoom />
    </ReactFlow>
    {menu && <Menu {...menu} close={() => setMenu(null)} />}
  </div>;
}

/** wayOf lists the points of a link: its origin's socket, its bends, its target's. */
export function wayOf(edge: Edge): Point[] {
  const socket = (node: string, side: "source" | "target", id: string | null | undefined): Point[] => {
    const n = flowHandle!.flow.getInternalNode(node);
    const h = n?.internals.handleBounds?.[side]?.find((h) => h.id === id);
    return n && h ? [{ x: n.internals.positionAbsolute.x + h.x + h.width / 2, y: n.internals.positionAbsolute.y + h.y + h.height / 2 }] : [];
  };
  return [...socket(edge.source, "source", edge.sourceHandle), ...(edge.data as LinkData).bends, ...socket(edge.target, "target", edge.targetHandle)];
}

function pick(changes: { id: string; selected: boolean }[]) {
  if (!changes.length) return;
  const next = new Set(useEditor.getState().selected);
  for (const c of changes) c.selected ? next.add(c.id) : next.delete(c.id);
  select(next);
}

/** linkInto is the link that ends at an input's socket. */
function linkInto(socket: Element): number | null | undefined {
  if (Number(socket.getAttribute("data-nodeid")) === outputNode) {
    const slot = Number(socket.getAttribute("data-handleid")!.slice(3));
    return [...linksOf(current()).values()].find((l) => Number(l.to) === outputNode && l.toSlot === slot)?.id;
  }
  const n = nodeOf(socket.getAttribute("data-nodeid")!);
  return n?.inputs?.find((s) => "in:" + s.name === socket.getAttribute("data-handleid"))?.link;
}

function Zoom() {
  const { zoom } = useViewport();
  const flow = useReactFlow();
  useEffect(() => { flowHandle = { flow }; }, [flow]);
  return <div className="zoom" role="group" aria-label="zoom">
    <button aria-label="smaller" onClick={() => flow.zoomOut()}>−</button>
    <button title="show all (.)" onClick={showAll}>{Math.round(zoom * 100)}%</button>
    <button aria-label="larger" onClick={() => flow.zoomIn()}>+</button>
  </div>;
}

function moved(c: CanvasOf, places: Map<string, { x: number; y: number }>): CanvasOf {
  const round = (v: number) => Math.round(v * 10) / 10;
  const apart = (p: { x: number; y: number }, x: number, y: number) => Math.abs(p.x - x) >= 0.05 || Math.abs(p.y - y) >= 0.05;
  let next = c;
  const nodes = c.nodes.map((n) => {
    const p = places.get(String(n.id));
    const [x, y] = pair(n.pos, [0, 0]), title = n.type === "Reroute" ? 0 : 30;
    return p && apart(p, x, y - title) ? { ...n, pos: setPair(n.pos, round(p.x), round(p.y + title)) } : n;
  });
  if (nodes.some((n, i) => n !== c.nodes[i])) next = { ...next, nodes };
  const groups = c.groups?.map((g, i) => {
    const p = places.get("group:" + i);
    return p && apart(p, g.bounding[0], g.bounding[1]) ? { ...g, bounding: [round(p.x), round(p.y), ...g.bounding.slice(2)] } : g;
  });
  if (groups?.some((g, i) => g !== c.groups![i])) next = { ...next, groups };
  const bends = new Map([...places].flatMap(([id, p]) => (id.startsWith("bend:") ? [[Number(id.slice(5)), [round(p.x + 7), round(p.y + 7)] as [number, number]]] : [])));
  next = moveBends(next, bends);
  if (here()) for (const [id, key] of [[inputNode, "inputNode"], [outputNode, "outputNode"]] as const) {
    const p = places.get(String(id)), end = (c as Definition)[key] as Obj | undefined;
    const b = Array.isArray(end?.bounding) ? end.bounding : [0, 0, 120, 60];
    if (p && apart(p, Number(b[0]), Number(b[1]))) next = { ...next, [key]: { ...end, id, bounding: [round(p.x), round(p.y), ...b.slice(2)] } };
  }
  return next;
}

/** flowHandle lets shortcuts and the palette reach the canvas. */
export let flowHandle: { flow: ReturnType<typeof useReactFlow> } | null = null;

/** showAll brings all nodes, or those selected, into sight. */
export function showAll() {
  const box = document.querySelector(".react-flow")?.getBoundingClientRect();
  if (!flowHandle || !box) return;
  const nodes = flowHandle.flow.getNodes();
  const picked = nodes.filter((n) => n.selected);
  const to = frame(picked.length ? picked : nodes, box.width, box.height);
  if (to.zoom < 0.3) flushSync(() => zoomed(to.zoom)); // so that not all of a large graph is drawn in full on the way
  flowHandle.flow.setViewport(to, { duration: nodes.length > 150 ? 0 : 150 });
}

/** middle is the canvas position of the middle of the window. */
export function middle(): { x: number; y: number } {
  return flowHandle ? flowHandle.flow.screenToFlowPosition({ x: innerWidth / 2, y: innerHeight / 2 }) : { x: 0, y: 0 };
}

export function openPalette(x: number, y: number, at: { x: number; y: number }, from?: Parameters<typeof fitting>[1]) {
  useEditor.setState({ palette: { x, y, at: [at.x, at.y], from } });
}
